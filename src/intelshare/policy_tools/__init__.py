"""Tools for authors of policy. Pure: text in, values out."""

from intelshare.policy_tools.cases import Case, Suite, read_suite
from intelshare.policy_tools.check import check_overlay, check_treaties, check_treaty
from intelshare.policy_tools.claim import Claim, parse_claim
from intelshare.policy_tools.coverage import KINDS, Coverage, Point, cover
from intelshare.policy_tools.diff import Effect, effects
from intelshare.policy_tools.explain import Change, Turn, releasing, rule_of, turns
from intelshare.policy_tools.formatting import formatted
from intelshare.policy_tools.gather import gather
from intelshare.policy_tools.matrix import MatrixGroup, grouped, matrix
from intelshare.policy_tools.mutation import Mutant, survivors
from intelshare.policy_tools.prove import Counterexample, Proof, prove
from intelshare.policy_tools.registries import RegistryChange, registry_changes
from intelshare.policy_tools.reports import (
    Result,
    Severity,
    as_json,
    failed,
    github,
    junit,
    of_error,
    sarif,
    tap,
)
from intelshare.policy_tools.schema import schema_of
from intelshare.policy_tools.skeleton import skeleton
from intelshare.policy_tools.terms import TERMS, summary, terms
from intelshare.policy_tools.texts import Mismatch, as_adopted, mismatches
from intelshare.policy_tools.timeline import (
    LEGEND,
    MAX_LANE,
    MIN_LANE,
    Drawing,
    Event,
    Lane,
    Span,
    article_spans,
    came_and_stayed,
    describe,
    draw,
    events,
    party_spans,
    state_at,
)
from intelshare.policy_tools.trial import Bench, Trial, result_of, try_case

__all__ = [
    "KINDS",
    "LEGEND",
    "MAX_LANE",
    "MIN_LANE",
    "TERMS",
    "Bench",
    "Case",
    "Change",
    "Claim",
    "Counterexample",
    "Coverage",
    "Drawing",
    "Effect",
    "Event",
    "Lane",
    "MatrixGroup",
    "Mismatch",
    "Mutant",
    "Point",
    "Proof",
    "RegistryChange",
    "Result",
    "Severity",
    "Span",
    "Suite",
    "Trial",
    "Turn",
    "article_spans",
    "as_adopted",
    "as_json",
    "came_and_stayed",
    "check_overlay",
    "check_treaties",
    "check_treaty",
    "cover",
    "describe",
    "draw",
    "effects",
    "events",
    "failed",
    "formatted",
    "gather",
    "github",
    "grouped",
    "junit",
    "matrix",
    "mismatches",
    "of_error",
    "parse_claim",
    "party_spans",
    "prove",
    "read_suite",
    "registry_changes",
    "releasing",
    "result_of",
    "rule_of",
    "sarif",
    "schema_of",
    "skeleton",
    "state_at",
    "summary",
    "survivors",
    "tap",
    "terms",
    "try_case",
    "turns",
]
