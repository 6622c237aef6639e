"""Policy: treaties in time, overlays, the world, and the decisions made in it. Pure."""

from intelshare.policy.acts import ActKind, PartyAct, with_acts
from intelshare.policy.decide import consents_asked, decide, originator_of
from intelshare.policy.decision import (
    OWN_PRODUCT,
    UNRESTRICTED,
    Citation,
    Code,
    Decision,
    Finding,
    Outcome,
    Reason,
    Request,
)
from intelshare.policy.egress import check_egress
from intelshare.policy.files import (
    check_word,
    parse_overlay,
    parse_treaty,
    read_overlay,
    read_treaty,
    word_hint,
)
from intelshare.policy.foreign import comes_from, foreign_owners
from intelshare.policy.overlay import Overlay, Rule, When
from intelshare.policy.permits import party_stop
from intelshare.policy.reader import ReadDecision, ReadRequest, read_decision
from intelshare.policy.snapshot import DISPLAY_ONLY_DUTY, Snapshot
from intelshare.policy.treaty import (
    ANY_CATEGORY,
    Kind,
    Party,
    Provision,
    Reservation,
    Treaty,
    ladder_rows,
    reference_of,
    text_hash,
)
from intelshare.policy.world import World, compile_world

__all__ = [
    "ANY_CATEGORY",
    "DISPLAY_ONLY_DUTY",
    "OWN_PRODUCT",
    "UNRESTRICTED",
    "ActKind",
    "Citation",
    "Code",
    "Decision",
    "Finding",
    "Kind",
    "Outcome",
    "Overlay",
    "Party",
    "PartyAct",
    "Provision",
    "ReadDecision",
    "ReadRequest",
    "Reason",
    "Request",
    "Reservation",
    "Rule",
    "Snapshot",
    "Treaty",
    "When",
    "World",
    "check_egress",
    "check_word",
    "comes_from",
    "compile_world",
    "consents_asked",
    "decide",
    "foreign_owners",
    "ladder_rows",
    "originator_of",
    "parse_overlay",
    "parse_treaty",
    "party_stop",
    "read_decision",
    "read_overlay",
    "read_treaty",
    "reference_of",
    "text_hash",
    "with_acts",
    "word_hint",
]
