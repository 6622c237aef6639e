"""The default scenario: three states, a bulletin, a withdrawal, a cut link, a recall, a forged log."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Final

from intelshare.audit import EntryType
from intelshare.demo.cut import Cut, cut
from intelshare.demo.recalling import recall
from intelshare.demo.rewriting import Rewriting, rewriting
from intelshare.demo.scenario import (
    Analyst,
    Expected,
    Portion,
    Scenario,
    Scene,
    Sending,
    nodes_of,
    spelled,
)
from intelshare.demo.sending import read, send
from intelshare.demo.withdrawal import Withdrawal, withdrawal

_DURAND: Final = Analyst("FRA", "m.durand", "SECRET", ("*",))
_MOREAU: Final = Analyst("FRA", "l.moreau", "DIFFUSION RESTREINTE", ("climate-disaster",))
_MILLER: Final = Analyst("USA", "j.miller", "SECRET", ("cyber", "terrorism"))
_NGUYEN: Final = Analyst("USA", "k.nguyen", "CONFIDENTIAL", ("climate-disaster",))
_OTIENO: Final = Analyst("KEN", "a.otieno", "R1", ("cyber", "climate-disaster"))
_KAMAU: Final = Analyst("KEN", "w.kamau", "R1", ("climate-disaster",))

_RESTRICTED: Final = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA, KEN"


@dataclass(frozen=True, slots=True)
class Story:
    """The contents of the six scenes."""

    kit: Sending
    reader: Analyst
    """Reads it in scene 2, and must see only ``granted``."""
    granted: tuple[int, ...]
    leaving: Withdrawal
    cut: Cut
    reason: str
    """The reason for recalling the bulletin of scene 1."""
    rewriting: Rewriting


STORY: Final = Story(
    kit=Sending(
        author=_DURAND,
        title="Phishing kit against grid operators",
        category="cyber",
        precedence="FLASH",
        portions=(
            Portion(
                "kit.txt",
                _RESTRICTED,
                "Phishing kit against grid operators.\n"
                "Mail from grid-maintenance.example carries a page that asks for VPN passwords.\n"
                "Block the domain; look for logins from 203.0.113.0/24 since 20 November.\n",
            ),
            Portion(
                "source.txt",
                "//FRA SECRET//REL TO FRA, USA, KEN",
                "The kit is operated by the group that we track as BLUE HERON.\n"
                "Known from access to its build server.\n",
            ),
        ),
        expected=(
            Expected("USA", ("released gsa-fra-usa art. 4", "released gsa-fra-usa art. 4")),
            Expected(
                "KEN",
                (
                    "released demo-climate art. 2",
                    "withheld EXCEEDS_CEILING: SECRET > RESTRICTED (demo-climate.toml:11)",
                ),
            ),
        ),
    ),
    reader=_OTIENO,
    granted=(0,),
    leaving=Withdrawal(
        member="USA",
        treaty="demo-climate",
        # Kenya's: France and the United States also share gsa-fra-usa, which would give a different reason.
        warning=Sending(
            author=_KAMAU,
            title="Drought warning",
            category="climate-disaster",
            precedence="PRIORITY",
            portions=(
                Portion(
                    "drought.txt",
                    "//KEN RESTRICTED//REL TO KEN, FRA, USA",
                    "Drought in Turkana and Marsabit: water points fail within three weeks.\n",
                ),
            ),
            expected=(
                Expected("FRA", ("released demo-climate art. 2",)),
                Expected("USA", ("released demo-climate art. 2",)),
            ),
        ),
        missed=_NGUYEN,
    ),
    cut=Cut(
        author=_DURAND,
        member="KEN",
        witness=_OTIENO,
        label="//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN",
        category="cyber",
        before=24,
        kill_after=8,
        while_dead=190,
        flash_while_dead=10,
    ),
    reason="the domain has changed hands",
    rewriting=Rewriting("USA", EntryType.DESTROYED, "the keys of the bulletin destroyed", "FRA"),
)


def climate(story: Story = STORY) -> Scenario:
    """Return the scenario that tells a story."""
    kit, leaving, granted = story.kit, story.leaving, len(story.granted)
    author, warning = kit.author, leaving.warning
    scenes = (
        Scene(
            f'{author.name} ({author.member}) sends "{kit.title}", {kit.precedence}, '
            f"{spelled(len(kit.portions))} portions",
            partial(send, sending=kit),
        ),
        Scene(
            f"the same bulletin, as {story.reader.member} reads it: {spelled(granted)} "
            f"{'portion' if granted == 1 else 'portions'}, signatures valid, nothing about the other",
            partial(read, sending=kit, reader=story.reader, granted=story.granted),
            f"{story.reader.member} was told nothing of what it was not given, not even that it exists.",
        ),
        Scene(
            f"{leaving.member} gives notice of withdrawal from {leaving.treaty} (90 days, then "
            f"seconds); {warning.author.member}'s drought warning is withheld: WITHDRAWN since ...",
            partial(withdrawal, story=leaving),
            f"A treaty that {leaving.member} has left opens nothing to it any more, from the second on "
            "at which its notice ends.",
        ),
        Scene(
            f"{story.cut.member}'s link is cut (its node is killed), {story.cut.since} bulletins queue, "
            f"the link returns: {story.cut.since} of {story.cut.since}, FLASH first",
            partial(cut, story=story.cut),
            f"Of {story.cut.since} bulletins that waited for a node that was killed none was lost and "
            "none came twice.",
        ),
        Scene(
            f"{author.member} recalls: {' and '.join(kit.recipients)} destroy the keys and sign for it",
            partial(recall, sending=kit, reader=story.reader, reason=story.reason),
            f"{' and '.join(kit.recipients)} have destroyed what {author.member} took back, and have "
            "signed for it; where the keys were are zeros on their disks.",
        ),
        Scene(
            f"somebody edits {story.rewriting.member}'s audit log: {story.rewriting.witness}, holding an "
            "earlier checkpoint, catches it",
            partial(rewriting, story=story.rewriting),
            f"Whoever edits {story.rewriting.member}'s log, with its disk and its keys, is caught by "
            f"{story.rewriting.witness}, and a file proves it to anybody who was not there.",
        ),
    )
    analysts = (_DURAND, _MOREAU, _MILLER, _NGUYEN, _OTIENO, _KAMAU)
    return Scenario(
        name="",
        opening=nodes_of(analysts),
        analysts=analysts,
        scenes=scenes,
        then=(
            "inbox --as {folder}/KEN/users/a.otieno",
            "outbox --as {folder}/FRA/users/m.durand",
            "treaty state demo-climate --as {folder}/KEN/users/w.kamau",
            "audit evidence --folder {folder}/FRA",
        ),
    )
