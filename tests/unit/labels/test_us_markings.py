"""Markings as the public manuals of the United States show them: each is read, or refused for what it is."""

from __future__ import annotations

from collections import Counter

import pytest

from intelshare.builtin import builtin_registry
from intelshare.errors import LabelError
from intelshare.labels import parse_label

REGISTRY = builtin_registry()

READ = (
    "UNCLASSIFIED",
    "UNCLASSIFIED//FOUO",
    "UNCLASSIFIED//FOR OFFICIAL USE ONLY",
    "UNCLASSIFIED//LES",
    "UNCLASSIFIED//LAW ENFORCEMENT SENSITIVE",
    "UNCLASSIFIED//REL TO USA, GBR",
    "CONFIDENTIAL",
    "SECRET",
    "TOP SECRET",
    "CONFIDENTIAL//NOFORN",
    "SECRET//NOT RELEASABLE TO FOREIGN NATIONALS",
    "SECRET//ORCON",
    "SECRET//ORCON/NOFORN",
    "SECRET//ORIGINATOR CONTROLLED",
    "SECRET//PROPIN",
    "SECRET//RELIDO",
    "SECRET//ORCON/RELIDO",
    "SECRET//RELEASABLE BY INFORMATION DISCLOSURE OFFICIAL",
    "TOP SECRET//REL TO USA, FVEY",
    "TOP SECRET//REL TO USA, ACGU",
    "SECRET//REL TO USA, TEYE",
    "CONFIDENTIAL//REL TO USA, ISAF",
    "SECRET//REL TO USA, NATO",
    "SECRET//AUTHORIZED FOR RELEASE TO USA, AUS, GBR",
    "SECRET//DISPLAY ONLY AFG",
    "SECRET//REL TO USA, IRQ/DISPLAY ONLY AFG",
    "SECRET//FGI GBR//NOFORN",
    "SECRET//FGI DEU GBR//REL TO USA, DEU, GBR",
    "SECRET//FGI//NOFORN",
    "SECRET//FGI NATO//NOFORN",
    "//DEU SECRET",
    "//GBR SECRET",
    "//NATO SECRET",
    "//COSMIC TOP SECRET",
    "//JOINT SECRET CAN GBR USA//REL TO USA, CAN, GBR",
    "//JOINT SECRET GBR USA//REL TO USA, FVEY",
    "(U)",
    "(U//FOUO)",
    "(C)",
    "(S)",
    "(TS)",
    "(S//NF)",
    "(TS//OC/NF)",
    "(S//PR)",
    "(S//RELIDO)",
    "(S//REL TO USA, AUS, CAN, GBR, NZL)",
    "(//NS)",
    "(//CTS)",
    "(//DEU S)",
    "(S//FGI GBR)",
    "(S//DISPLAY ONLY IRQ)",
    "(//JOINT S CAN USA)",
)

REFUSED = {
    "COMPARTMENT_NOT_CARRIED": (
        "TOP SECRET//SI//NOFORN",
        "TOP SECRET//SI/TK//NOFORN",
        "TOP SECRET//SI-G ABCD//ORCON/NOFORN",
        "(TS//TK//NF)",
        "TOP SECRET//HCS-P//ORCON/NOFORN",
        "TOP SECRET//HCS-O SI-G/TK//NOFORN",
        "SECRET//KDK//NOFORN",
        "SECRET//RSV-ABC",
        "SECRET//SAR-BUTTER POPCORN//NOFORN",
        "SECRET//SAR-BP",
        "TOP SECRET//SPECIAL ACCESS REQUIRED-SODA",
        "TOP SECRET//SAR-BP/CD//NOFORN",
        "SECRET//HVSACO",
        "SECRET//RD//NOFORN",
        "SECRET//RD-CNWDI//NOFORN",
        "TOP SECRET//RD-SIGMA 18//NOFORN",
        "SECRET//FRD//NOFORN",
        "CONFIDENTIAL//TFNI//NOFORN",
        "UNCLASSIFIED//DOD UCNI",
        "UNCLASSIFIED//DOE UCNI",
        "//NATO SECRET//ATOMAL",
        "//COSMIC TOP SECRET//BOHEMIA",
        "//COSMIC TOP SECRET//BALK",
    ),
    "UNKNOWN_CONTROL": (
        "SECRET//IMCON",
        "SECRET//RSEN",
        "SECRET//FISA",
        "SECRET//EXDIS",
        "SECRET//NODIS",
        "UNCLASSIFIED//LIMDIS",
        "UNCLASSIFIED//SBU",
        "UNCLASSIFIED//SBU NOFORN",
        "UNCLASSIFIED//SSI",
        "UNCLASSIFIED//DEA SENSITIVE",
        "UNCLASSIFIED//LES NOFORN",
        "(S//REL)",
        "(S//EYES)",
        "SECRET//DEA SENSITIVE//LIMDIS/",
        "UNCLASSIFIED//CUI",
    ),
    "NOFORN_WITH_REL_TO": ("SECRET//NOFORN/REL TO USA, GBR",),
    "CONTROLS_CONFLICT": ("SECRET//NOFORN/RELIDO", "SECRET//RELIDO/DISPLAY ONLY AFG"),
    "REL_TO_WITHOUT_AUTHORITY": ("SECRET//REL TO GBR, CAN",),
    "EMPTY_REL_TO": ("SECRET//REL TO",),
    "EMPTY_DISPLAY_ONLY": ("SECRET//DISPLAY ONLY",),
    "UNKNOWN_LEVEL": ("RESTRICTED", "CUI", "CONTROLLED", "//FRA CONFIDENTIAL", "SERCET//NOFORN"),
    "UNKNOWN_MEMBER": ("SECRET//REL TO USA, UK", "SECRET//FGI USA"),
    "JOINT_NEEDS_TWO": ("//JOINT SECRET USA",),
}


@pytest.mark.parametrize("text", READ)
def test_what_has_a_rule_is_read(text: str) -> None:
    parse_label(text, REGISTRY)


@pytest.mark.parametrize(
    ("code", "text"), [(code, text) for code, texts in REFUSED.items() for text in texts]
)
def test_what_has_none_is_refused_for_what_it_is(code: str, text: str) -> None:
    with pytest.raises(LabelError) as caught:
        parse_label(text, REGISTRY)
    assert caught.value.code == code


def test_no_marking_stands_twice() -> None:
    counted = Counter([*READ, *(text for texts in REFUSED.values() for text in texts)])
    assert max(counted.values()) == 1
