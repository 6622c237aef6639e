"""CAP 1.2: each element where the schema has it, the banner as the restriction, and text that stays text."""

from __future__ import annotations

import re

import pytest
from defusedxml.ElementTree import fromstring

from intelshare.crypto.records import PortionKind
from intelshare.errors import DeliveryError
from intelshare.instant import DAY, Instant
from intelshare.interop import Shared, write_cap
from interop_world import AT, REGISTRY, SECRET, bulletin, portion

NAMESPACE = "{urn:oasis:names:tc:emergency:cap:1.2}"
ALERT = [
    "identifier", "sender", "sent", "status", "msgType", "source", "scope", "restriction", "addresses",
    "code", "note", "references", "incidents", "info",
]  # fmt: skip
INFO = [
    "language", "category", "event", "responseType", "urgency", "severity", "certainty", "audience",
    "eventCode", "effective", "onset", "expires", "senderName", "headline", "description", "instruction",
    "web", "contact", "parameter", "resource", "area",
]  # fmt: skip
WORDS = {
    "status": {"Actual", "Exercise", "System", "Test", "Draft"},
    "msgType": {"Alert", "Update", "Cancel", "Ack", "Error"},
    "scope": {"Public", "Restricted", "Private"},
    "category": {
        "Geo", "Met", "Safety", "Security", "Rescue", "Fire", "Health", "Env", "Transport", "Infra", "CBRNE",
        "Other",
    },
    "urgency": {"Immediate", "Expected", "Future", "Past", "Unknown"},
    "severity": {"Extreme", "Severe", "Moderate", "Minor", "Unknown"},
    "certainty": {"Observed", "Likely", "Possible", "Unlikely", "Unknown"},
}  # fmt: skip
"""The sequences and closed sets of CAP 1.2 (OASIS Standard, section 3.2 and its schema, 3.4)."""
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d")
FREE = "//FRA NON PROTEGE//TLP:CLEAR"


def flood(label: str = FREE, text: str = "The dam at Lokoja", **given: str) -> Shared:
    title = portion(label, "Flood", PortionKind.TITLE, category="climate-disaster")
    return bulletin(title, portion(label, text, category="climate-disaster", **given))


def elements(data: bytes) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Name and text of the children of the alert, and of its info."""
    root = fromstring(data, forbid_dtd=True)
    assert root.tag == f"{NAMESPACE}alert"
    children = [(one.tag.removeprefix(NAMESPACE), one.text or "") for one in root]
    (info,) = root.findall(f"{NAMESPACE}info")
    return children, [(one.tag.removeprefix(NAMESPACE), one.text or "") for one in info]


@pytest.mark.parametrize(
    "label", [FREE, SECRET, "TLP:CLEAR", "TLP:RED", "//FRA NON PROTEGE//REL TO FRA, USA"]
)
def test_every_element_stands_where_the_schema_has_it_and_says_what_it_may(label: str) -> None:
    alert, info = elements(write_cap(flood(label, grade="B2"), REGISTRY, Instant(AT + DAY)))
    for found, order in ((alert, ALERT), (info, INFO)):
        places = [order.index(name) for name, _ in found]
        assert places == sorted(places)
        for name, text in found:
            assert text in WORDS.get(name, {text})
            assert TIME.fullmatch(text) or name not in ("sent", "expires")
    assert {"identifier", "sender", "sent", "status", "msgType", "scope"} <= {name for name, _ in alert}
    assert {"category", "event", "urgency", "severity", "certainty"} <= {name for name, _ in info}
    assert not re.search(r"[\s,<&]", dict(alert)["identifier"] + dict(alert)["sender"])
    assert dict(info)["certainty"] == "Likely"


def test_only_what_is_for_everybody_is_public_and_all_else_says_its_banner() -> None:
    assert ("scope", "Public") in elements(write_cap(flood(), REGISTRY))[0]
    for label in (SECRET, "TLP:GREEN", "//FRA NON PROTEGE//REL TO FRA, USA", "UNCLASSIFIED//NOFORN"):
        alert = dict(elements(write_cap(flood(label), REGISTRY))[0])
        assert alert["scope"] == "Restricted"
        assert alert["restriction"]


def test_text_stays_text() -> None:
    text = "<!ENTITY x> ]]> & \x00\x1b \ufffe <script>\U0001f30a"
    info = dict(elements(write_cap(flood(text=text), REGISTRY))[1])
    assert info["description"].startswith("<!ENTITY x> ]]> & ")
    assert info["description"].endswith("<script>\U0001f30a")


def test_a_bulletin_about_something_else_is_no_alert() -> None:
    with pytest.raises(DeliveryError, match="INPUT_INVALID"):
        write_cap(bulletin(portion()), REGISTRY)
