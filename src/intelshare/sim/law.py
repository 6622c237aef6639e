"""The law of the simulation: two treaties, each member's overlay, and the drafts that users write."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from intelshare.broker.treaty.policy_files import LawFile
from intelshare.builtin import builtin_registry
from intelshare.bulletin import Draft, Marked, Word, media_of
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import Portion, PortionKind, Precedence
from intelshare.ids import Digest, MemberCode
from intelshare.instant import NEVER, SECOND, Instant
from intelshare.labels import Registry
from intelshare.policy import Overlay, PartyAct, Treaty, World, compile_world, parse_overlay, parse_treaty
from intelshare.sim.plan import MEMBERS, Act
from intelshare.trust import Ratified

CANARY = "canary-of-the-simulator"
"""Every portion begins with it; nothing that a node prints, sends or stores in clear may contain it."""

_ACCORD = """
id = "sim-accord"
title = "Accord of the simulator"
kind = "multilateral"
in_force = 2020-01-01
source = "invented"
[[provision]]
article = "art. 1"
categories = ["cyber"]
ceiling = "R4"
obligations = ["read-receipt"]
[[provision]]
article = "art. 2"
categories = ["terrorism"]
ceiling = "R1"
[[provision]]
article = "art. 3"
categories = ["maritime"]
ceiling = "R4"
obligations = ["retention-0d"]
[[provision]]
article = "art. 4"
categories = ["health"]
ceiling = "R4"
obligations = ["read-receipt", "report-use-30d"]
""" + "".join(f'[[party]]\nmember = "{code}"\nin_force = 2020-01-01\n' for code in MEMBERS)

_PACT = """
id = "sim-pact"
title = "Pact of the simulator"
kind = "multilateral"
in_force = 2020-01-01
source = "invented"
[[provision]]
article = "art. 1"
categories = ["proliferation"]
ceiling = "R4"
[[party]]
member = "FRA"
in_force = 2020-01-01
[[party]]
member = "USA"
[[party]]
member = "DEU"
in_force = 2020-01-01
[[party]]
member = "GBR"
"""
"""The second half of its parties have not ratified it."""

_OVERLAYS = {
    "FRA": '[[hold]]\nid = "fra-source"\nwhen = { flags = ["source-identity"] }\nsource = "invented"\n',
    "USA": '[[hold]]\nid = "usa-source"\nwhen = { flags = ["source-identity"] }\nsource = "invented"\n',
    "GBR": '[[refuse]]\nid = "gbr-personal"\nwhen = { flags = ["personal-data"] }\nsource = "invented"\n',
    "DEU": '[[refuse]]\nid = "deu-personal"\nwhen = { flags = ["personal-data"] }\nsource = "invented"\n',
}
"""Each overlay is known only to its member: the sender does not foresee what a recipient refuses."""

_LEVELS = {
    "FRA": ("DIFFUSION RESTREINTE", "SECRET"),
    "USA": ("CONFIDENTIAL", "SECRET"),
    "DEU": ("VS-NUR FUER DEN DIENSTGEBRAUCH", "GEHEIM"),
    "GBR": ("OFFICIAL", "SECRET"),
}

_OWN, _NOBODY, _FOREIGN = range(3)

_PORTIONS = (
    # level, category, flags; released to the recipients, to nobody, or another member's information
    (0, "cyber", (), _OWN),
    (1, "cyber", (), _OWN),
    (1, "cyber", (), _OWN),
    (0, "terrorism", (), _OWN),
    (1, "terrorism", (), _OWN),  # above the ceiling
    (1, "cyber", (), _NOBODY),
    (0, "cyber", ("source-identity",), _OWN),  # held by some
    (1, "cyber", ("personal-data",), _OWN),  # refused by some
    (1, "proliferation", (), _OWN),  # under the second treaty
    (0, "cyber", (), _FOREIGN),  # needs the originator's consent
    (0, "maritime", (), _OWN),  # not to be kept
    (1, "health", (), _OWN),  # its use is to be reported
)


@lru_cache(maxsize=1)
def registry() -> Registry:
    """Return the registry that ships, read once."""
    return builtin_registry()


@lru_cache(maxsize=1)
def treaties() -> tuple[Treaty, ...]:
    """Return the treaties that every member holds."""
    return tuple(
        parse_treaty(text, f"{name}.toml", registry())
        for name, text in (("sim-accord", _ACCORD), ("sim-pact", _PACT))
    )


_HOLD = '[[hold]]\nid = "new-cyber"\nwhen = { categories = ["cyber"] }\nsource = "invented"\n'
"""The rule that a member's law gains and loses while its node runs."""


@lru_cache(maxsize=16)
def _overlay(member: str, variant: int) -> Overlay:
    return parse_overlay(overlay_text(member, variant), f"{member.lower()}.toml", registry())


def overlay_text(member: str, variant: int) -> str:
    """Return the file of a member's own rules; with ``variant`` 1 it holds what it releases otherwise."""
    return _OVERLAYS[member] + (_HOLD if variant else "")


def ratified() -> list[Ratified]:
    """Return the ratifications that every directory states: all members have ratified all files."""
    return [
        Ratified(treaty.id, Digest(bytes.fromhex(treaty.text.removeprefix("sha256:"))))
        for treaty in treaties()
    ]


@lru_cache(maxsize=512)
def law(member: str, members: tuple[str, ...], acts: tuple[PartyAct, ...] = (), variant: int = 0) -> World:
    """Return a member's world: the files, its overlay (``overlay_text``), and the acts that count there."""
    texts = {code: {treaty.id: treaty.text for treaty in treaties()} for code in members}
    return compile_world(registry(), members, treaties(), [_overlay(member, variant)], texts, acts)


def law_file(member: str, variant: int) -> LawFile:
    """Return what a node reads of the file of its member's own rules."""
    text = overlay_text(member, variant)
    return LawFile(f"overlays/{member.lower()}.toml", member, Digest(sha256(text.encode())))


def draft_of(act: Act, now: Instant, other: str = "") -> Draft:
    """Return the draft of an act: up to three portions, chosen by the digits of ``what``.

    ``other`` is the owner of a portion with foreign information; if empty, some other member with no bulletin
    here.
    """
    to = tuple(act.to.split())
    what, portions = act.what, []
    for _ in range(1 + act.what % 3):
        what, choice = divmod(what // 3, len(_PORTIONS))
        portions.append(_portion(act, to, other, *_PORTIONS[choice]))
    until = Instant(now + act.lasts) if act.lasts else NEVER
    members = tuple(MemberCode(code) for code in to)
    valid, deliver = (until, NEVER) if act.what % 2 else (NEVER, until)
    return Draft(members, Precedence(act.precedence), valid, deliver, tuple(portions))


def about_request(draft: Draft, word: Word, now: Instant) -> Draft:
    """Return the same draft as a request for information until a minute from ``now``, or as the end of such a
    request.
    """
    first, *others = draft.portions
    due = Instant(now // SECOND * SECOND + 60 * SECOND) if word is Word.ASK else NEVER
    return replace(draft, portions=(replace(first, media=media_of(Marked(word, due))), *others))


def _portion(
    act: Act,
    to: tuple[str, ...],
    other: str,
    level: int,
    category: str,
    flags: tuple[str, ...],
    released: int,
) -> Portion:
    owner = act.node
    if released == _FOREIGN:
        owner = other or next(code for code in MEMBERS if code != act.node)
    others = {act.node, *to} - {owner} if released != _NOBODY else set()
    codes = [owner, *sorted(others)]
    banner = _LEVELS[owner][level] if owner == "USA" else f"//{owner} {_LEVELS[owner][level]}"
    alone = released == _NOBODY and owner == "USA"
    label = f"{banner}//NOFORN" if alone else f"{banner}//REL TO {', '.join(codes)}"
    content = f"{CANARY} {act.node} {act.at} ".encode().ljust(act.size, b".")
    return Portion(PortionKind.TEXT, label, category, flags, "", "text/plain", content)
