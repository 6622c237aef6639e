"""Replays the public record: what the treaties that ship permit, day by day, and why they do not.

A replay is a file ``scenario/*.toml``: one question, and the days on which it is asked. No node runs; the
answer comes from the ``decide`` that every node uses, shown in the table of ``send``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from tomllib import loads
from typing import Any

from intelshare.builtin import builtin_registry, treaty_packs
from intelshare.cli.shared.output import draw
from intelshare.cli.shared.tables import recipient_table
from intelshare.demo.scenario import Scenario, Scene
from intelshare.demo.sending import fits, verdicts
from intelshare.demo.stage import MARGIN, Stage, command, indented, say
from intelshare.instant import parse
from intelshare.labels import parse_label
from intelshare.policy import Decision, Request, World, compile_world, decide, parse_treaty
from intelshare.wire.v1 import user_pb2 as pb


def record(name: str) -> Scenario:
    """Return the replay of this name: the treaties drawn, then its days."""
    told = loads(files("intelshare.demo").joinpath("scenario", f"{name}.toml").read_text("utf-8"))
    return Scenario(
        name=name,
        opening=told["opening"],
        scenes=(
            Scene(told["drawn"], partial(drawn, told=told)),
            *(Scene(_title(one), partial(day, told=told, one=one)) for one in told["day"]),
        ),
        then=tuple(told["then"]),
    )


def _title(one: Mapping[str, Any]) -> str:
    return f"{one['at']}: {one['title']} (asked: {', '.join(one['asked'])})"


def drawn(stage: Stage, told: Mapping[str, Any]) -> list[str]:
    """Draw the lives of the treaties, as ``treaty timeline`` does, and show what is asked on every day."""
    del stage
    chosen = [word for member in told["members"] for word in ("--member", member)]
    command("treaty", "timeline", *told["draw"], *chosen, out=indented(sys.stdout))
    say(f"asked on each day: {told['from']} sends {', '.join(told['categories'])}, as {told['label']}")
    return []


def day(stage: Stage, told: Mapping[str, Any], one: Mapping[str, Any]) -> list[str]:
    """Decide for every recipient, show the table, and compare each portion with what the file expects."""
    del stage
    world, expected = _world(one["asked"]), one["expect"]
    pairs = [_pair(world, told, recipient, one["at"]) for recipient in expected]
    draw(recipient_table(pairs), sys.stdout, indent=len(MARGIN))
    return [
        f"{category} for {pair.recipient}: {got} instead of {wanted}"
        for pair in pairs
        for category, got, wanted in zip(
            told["categories"], verdicts(pair.portions), expected[pair.recipient], strict=True
        )
        if not fits(got, wanted)
    ]


def _world(names: Sequence[str]) -> World:
    registry, packs = builtin_registry(), treaty_packs()
    treaties = [parse_treaty(packs[name].read_text("utf-8"), packs[name].name, registry) for name in names]
    members = {party.member for treaty in treaties for party in treaty.parties}
    return compile_world(registry, sorted(members), treaties)


def _pair(world: World, told: Mapping[str, Any], recipient: str, at: str) -> pb.PairDecision:
    now = parse(at)
    label = parse_label(told["label"], world.registry, now, "write")
    return pb.PairDecision(
        recipient=recipient,
        portions=[
            _portion(
                n, decide(world, Request(label, category, now, sender=told["from"], recipient=recipient))
            )
            for n, category in enumerate(told["categories"])
        ],
    )


def _portion(position: int, decision: Decision) -> pb.PortionDecision:
    return pb.PortionDecision(
        position=position,
        outcome=decision.outcome.value,
        basis=decision.basis or "",
        articles=[citation.article for citation in decision.citations],
        reasons=[
            pb.Reason(
                code=reason.code.value,
                detail=reason.detail,
                place=f"{reason.place.source}:{reason.place.line}" if reason.place else "",
            )
            for reason in decision.reasons
        ],
    )
