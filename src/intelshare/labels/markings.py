"""The markings after the classification: which are read, by which words, and which are known but never
carried.

Sources: CAPCO, Intelligence Community Markings System Register and Manual (unclassified release of 2016), and
for NATO's categories C-M(2002)49. A marking for which there is no rule is never carried; an error that says
what such a block is helps more than one that treats it as a typing mistake.
"""

from __future__ import annotations

import re

from intelshare.labels.label import CONTROLS, FOUO, LES, NOFORN, ORCON, PROPIN, RELIDO

CONTROL_TEXTS = {
    **{control: control for control in CONTROLS},
    "PR": PROPIN,
    "OC": ORCON,
    "NF": NOFORN,
    # A banner may spell a marking by its title (Manual, D.1).
    "FOR OFFICIAL USE ONLY": FOUO,
    "LAW ENFORCEMENT SENSITIVE": LES,
    "CAUTION-PROPRIETARY INFORMATION INVOLVED": PROPIN,
    "ORIGINATOR CONTROLLED": ORCON,
    "NOT RELEASABLE TO FOREIGN NATIONALS": NOFORN,
    "RELEASABLE BY INFORMATION DISCLOSURE OFFICIAL": RELIDO,
}
"""Every text of a control that has no list: its name, its short form, its title."""

REL_TO_TEXTS = ("REL TO", "AUTHORIZED FOR RELEASE TO")
DISPLAY_ONLY_TEXTS = ("DISPLAY ONLY",)
FGI_TEXTS = ("FGI", "FOREIGN GOVERNMENT INFORMATION")

CONFLICTS = tuple(
    frozenset(pair)
    for pair in (
        (NOFORN, RELIDO),
        (NOFORN, "DISPLAY ONLY"),
        (NOFORN, "EYES ONLY"),
        (RELIDO, "DISPLAY ONLY"),
    )
)
"""The controls that contradict each other (Manual, H.8); NOFORN with REL TO has a separate error."""

_NOT_CARRIED = (
    (
        "sensitive compartmented information (SCI)",
        r"(?:SI|COMINT|SPECIAL INTELLIGENCE|TK|TALENT KEYHOLE|HCS|HUMINT|RSV|RESERVE|KDK|KLONDIKE|EL|ENDSEAL"
        r"|GAMMA|BYE|BYEMAN|BUR)(?:[ -].*)?",
    ),
    ("a special access programme", r"(?:SAR|SAP|SPECIAL ACCESS REQUIRED)(?:[ -].*)?|HVSACO"),
    (
        "information on atomic energy",
        r"(?:RD|RESTRICTED DATA|FRD|FORMERLY RESTRICTED DATA|TFNI|CNWDI)(?:[ -].*)?"
        r"|TRANSCLASSIFIED FOREIGN NUCLEAR INFORMATION|CRITICAL NUCLEAR WEAPON DESIGN INFORMATION"
        r"|(?:DOD |DOE |D)?UCNI|(?:DOD |DOE )?UNCLASSIFIED CONTROLLED NUCLEAR INFORMATION|DCNI|SIGMA .*|SG .*"
        r"|(?:.*[ -])?ATOMAL|CTSA|NSAT|NCA",
    ),
    ("a special category of NATO", r"(?:.*[ -])?(?:BOHEMIA|BALK)|CTS-B"),
)
_NOT_READ = (
    ("a control of the intelligence community", r"IMC|IMCON|CONTROLLED IMAGERY|RS|RSEN|RISK SENSITIVE|FISA"),
    (
        "a marking of the Department of State",
        r"DS|LIMDIS|LIMITED DISTRIBUTION|XD|EXDIS|EXCLUSIVE DISTRIBUTION|ND|NODIS|NO DISTRIBUTION",
    ),
    (
        "a marking outside the intelligence community",
        r"DSEN|DEA SENSITIVE|SBU|SBU[ -]NF|SBU NOFORN|SENSITIVE BUT UNCLASSIFIED(?: NOFORN)?|LES[ -]NF"
        r"|LES NOFORN|LAW ENFORCEMENT SENSITIVE NOFORN|SSI|SENSITIVE SECURITY INFORMATION|CUI(?: .*)?|CUI-.*",
    ),
)
_POINTERS = ("REL", "EYES")


def not_carried(text: str) -> str | None:
    """Say what a compartment, special access or atomic energy block is, in words; None for any other text."""
    return next((words for words, form in _NOT_CARRIED if re.fullmatch(form, text)), None)


def not_read(text: str) -> str | None:
    """Say what a known marking is for which there is no rule here; None for any other text."""
    if text in _POINTERS:
        return "the short form that refers to the list in the banner: write out the list"
    return next((words for words, form in _NOT_READ if re.fullmatch(form, text)), None)


def list_after(text: str, words: tuple[str, ...]) -> int | None:
    """Return the number of characters before the text's list, if the text begins with one of the words."""
    return next((len(word) for word in words if text == word or text.startswith(word + " ")), None)
