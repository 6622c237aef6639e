"""Draw the plan of a seed. Swarm testing: classes of acts and faults are on in some seeds only, with varying
rates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random as Stream

from intelshare.instant import DAY, HOUR, MINUTE, SECOND
from intelshare.sim.chance import stream
from intelshare.sim.generate_upkeep import AMNESIA, drained, moves, older, troubles, upgrades
from intelshare.sim.hostile import ENDS, TRICKS
from intelshare.sim.plan import MEMBERS, Act, Fault, FaultPlan, Knobs


def generate_plan(seed: int) -> FaultPlan:
    """Return the plan of a seed."""
    knobs = _knobs(stream(seed, "knobs"), seed)
    members = MEMBERS[: knobs.members]
    faults: list[Fault] = []
    for name, draw_faults in _FAULTS:
        chance = stream(seed, "faults", name)
        if chance.random() < 0.4 or knobs.endless:
            faults.extend(draw_faults(chance, knobs, members))
    acts = _acts(seed, knobs, members)
    if knobs.hostile:
        tricks = _tricks(stream(seed, "tricks"), knobs, members)
        faults += tricks
        acts += _recalled_first(stream(seed, "recalled first"), tricks)
    if knobs.endless:
        faults.append(_lost_for_good(stream(seed, "lost for good"), knobs, members))
    more_acts, more_faults = _recalled_since(stream(seed, "recalled since"), knobs, members)
    acts, faults = acts + more_acts, faults + more_faults
    if knobs.calm:
        faults = [fault for fault in faults if fault.kind == "hostile"]
        acts = [replace(act, lasts=0) for act in acts if act.kind in _TIMELESS and act.at < knobs.lasts]
    if knobs.together:
        faults += troubles(stream(seed, "replicas"), knobs)
        faults += drained(stream(seed, "drained"), knobs)
        faults += upgrades(stream(seed, "upgrades"), knobs)
        more_acts, more_faults = _led_by_another(stream(seed, "led by another"), knobs, members)
        acts, faults = acts + more_acts, faults + more_faults
    acts += _revoked(stream(seed, "acts", "revoke"), knobs, members)
    faults += moves(stream(seed, "moves"), knobs, faults)
    if any(fault.kind == "clock" for fault in faults):
        # Where a clock that was ahead has made the one key that counts, no start succeeds.
        also = ("rotate",) if stream(seed, "keys ahead").random() < 0.5 else ()
        acts = [act for act in acts if act.kind not in ("revoke", *also)]
    if any(fault.kind in AMNESIA for fault in faults):
        # The grace period is longer than the age of any backup (docs/operations.md).
        knobs = replace(knobs, retention=0)
    return FaultPlan(seed, knobs, tuple(acts), tuple(faults))


_TIMELESS = frozenset(("submit", "attach", "download", "courier"))
"""The acts whose outcome does not depend on when they happen."""


def _knobs(chance: Stream, seed: int) -> Knobs:
    pick = chance.choice
    real = seed % 50 == 49
    drawn = Knobs(
        members=pick((2, 2, 3, 3, 3, 4)),
        lasts=pick((5, 10, 20, 30)) * SECOND,
        real_crypto=real,
        delay=pick((1_000, 20_000, 100_000, SECOND)),
        jitter=pick((1_000, 20_000, 200_000)),
        sync=pick((1_000, 5_000, 50_000, 300_000)),
        batch=pick((1, 2, 5, 64, 256)),
        silence=pick((5, 20, 30)) * SECOND,
        fresh_directories=chance.random() < 0.3,
        offset=pick((0, 0, 2 * SECOND, MINUTE)),
        page=pick((100, 1_000, 20_000)),
        both_dial=chance.random() < 0.4,
        queue=pick((0, 0, 0, 3)),
        retention=pick((0, 0, 5, 20)) * SECOND,
        introduced_early=chance.random() < 0.2,
    )
    if drawn.introduced_early:
        # Whoever knows no address is dialled, or nobody is.
        drawn = replace(drawn, both_dial=True)
    drawn = replace(drawn, watched=seed % 4 == 1)
    if seed % 8 == 2:
        drawn = replace(drawn, members=max(3, drawn.members))
        drawn = replace(drawn, parted=" ".join(sorted(chance.sample(MEMBERS[: drawn.members], 2))))
    if seed % 4 == 3:
        drawn = replace(drawn, members=max(3, drawn.members))
        drawn = replace(drawn, hostile=chance.choice(MEMBERS[: drawn.members]))
    drawn = replace(drawn, endless=seed % 16 == 5)
    if seed % 8 == 4:
        few = stream(seed, "together")
        who = few.sample(MEMBERS[: drawn.members], few.choice((1, 1, 2)))
        drawn = replace(drawn, together=" ".join(sorted(who)), replicas=few.choice((2, 2, 3)))
        drawn = replace(drawn, older=older(stream(seed, "older")))
    if seed % 16 == 3:
        drawn = replace(drawn, calm=True, offset=0, queue=0, retention=0)
    return drawn


def _acts(seed: int, knobs: Knobs, members: tuple[str, ...]) -> list[Act]:
    chance = stream(seed, "acts")
    acts = []
    burst = chance.random() < 0.3
    for _ in range(chance.choice(_SUBMITTED)):
        at = chance.randrange(SECOND) if burst else chance.randrange(knobs.lasts)
        acts.append(_bulletin("submit", chance, at, chance.choice(members), members))
    for kind, share, most in _KINDS:
        chance = stream(seed, "acts", kind)
        if chance.random() >= share:
            continue
        for _ in range(chance.randint(1, most)):
            at, node = chance.randrange(knobs.lasts), chance.choice(members)
            if kind in _WRITTEN:
                acts.append(_bulletin(kind, chance, at, node, members))
            else:
                others = [member for member in members if member != node]
                what, to = chance.randrange(1 << 16), chance.choice(others)
                lasts = chance.choice(_LEFT_OUT if kind in _EXCLUDING else (0, 0, 2, 10, 30)) * SECOND
                acts.append(Act(kind, at, node, to, what=what, lasts=lasts))
            if kind == "treaty":
                # Most members take the act back, and then write.
                later = at + chance.choice((2, 10, 20)) * SECOND
                acts.append(Act("reinstate", later, node))
                acts.append(_bulletin("submit", chance, later + chance.randrange(8 * SECOND), node, members))
    return acts


def _revoked(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Act]:
    """Draw stolen signing keys that are revoked, after all other acts, so that these stay as they were."""
    if chance.random() >= 0.25 or knobs.calm:
        return []
    return [
        Act("revoke", chance.randrange(knobs.lasts), chance.choice(members), what=chance.randrange(1 << 16))
        for _ in range(chance.choice((1, 1, 2)))
    ]


_SUBMITTED = (2, 3, 4, 6, 10)
"""The bulletins of one seed, besides those of other acts. Two short seeds find more than one long one: most
of a long seed's time goes into what it has shown already.
"""

_WRITTEN = frozenset(("supersede", "ask", "answer", "attach"))

_EXCLUDING = frozenset(("suspend-member", "remove-member"))

_LEFT_OUT = (2, 5, 10, 30)
"""Seconds; whoever is left out for good settles nothing."""

_KINDS = (
    # kind, in how many seeds, how often at most
    ("approve", 1.0, 8),
    ("read", 1.0, 14),
    ("supersede", 0.5, 4),
    ("recall", 0.6, 8),
    ("treaty", 0.6, 6),
    ("law", 0.3, 4),
    ("resume", 0.3, 3),
    ("ask", 0.4, 3),
    ("answer", 0.4, 5),
    ("consent-ask", 0.6, 6),
    ("consent-answer", 0.6, 8),
    ("report", 0.3, 4),
    ("backfill", 0.3, 3),
    ("rotate", 0.3, 2),
    ("attach", 0.4, 3),
    ("download", 0.5, 4),
    ("courier", 0.5, 12),
    ("suspend-member", 0.25, 2),
    ("remove-member", 0.15, 1),
    ("give-up", 0.3, 4),
)


def _bulletin(kind: str, chance: Stream, at: int, node: str, members: tuple[str, ...]) -> Act:
    others = [member for member in members if member != node]
    to = chance.sample(others, chance.randint(1, len(others)))
    return Act(
        kind,
        at,
        node,
        " ".join(sorted(to)),
        what=chance.randrange(1 << 16),
        precedence=chance.choice((1, 1, 1, 2, 3, 4)),
        size=chance.choice((0, 200, 200, 3_000)) if chance.random() < 0.97 else 120_000,
        lasts=chance.choice((2, 5, 10, 30)) * SECOND if chance.random() < 0.2 else 0,
        again=chance.choice((0, 0, 0, 0, 0, 0, 0, 0, 1, 2)),
    )


_SOME = (1, 2, 4, 8)


def _two(chance: Stream, members: tuple[str, ...]) -> tuple[str, str]:
    node, peer = chance.sample(members, 2)
    return node, peer


def _crashes_in_commits(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    del knobs
    rate = chance.choice((0.01, 0.03, 0.1))
    return [
        Fault(
            "crash",
            member,
            number=number,
            window=chance.choice(("before", "after")),
            keep=chance.choice((0, 0, 1, 2, 5)),
            lasts=chance.choice((200_000, SECOND, 5 * SECOND)),
        )
        for member in members
        for number in range(1, 300)
        if chance.random() < rate
    ]


def _crashes(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "crash",
            chance.choice(members),
            at=chance.randrange(knobs.lasts),
            keep=chance.choice((0, 1)),
            lasts=chance.choice((SECOND, 5 * SECOND, 20 * SECOND)),
        )
        for _ in range(chance.choice(_SOME))
    ]


def _cuts(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "cut",
            *_two(chance, members),
            at=chance.randrange(knobs.lasts),
            lasts=chance.choice((SECOND, 10 * SECOND, 60 * SECOND)),
            window=chance.choice(("", "", "one-way")),
        )
        for _ in range(chance.choice(_SOME))
    ]


def _resets(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "reset",
            *_two(chance, members),
            at=chance.randrange(knobs.lasts),
            keep=chance.choice((0, 0, 1, 3)),
        )
        for _ in range(chance.choice(_SOME) * 2)
    ]


def _losses(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    del knobs
    rate = chance.choice((0.005, 0.02))
    return [
        Fault("lose", member, peer, number=number, lasts=chance.choice((0, 2, 30, 60)) * SECOND)
        for member in members
        for peer in members
        if member != peer
        for number in range(1, 200)
        if chance.random() < rate
    ]


def _repeats(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    del knobs
    rate = chance.choice((0.02, 0.2))
    return [
        Fault("repeat", member, peer, number=number, lasts=chance.choice((1_000, SECOND, 30 * SECOND)))
        for member in members
        for peer in members
        if member != peer
        for number in range(1, 200)
        if chance.random() < rate
    ]


def _clocks(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "clock",
            chance.choice(members),
            at=chance.randrange(knobs.lasts),
            lasts=chance.choice((SECOND, 10 * SECOND, 30 * SECOND)),
            by=chance.choice((-30 * SECOND, 30 * SECOND, 6 * MINUTE, 8 * MINUTE, DAY, 400 * DAY)),
        )
        for _ in range(chance.choice((1, 1, 2)))
    ]


def _restores(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    drawn = []
    for _ in range(chance.choice((1, 1, 2))):
        kind, at = chance.choice(("restore", "lie", "put-back", "backup")), chance.randrange(knobs.lasts)
        by = chance.choice((SECOND, 5 * SECOND, 15 * SECOND))
        if kind == "lie":
            # A cache of the disk holds the last moments, and not the last minutes.
            by //= 20
        if kind == "put-back":
            # Late, and of long before: something was destroyed in between.
            at = knobs.lasts // 2 + at // 2
            by = chance.choice((by, at // 2, at * 3 // 4))
        drawn.append(Fault(kind, chance.choice(members), at=at, by=by, lasts=SECOND))
    return drawn


def _lost_for_good(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> Fault:
    """Draw a disk that is lost: its node starts again with what it was founded with."""
    at = chance.randrange(knobs.lasts)
    return Fault("restore", chance.choice(members), at=at, by=knobs.lasts, lasts=SECOND)


def _stops(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "stop",
            chance.choice(members),
            at=chance.randrange(knobs.lasts),
            lasts=chance.choice((SECOND // 5, SECOND, 10 * SECOND)),
        )
        for _ in range(chance.choice(_SOME))
    ]


def _rots(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "rot",
            chance.choice(members),
            at=chance.randrange(knobs.lasts),
            window=chance.choice(("", "received")),
        )
        for _ in range(chance.choice((1, 2, 3)))
    ]


def _rots_of_sent(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault("rot", chance.choice(members), at=chance.randrange(knobs.lasts), window="sent")
        for _ in range(chance.choice((1, 2, 3)))
    ]


def _rots_of_written(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault("rot", chance.choice(members), at=chance.randrange(knobs.lasts), window="written")
        for _ in range(chance.choice((1, 2, 3)))
    ]


def _decays(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault("decay", chance.choice(members), at=chance.randrange(knobs.lasts))
        for _ in range(chance.choice((1, 1, 2)))
    ]


def _fulls(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "full",
            chance.choice(members),
            at=chance.randrange(knobs.lasts),
            lasts=chance.choice((2, 10, 30)) * SECOND,
            keep=chance.choice((0, 0, 5_000, 100_000, 900_000)),
        )
        for _ in range(chance.choice((1, 2, 4)))
    ]


def _read_onlys(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    return [
        Fault(
            "read-only",
            chance.choice(members),
            at=chance.randrange(knobs.lasts),
            lasts=chance.choice((SECOND, 10 * SECOND)),
        )
        for _ in range(chance.choice((1, 2)))
    ]


def _tricks(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> list[Fault]:
    """Draw what the hostile member does: some of it to the end of time."""
    peers = [member for member in members if member != knobs.hostile]
    drawn = []
    for _ in range(chance.choice((1, 2, 4, 6))):
        trick, at = chance.choice(TRICKS), chance.randrange(knobs.lasts)
        longest = knobs.lasts - at if trick in ENDS else 10 * HOUR
        lasts = min(longest, chance.choice((5 * SECOND, 20 * SECOND, longest)))
        drawn.append(Fault("hostile", knobs.hostile, chance.choice(peers), at=at, lasts=lasts, window=trick))
    return drawn


def _led_by_another(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> tuple[list[Act], list[Fault]]:
    """Let a member act, lose the replica that leads, and write: the next one must know of the act."""
    acts: list[Act] = []
    faults: list[Fault] = []
    for node in knobs.together.split():
        others = [member for member in members if member != node]
        for _ in range(chance.choice((0, 1, 2))):
            at, to = chance.randrange(knobs.lasts), chance.choice(others)
            back = chance.choice(_LEFT_OUT) * SECOND
            kind = chance.choice(("treaty", "treaty", "suspend-member", "law"))
            acts.append(
                Act(kind, at, node, to, what=chance.choice(_ACTED), lasts=0 if kind == "treaty" else back)
            )
            acts.append(_bulletin("submit", chance, at, node, members))
            at += chance.choice((20_000, 100_000, SECOND))
            faults.append(
                Fault("replica", node, at=at, lasts=SECOND, window=chance.choice(("kill", "freeze")))
            )
            for later in (100_000, SECOND, 3 * SECOND):
                acts.append(_bulletin("submit", chance, at + later, node, members))
            if kind == "treaty":
                acts.append(Act("reinstate", at + back, node))
    return acts, faults


_ACTED = (0, 2, 3, 4)
"""The treaty acts that end or narrow what may be sent (``users.ACTS``)."""


def _recalled_first(chance: Stream, tricks: list[Fault]) -> list[Act]:
    """Let the hostile member recall what it holds back, so that the recall comes first."""
    acts = []
    for trick in tricks:
        if trick.window == "late":
            acts += [
                Act("submit", trick.at, trick.node, trick.peer, what=chance.randrange(1 << 16)),
                Act("recall", trick.at + trick.lasts * 2 // 3, trick.node, what=0),
            ]
    return acts


def _recalled_since(chance: Stream, knobs: Knobs, members: tuple[str, ...]) -> tuple[list[Act], list[Fault]]:
    """Let a peer recall what a disk or a folder still holds that is then put back."""
    if knobs.lasts < 30 * SECOND or chance.random() >= 0.3:
        return [], []
    # If not both dial, the first of two does, and has a link before the other one says anything.
    node, peer = sorted(chance.sample(members, 2))
    sent = chance.randrange(4 * SECOND)
    back = sent + 10 * SECOND
    acts = [
        Act("submit", sent, peer, node, precedence=4),
        Act("recall", back + SECOND, peer, what=0),
    ]
    kind, by = chance.choice(("restore", "put-back")), 8 * SECOND
    return acts, [Fault(kind, node, at=back + by, by=by, lasts=SECOND)]


_FAULTS: tuple[tuple[str, Callable[[Stream, Knobs, tuple[str, ...]], list[Fault]]], ...] = (
    ("commit-crash", _crashes_in_commits),
    ("crash", _crashes),
    ("cut", _cuts),
    ("reset", _resets),
    ("lose", _losses),
    ("repeat", _repeats),
    ("clock", _clocks),
    ("restore", _restores),
    ("stop", _stops),
    ("rot", _rots),
    ("decay", _decays),
    ("full", _fulls),
    ("read-only", _read_onlys),
    ("rot of sent", _rots_of_sent),
    ("rot of written", _rots_of_written),
)
