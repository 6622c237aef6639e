"""The skeleton of a treaty and its test: files that pass their checks, with a comment for every choice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from intelshare.labels import Registry
from intelshare.policy import Kind

_TREATY = """\
# What this instrument is, where its text is published, and what the file leaves out.
id = "{id}"
title = "{title}"
kind = "{kind}"{gap}# bilateral | regional | multilateral | political-commitment
# adopted = {day}
in_force = {day}              # a date is its first instant in UTC; a time carries its offset
# terminated = {day}          # if it has ended
source = "{source}"

# What one article lets through. Nothing passes that no article covers.
[[provision]]
article = "art. 1"
categories = ["cyber"]             # ["*"] is all
ceiling = "R1"                     # R0 to R4, or a level of an organisation, such as "NATO SECRET"
obligations = ["no-onward-release"]
# until = {day}               # a sunset; `reinstated` brings it back

# One block for each party. `signed` alone has no effect.
"""

_PARTY = """\
[[party]]
member = "{member}"
in_force = {day}
"""

_AFTER = """\
# left and came back:  periods = [{{ from = 2016-11-04, until = 2020-11-04 }}, {{ from = 2021-02-19 }}]
# suspended:           suspended = [{{ from = 2023-08-31, until = 2025-04-30 }}]
# reserved:            reservations = [{{ categories = ["terrorism"], level_at_least = "R4" }}]

# A row only where the general table of levels does not say it:
# [[equivalence]]
# from = "{first}"
# level = "..."
# to = "{second}"
# as = "..."
"""

_TEST = """\
# Run it: intelshare policy test {id}_test.toml --coverage --mutate
[world]
treaties = ["{id}.toml"]
"""

_CASE = """
[[case]]
name = "{name}"
at = {at}
from = "{first}"
to = "{second}"
label = "{label}"
category = "{category}"
expect = "{expect}"
{more}
"""


def skeleton(
    treaty: str, kind: Kind, members: Sequence[str], day: date, registry: Registry
) -> dict[str, str]:
    """Return file names and texts: the treaty ``treaty``, in force from ``day`` between ``members``, and its
    test.

    The first member is the sender of every case. ``members`` are two or more codes, each once.
    """
    first, second = members[0], members[1]
    head = _TREATY.format(
        id=treaty,
        title=f"Title of {treaty}",
        kind=kind.value,
        gap=" " * max(2, 26 - len(kind.value)),
        day=day,
        source="where the text can be read",
    )
    parties = "\n".join(_PARTY.format(member=member, day=day) for member in members)
    return {
        f"{treaty}.toml": head + parties + _AFTER.format(first=first, second=second),
        f"{treaty}_test.toml": _TEST.format(id=treaty) + "".join(_cases(treaty, members, day, registry)),
    }


def _cases(treaty: str, members: Sequence[str], day: date, registry: Registry) -> list[str]:
    first, second = members[0], members[1]
    passes: dict[str, object] = {
        "expect": "allow",
        "more": f'basis = "{treaty}"\narticle = "art. 1"\nobligations = ["no-onward-release"]',
    }
    day_before = date.fromordinal(day.toordinal() - 1)
    made: list[dict[str, object]] = [
        *({"name": f"{member} receives", "second": member, **passes} for member in members[1:]),
        {
            "name": "another matter is out of scope",
            "category": "terrorism",
            "more": 'reason = "OUT_OF_SCOPE"',
        },
        {"name": "nothing passes the day before", "at": day_before, "more": 'reason = "NOT_YET_IN_FORCE"'},
    ]
    states = sorted(
        filter(registry.is_state, members), key=lambda member: bool(registry.level_names.get(member))
    )
    if len(states) > 1:
        # A joint label needs no ladder of its sender; the recipient's decides, so a state with one receives.
        *_, sender, reader = states
        joint = f"//JOINT {{}} {' '.join(sorted((sender, reader)))}//REL TO {sender}, {reader}"
        pair = {"first": sender, "second": reader}
        known = bool(registry.level_names.get(reader))
        reason = "EXCEEDS_CEILING" if known else "NO_EQUIVALENCE"
        above = {"label": joint.format("CONFIDENTIAL"), "more": f'reason = "{reason}"'}
        made.append({"name": "nothing confidential passes", **pair, **above})
        if known:
            made.append({"name": "restricted passes", "label": joint.format("RESTRICTED"), **pair, **passes})
    usual = {
        "at": day,
        "first": first,
        "second": second,
        "label": "TLP:AMBER",
        "category": "cyber",
        "expect": "deny",
    }
    return [_CASE.format(**{**usual, **one}) for one in made]
