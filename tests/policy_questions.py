"""Questions and labels for hypothesis, about the world of the decision vectors."""

import json
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st

from intelshare import instant
from intelshare.labels import CONTROLS, EYES_ONLY, JOINT, NOFORN, RELIDO, TLP_WORDS, Label
from intelshare.policy import Request
from intelshare.policy.vectors import world_from_json

quick = settings(max_examples=150, deadline=None, derandomize=True)
VECTORS = Path(__file__).parent / "vectors" / "decisions.json"
WORLD = world_from_json(json.loads(VECTORS.read_text("utf-8"))["world"])
NAMES = {
    authority: [
        level.name
        for row in WORLD.registry.ladder(authority).rows
        for level in row.levels
        if level.name != "UNMARKED" or authority in ("EU", "KEN", "CHE")
    ]
    for authority in ("USA", "FRA", "GBR", "DEU", "POL", "KEN", "CHE", "NATO", "EU", JOINT)
}
CODES = sorted({*WORLD.members, *WORLD.registry.groups})
STATES = sorted(WORLD.registry.states)
MEMBERS = ["USA", "FRA", "GBR", "DEU", "POL", "KEN", "UKR", "SWE", "FIN", "NATO", "EU"]
CATEGORIES = ["cyber", "terrorism", "organised-crime", "climate-disaster", "arms-transfer", "proliferation"]
FLAGS = ["personal-data", "source-identity"]
INSTANTS = [*map(instant.parse, ("1990-01-01", "2019-06-01", "2021-06-01", "2024-06-01", "2026-06-01"))]


@st.composite
def labels(draw, authorities=tuple(NAMES)):
    """Sound labels of all authorities, as a parser would give them (up to the order of codes)."""
    if draw(st.integers(0, 9)) == 0:
        return Label(tlp=draw(st.sampled_from(TLP_WORDS)))
    authority = draw(st.sampled_from(authorities))
    owners = ()
    if authority == JOINT:
        owners = tuple(sorted(draw(st.sets(st.sampled_from(STATES[:6]), min_size=2, max_size=3))))
    controls = draw(st.sets(st.sampled_from(CONTROLS), max_size=2))
    if NOFORN in controls:
        controls -= {RELIDO, EYES_ONLY}
    releasable = displayable = fgi = None
    if not controls & {NOFORN, RELIDO} and draw(st.integers(0, 3)) == 0:
        displayable = tuple(
            sorted(draw(st.sets(st.sampled_from([*MEMBERS, "FVEY"]), min_size=1, max_size=3)))
        )
    if authority == "USA" and draw(st.integers(0, 3)) == 0:
        fgi = tuple(sorted(draw(st.sets(st.sampled_from(["FRA", "GBR", "DEU"]), max_size=2))))
    if NOFORN not in controls and draw(st.booleans()):
        named = draw(st.sets(st.sampled_from([*MEMBERS, "FVEY"]), min_size=1, max_size=5))
        releasable = tuple(sorted(named | (set(owners) if owners else {authority})))
    return Label(
        authority=authority,
        level=draw(st.sampled_from(NAMES[authority])),
        releasable_to=releasable,
        controls=tuple(control for control in CONTROLS if control in controls),
        tlp=draw(st.sampled_from([None, None, None, *TLP_WORDS])),
        owners=owners,
        displayable_to=displayable,
        fgi=fgi,
    )


@st.composite
def requests(draw):
    label = draw(labels())
    sender = draw(st.sampled_from(MEMBERS))
    if label.authority in MEMBERS and draw(st.integers(0, 3)):
        sender = label.authority
    return Request(
        label=label,
        category=draw(st.sampled_from(CATEGORIES)),
        at=draw(st.sampled_from(INSTANTS)),
        sender=sender,
        recipient=draw(st.sampled_from(MEMBERS)),
        originator=draw(st.sampled_from([None, None, "USA"])),
        flags=frozenset(draw(st.sets(st.sampled_from(FLAGS), max_size=1))),
        consents=frozenset(draw(st.sets(st.sampled_from(MEMBERS), max_size=4))),
        approvals=frozenset(draw(st.sets(st.sampled_from(["USA-two-person", "FRA-terrorism-release"])))),
    )


def facts(decision):
    """All that a decision says."""
    return (
        decision.outcome,
        decision.codes,
        decision.basis,
        decision.obligations,
        decision.holds,
        decision.citations,
        decision.findings,
    )
