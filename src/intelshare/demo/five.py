"""Four states and an organisation: what reaches its node does not thereby reach its members."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import Final

from intelshare.demo.scenario import (
    Analyst,
    Expected,
    Portion,
    Scenario,
    Scene,
    Sending,
    nodes_of,
    unmet,
)
from intelshare.demo.sending import compare, empty, send
from intelshare.demo.stage import Stage, command, indented, say, until
from intelshare.roles import Role

_DURAND: Final = Analyst("FRA", "m.durand", "SECRET", ("*",))
_LEROY: Final = Analyst("FRA", "c.leroy", "SECRET", ("*",), Role.RELEASING_OFFICER)
_MILLER: Final = Analyst("USA", "j.miller", "SECRET", ("*",))
_OTIENO: Final = Analyst("KEN", "a.otieno", "R1", ("*",))
_HANSEN: Final = Analyst("NOR", "i.hansen", "R3", ("*",))
_JANSEN: Final = Analyst("NATO", "p.jansen", "NATO SECRET", ("*",))

_DEFENCE: Final = "collective-defence"
_BY_NATO: Final = ("released nato art. 5",)

_JAMMING: Final = Sending(
    author=_DURAND,
    title="Jamming in the Norwegian Sea",
    category=_DEFENCE,
    precedence="IMMEDIATE",
    portions=(
        Portion(
            "jamming.txt",
            "//FRA SECRET//REL TO FRA, NATO, KEN",
            "Navigation signals are jammed north of 68 degrees since 04:00.\n",
        ),
    ),
    expected=(
        Expected("NATO", _BY_NATO),
        Expected(
            "KEN",
            (
                "withheld OUT_OF_SCOPE: collective-defence is not one of climate-disaster, cyber "
                "(demo-climate.toml:9)",
            ),
            "withheld",
        ),
    ),
)

_PASSED_ON: Final = replace(
    _JAMMING,
    author=_JANSEN,
    title="Jamming, passed on",
    source=_JAMMING.title,
    expected=(Expected("NOR", ("withheld CONSENT_REQUIRED: of FRA for NOR",), "withheld"),),
)

_ESTIMATE: Final = Sending(
    author=_JANSEN,
    title="Estimate of the organisation",
    category=_DEFENCE,
    precedence="PRIORITY",
    portions=(Portion("estimate.txt", "//NATO SECRET", "The jamming is expected to last for two days.\n"),),
    expected=(
        Expected("FRA", _BY_NATO),
        Expected("USA", _BY_NATO),
        Expected("NOR", _BY_NATO),
        Expected("KEN", ("withheld NOT_RELEASABLE_TO: KEN is not covered",), "withheld"),
    ),
)

_RED: Final = Sending(
    author=_DURAND,
    title="Who jams",
    category=_DEFENCE,
    precedence="PRIORITY",
    portions=(
        Portion("who.txt", "//FRA SECRET//REL TO FRA, NATO//TLP:RED", "The ship that jams is known.\n"),
    ),
    expected=(
        Expected("NATO", _BY_NATO),
        Expected("NOR", ("withheld TLP_RED_NOT_NAMED",), "withheld"),
    ),
)


def five() -> Scenario:
    """Return the scenario with FRA, USA, KEN, NOR, and NATO as a separate member."""
    analysts = (_DURAND, _LEROY, _MILLER, _OTIENO, _HANSEN, _JANSEN)
    return Scenario(
        name="five",
        opening=nodes_of(analysts),
        analysts=analysts,
        packs=("nato",),
        scenes=(
            Scene(
                f'{_DURAND.name} (FRA) sends "{_JAMMING.title}" to NATO: to its node, to none of its members',
                to_the_node,
            ),
            Scene(
                "NATO would pass it on to NOR: the label allows NOR, and it is still France's information",
                partial(send, sending=_PASSED_ON),
            ),
            Scene("NATO asks, FRA consents, for NOR by name: it goes by itself", consent),
            Scene(
                "NATO's own information reaches its members, and nobody else",
                partial(send, sending=_ESTIMATE),
            ),
            Scene(
                "TLP:RED reaches who is named: NATO in a label names its node, not its members",
                partial(send, sending=_RED),
            ),
        ),
        then=(
            "inbox --as {folder}/NOR/users/i.hansen",
            "consent list --as {folder}/FRA/users/c.leroy",
            "outbox --as {folder}/NATO/users/p.jansen",
        ),
    )


def to_the_node(stage: Stage) -> list[str]:
    """Release to an organisation's node: that is not a release to its members, though the label names
    them.
    """
    differences = send(stage, _JAMMING)
    for reader in (_HANSEN, _MILLER):
        if not empty(stage, reader):
            differences.append(f"{reader.member} has something that was sent to NATO")
    return differences


def consent(stage: Stage) -> list[str]:
    """Ask the originator for consent by the name of one recipient; it grants, and what was withheld is
    released.
    """
    bulletin, officer = stage.sent[_PASSED_ON.title], stage.profile(_LEROY)
    words = ("--for", "NOR", "--as")
    command("consent", "request", bulletin, *words, stage.profile(_JANSEN), out=indented(sys.stdout))
    with stage.client(_LEROY) as client:
        until(lambda: [e for e in client.consents().entries if e.state == "asked"], "FRA to be asked")
    say(f"{_LEROY.name} (FRA), releasing officer:")
    command("consent", "grant", bulletin, *words, officer, out=indented(sys.stdout))
    released = [Expected("NOR", _BY_NATO)]
    with stage.client(_JANSEN) as client:
        until(lambda: not compare(client, bulletin, released), "NOR to accept it")
    command("outbox", bulletin, "--as", stage.profile(_JANSEN), out=indented(sys.stdout))
    with stage.client(_HANSEN) as client:
        read = client.read(bulletin).portions
    texts = [shown.portion.content.decode() for shown in read]
    return unmet({f"NOR reads {texts}": texts == [portion.text for portion in _JAMMING.portions]})
