"""What the steps of a bundle lead to at a link that is up."""

from __future__ import annotations

from types import SimpleNamespace

from intelshare.engine.actions import RunStep
from intelshare.engine.courier import led_by
from intelshare.engine.events import QueuedAgain
from intelshare.engine.steps import Step
from intelshare.ids import MemberCode
from intelshare.ports import durable_after_commit

USA = MemberCode("USA")


def test_what_the_head_of_a_bundle_queued_again_goes_over_the_link_that_is_up():
    met = durable_after_commit(SimpleNamespace(effects=None))
    run = RunStep(Step.ACCEPT_HELLO, (None, None), member=USA)
    assert QueuedAgain(USA) in led_by(run, met)
