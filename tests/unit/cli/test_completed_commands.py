"""A command that an answer names can be copied: it has the data folder that the answer is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import click
import pytest

from intelshare.cli.app import root
from intelshare.cli.shared.named_commands import complete
from intelshare.cli.shared.output import Out, give_hint
from intelshare.errors import IntelshareError


@pytest.fixture
def within(request: pytest.FixtureRequest) -> Iterator[None]:
    """Run the test within ``node repair`` with the marked arguments."""
    with ExitStack() as stack:
        command: click.Command = root
        context = stack.enter_context(click.Context(root, info_name="intelshare"))
        for word, given in (("node", ["repair"]), ("repair", request.param)):
            assert isinstance(command, click.Group)
            found = command.get_command(context, word)
            assert found is not None
            command = found
            context = stack.enter_context(command.make_context(word, list(given), context))
        yield


@pytest.mark.parametrize("within", [["--folder", "the node"]], indirect=True)
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("`intelshare node queues` shows it", "`intelshare node queues --folder 'the node'` shows it"),
        ("or `intelshare member resume M`.", "or `intelshare member resume M --folder 'the node'`."),
        (
            "intelshare node repair --folder FOLDER says it",
            "intelshare node repair --folder 'the node' says it",
        ),
        ("`intelshare node run --folder other`", "`intelshare node run --folder other`"),
        ("`intelshare member list --as FOLDER`", "`intelshare member list --as FOLDER`"),
        (
            "`intelshare outbox` and `intelshare errors CODE`",
            "`intelshare outbox` and `intelshare errors CODE`",
        ),
        ("each partner: `intelshare member import FILE`", "each partner: `intelshare member import FILE`"),
    ],
)
def test_a_named_command_has_the_folder_that_the_answer_is_about(
    within: None, said: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert complete(said) == shown
    Out().note(said)
    assert capsys.readouterr().err == shown + "\n"
    error = IntelshareError("INTERNAL", "it failed", hint=said)
    give_hint(error)
    assert error.hint == shown


@pytest.mark.parametrize("within", [["--folder", "fra"]], indirect=True)
def test_a_hint_of_the_catalogue_is_completed_too(within: None) -> None:
    error = IntelshareError("ACCESS_WAITS", "nobody comes in")
    give_hint(error)
    assert "`intelshare node confirm-access --folder fra`" in str(error.hint)


def test_without_a_folder_the_text_stays() -> None:
    assert complete("`intelshare node queues`") == "`intelshare node queues`"


def test_a_folder_that_is_no_data_folder_completes_nothing() -> None:
    assert isinstance(root, click.Group)
    with click.Context(root, info_name="intelshare") as context:
        read = root.get_command(context, "read")
        assert read is not None
        with read.make_context("read", ["ab12", "--out", "portions"], context):
            assert complete("`intelshare node allow-reading SWE`") == "`intelshare node allow-reading SWE`"
