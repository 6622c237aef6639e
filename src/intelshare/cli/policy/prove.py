"""``policy prove``: proves a claim about all decisions at once, or shows a question that refutes it."""

from __future__ import annotations

from pathlib import Path

import click

from intelshare.cli.policy.effects import decision_document, in_short, world_of
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, waiting
from intelshare.errors import ConfigError, Place


@click.command(
    epilog=examples(
        'intelshare policy prove "no SECRET to KEN before 2027" treaties/',
        'intelshare policy prove "no NATO SECRET to anybody outside NATO" .',
    )
)
@click.argument("claim")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@printing
def prove(claim: str, paths: tuple[Path, ...], out: Out) -> int:
    """Prove CLAIM for every question under the treaties and overlays of PATHS, or show one that refutes it.

    Without PATHS: the files of the current folder.

    \b
    no LEVEL to WHOM [of MEMBER] [from MEMBER] [about CATEGORY] [with FLAG] [TIME]
      LEVEL  R0 to R4, UNCLASSIFIED to TOP SECRET, or NATO SECRET, FRA SECRET: that or higher
      WHOM   MEMBER, anybody, or anybody outside GROUP
      of     whose information; from: who sends it
      TIME   before DATE, after DATE, between DATE and DATE. Default: all times, including the past

    A bulletin held for an officer may still go, so it counts as going; information that returns to its
    originator does not. Exit 0: proved; 1: refuted. Needs z3, which is in the extra "prove".
    """
    from intelshare.labels import show_banner, when
    from intelshare.policy_tools import parse_claim
    from intelshare.policy_tools import prove as find

    world = world_of(paths or (Path(),))
    registry = world.registry
    asked = parse_claim(claim, registry)
    if not world.treaties:
        # With nothing that permits anything, every claim would hold and mean nothing.
        raise ConfigError("NOT_FOUND", "no treaty was found", place=Place("PATHS"))
    with waiting("proving"):
        proof = find(world, asked)
    found = proof.counterexample
    document: dict[str, object] = {"claim": claim, "proved": found is None, "notes": list(proof.notes)}
    for note in proof.notes:
        out.note(f"note: {note}")
    if found is None:
        out.document("policy-proof", {**document, "counterexample": None})
        out.line(f"proved: {claim}")
        return Exit.DONE
    request = found.request
    shown = {
        "label": show_banner(request.label, registry),
        "from": request.sender,
        "to": request.recipient,
        "originator": found.decision.originator,
        "category": request.category,
        "flags": sorted(request.flags),
        "consents": sorted(request.consents),
        "at": when(request.at),
    }
    out.document(
        "policy-proof", {**document, "counterexample": {**shown, **decision_document(found.decision)}}
    )
    out.line(f"refuted: {claim}")
    for name, value in shown.items():
        text = ", ".join(value) if isinstance(value, list) else str(value)
        if text:
            out.line(f"  {name:<10}  {text}")
    out.line(f"  {'decision':<10}  {in_short(found.decision)}")
    return Exit.FAILED
