"""Running policy tests: each case is decided, and its reason is checked too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from intelshare.labels import Registry
from intelshare.policy import Decision, Outcome, Overlay, Treaty, World, compile_world, decide
from intelshare.policy_tools.cases import Case, Suite
from intelshare.policy_tools.reports import Result, Severity


@dataclass(frozen=True, slots=True)
class Bench:
    """A suite with the contents of its files, ready to run, also with one thing changed."""

    suite: Suite
    treaties: tuple[Treaty, ...]
    overlays: tuple[Overlay, ...]
    registry: Registry
    """The registry with which the files were read."""

    def world(self) -> World:
        """Return the world of its files. Raises PolicyFileError DUPLICATE_KEY."""
        members: Iterable[str] | None = self.suite.members
        registry = self.registry
        if members is None:
            organisations = [group.code for group in registry.groups.values() if group.organisation]
            members = (*registry.states, *organisations)
        return compile_world(registry, members, self.treaties, self.overlays)


@dataclass(frozen=True, slots=True)
class Trial:
    """A case with its decision; ``failures`` says in words what differs from the expectation."""

    case: Case
    decision: Decision
    failures: tuple[str, ...]


def try_case(world: World, case: Case) -> Trial:
    """Decide a case and compare the decision with its expectation."""
    decision = decide(world, case.request)
    return Trial(case, decision, tuple(_failures(world, case, decision)))


def passes(world: World, cases: Iterable[Case]) -> bool:
    """Return True if every case comes out as expected."""
    return all(not _failures(world, case, decide(world, case.request)) for case in cases)


def result_of(trial: Trial) -> Result:
    """Return the result of a case: passed, failed, or passed without stating the reason for the denial."""
    case = trial.case
    if trial.failures:
        return Result(
            Severity.ERROR,
            case.name,
            "CASE_FAILED",
            "; ".join(trial.failures),
            case.place,
            _why(trial.decision),
        )
    if case.expect is Outcome.DENY and case.reason is None and case.reasons is None:
        return Result(
            Severity.WARNING,
            case.name,
            "CASE_WITHOUT_REASON",
            "it expects a denial for any reason, so it also passes for the wrong one",
            case.place,
            f'add reason = "{trial.decision.codes[0]}" if that is what is meant',
        )
    return Result(Severity.PASSED, case.name, place=case.place)


def _failures(world: World, case: Case, decision: Decision) -> list[str]:
    if decision.outcome is not case.expect:
        because = f" ({', '.join(decision.codes)})" if decision.codes else ""
        return [f"expected {case.expect.value}, got {decision.outcome.value}{because}"]
    failures = []
    if case.reason is not None and decision.codes[0] != case.reason:
        failures.append(f"denied for the wrong reason: expected {case.reason}, got {decision.codes[0]}")
    articles = [citation.article for citation in decision.citations]
    if case.article is not None and case.article not in articles:
        failures.append(f"expected {case.article}, got {', '.join(articles) or 'no article'}")
    pairs: Mapping[str, tuple[object, object]] = {
        "as": (case.level, None if case.level is None else _converted(world, case, decision)),
        "reasons": (case.reasons, decision.codes),
        "basis": (case.basis, decision.basis),
        "obligations": (_sorted(case.obligations), decision.obligations),
        "holds": (_sorted(case.holds), decision.holds),
    }
    for name, (expected, got) in pairs.items():
        if expected is not None and expected != got:
            failures.append(f"{name}: expected {_shown(expected)}, got {_shown(got)}")
    return failures


def _converted(world: World, case: Case, decision: Decision) -> str:
    """Return the level that the recipient uses, or "no level"."""
    snapshot = world.at(case.request.at)
    facts = snapshot.facts(case.request.label)
    treaty = decision.findings[0].treaty if decision.findings else None
    converted = snapshot.convert(
        facts.mark.reference, facts.mark.authority or "", case.request.recipient, treaty
    )
    return "no level" if converted is None else converted.name


def _sorted(words: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if words is None else tuple(sorted(set(words)))


def _shown(value: object) -> str:
    return (", ".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def _why(decision: Decision) -> str | None:
    """Say where the decision comes from, for the author of the test."""
    for reason in decision.reasons:
        where = "" if reason.place is None else f" at {reason.place.source}:{reason.place.line}"
        if reason.detail or where:
            return f"{reason.code.value}: {reason.detail}{where}"
    if decision.citations:
        return f"{decision.basis} {', '.join(citation.article for citation in decision.citations)}"
    return None
