"""``policy explain``: shows how treaties and overlays decide one question, and what would reverse the
decision.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from intelshare.cli.policy.label import read_label
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.completion import categories, flag_words, labels, members
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.obligations import seen_to
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table
from intelshare.cli.shared.paths import paths_argument
from intelshare.cli.shared.times import moment
from intelshare.errors import ConfigError, Place

if TYPE_CHECKING:
    from intelshare.cli.policy.files import Files
    from intelshare.policy import Decision, World


def world_of(paths: tuple[Path, ...]) -> World:
    """Return the world of all treaties and overlays below the paths. Raises PolicyFileError at the first
    error.
    """
    from intelshare.cli.policy.files import find
    from intelshare.cli.shared.beside import read_policy

    return build_world(find(paths), read_policy)


def build_world(files: Files, read: Callable[[Path], str]) -> World:
    """Return the world of these files, with all states and organisations. Raises PolicyFileError."""
    from intelshare.cli.shared.beside import with_own
    from intelshare.policy import compile_world, parse_overlay, parse_treaty

    registry = with_own(files.own, read)
    members = [*registry.states, *(code for code in registry.groups if registry.is_organisation(code))]
    return compile_world(
        registry,
        members,
        [parse_treaty(read(path), str(path), registry) for path in files.treaties],
        [parse_overlay(read(path), str(path), registry) for path in files.overlays],
    )


@click.command(
    epilog=examples(
        'intelshare policy explain treaties/ --from FRA --to KEN --category cyber --label "//FRA S"'
    )
)
@paths_argument
@click.option("--from", "sender", required=True, metavar="MEMBER", shell_complete=members, help="Who sends.")
@click.option(
    "--to", "recipient", required=True, metavar="MEMBER", shell_complete=members, help="Who would receive."
)
@click.option("--label", "text", required=True, shell_complete=labels, help="Label of the portion.")
@click.option("--category", required=True, shell_complete=categories, help="Category of the portion.")
@click.option("--at", "at", metavar="TIME", help="Decide as of this date or time. Default: now.")
@click.option(
    "--flag",
    "flags",
    multiple=True,
    shell_complete=flag_words,
    help="Flag of the portion, such as personal-data.",
)
@click.option(
    "--originator",
    metavar="MEMBER",
    shell_complete=members,
    help="The member that first sent the portion. Default: the sender.",
)
@click.option(
    "--consent",
    "consents",
    multiple=True,
    metavar="MEMBER",
    shell_complete=members,
    help="Member to which the originator has consented; repeatable.",
)
@printing
def explain(
    paths: tuple[Path, ...],
    sender: str,
    recipient: str,
    text: str,
    category: str,
    at: str | None,
    flags: tuple[str, ...],
    originator: str | None,
    consents: tuple[str, ...],
    out: Out,
) -> int:
    """Explain one decision under the treaties and overlays of PATHS.

    Shows the rule, the article, file and line, every treaty that was considered and how far it got, and the
    smallest single change of label, category, recipient, consent, date or membership that gives the opposite
    result. Exits with 3 if denied.
    """
    from intelshare.policy import Outcome, Request, decide
    from intelshare.policy_tools import turns

    world, when = world_of(paths), moment(at)
    check_words(world, category, flags)
    request = Request(
        label=read_label(text, "--label", when, world.registry),
        category=category,
        at=when,
        sender=sender,
        recipient=recipient,
        originator=originator,
        flags=frozenset(flags),
        consents=frozenset(consents),
    )
    decision = decide(world, request)
    found = turns(world, request)
    out.document(
        "explanation",
        {
            **decision_document(decision),
            "asked": [
                {
                    "treaty": finding.treaty,
                    "stopped": None if finding.code is None else finding.code.value,
                    "article": finding.article,
                    "detail": finding.detail,
                    "place": _place(finding.place),
                }
                for finding in decision.findings
            ],
            "changes": [
                {"change": turn.change.value, "to": turn.what, **decision_document(turn.decision)}
                for turn in found
            ],
        },
    )
    _show(decision, world, sender, out)
    if decision.findings:
        out.line("treaties asked")
        rows = [
            (
                finding.treaty,
                "permits" if finding.code is None else finding.code.value,
                finding.article or "",
                finding.detail,
                _place(finding.place),
            )
            for finding in decision.findings
        ]
        out.table(Table(("treaty", "got to", "article", "because", "where"), rows), indent=2)
    elif decision.basis is None:
        out.line(f"no treaty lists both {decision.originator} and {recipient}")
    out.line("smallest change that would reverse it" if found else "no single change would reverse it")
    if found:
        changed = [(turn.change.value, turn.what, in_short(turn.decision)) for turn in found]
        out.table(Table(("change", "to", "then"), changed), indent=2)
    return Exit.DENIED if decision.outcome is Outcome.DENY else Exit.DONE


def check_words(world: World, category: str, flags: tuple[str, ...] = ()) -> None:
    """Raise ConfigError WORD_UNKNOWN if a word is unknown: a mistyped word would only ever be denied."""
    from intelshare.labels import WordKind
    from intelshare.policy import word_hint

    asked = [(WordKind.CATEGORY, category, "--category"), *((WordKind.FLAG, f, "--flag") for f in flags)]
    for kind, word, option in asked:
        wrong = world.registry.words.wrong(kind, word)
        if wrong is not None:
            hint = word_hint(kind, word, world.registry)
            raise ConfigError("WORD_UNKNOWN", wrong, place=Place(option), hint=hint)


def _hold(world: World, decision: Decision, sender: str, name: str) -> Place | None:
    """Return the place of a ``hold`` row in the law of the originator or of the sender."""
    laws = [world.overlays[member] for member in (decision.originator, sender) if member in world.overlays]
    return next((rule.place for law in laws for rule in law.hold if rule.id == name), None)


def _show(decision: Decision, world: World, sender: str, out: Out) -> None:
    from intelshare.policy_tools import rule_of

    out.line(in_short(decision))
    for reason in decision.reasons:
        place = _place(reason.place)
        detail = f": {reason.detail}" if reason.detail else ""
        out.line(f"  rule {rule_of(reason.code)}: {reason.code.value}{detail}")
        if reason.treaty or place:
            where = " ".join(part for part in (reason.treaty, f"({place})" if place else "") if part)
            out.line(f"       {where}")
    if decision.citations and decision.findings:
        out.line(
            f"  rule 9, the treaty test: {decision.basis} permits ({_place(decision.findings[0].place)})"
        )
    for number, line in enumerate(seen_to(decision.obligations, world.registry)):
        out.line(f"  {'' if number else 'obligations':11}  {line}")
    for rule in decision.holds:
        out.line(f"  held by      {rule} ({_place(_hold(world, decision, sender, rule))})")


def in_short(decision: Decision) -> str:
    """Return the decision in one line."""
    if decision.reasons:
        return f"withheld: {', '.join(decision.codes)}"
    word = "held" if decision.holds else "released"
    articles = ", ".join(citation.article for citation in decision.citations)
    return f"{word}: {decision.basis} {articles}".rstrip()


def decision_document(decision: Decision) -> dict[str, object]:
    """Return the decision for ``--json``."""
    from intelshare.policy_tools import rule_of

    return {
        "outcome": decision.outcome.value,
        "reasons": [
            {
                "code": reason.code.value,
                "rule": rule_of(reason.code),
                "detail": reason.detail,
                "treaty": reason.treaty,
                "place": _place(reason.place),
            }
            for reason in decision.reasons
        ],
        "basis": decision.basis,
        "articles": [citation.article for citation in decision.citations],
        "obligations": list(decision.obligations),
        "holds": list(decision.holds),
    }


def _place(place: Place | None) -> str:
    return "" if place is None else f"{place.source}:{place.line}"
