"""The effect of a treaty among 190 parties is found by asking each state of affairs once, not each pair."""

from __future__ import annotations

import time

from intelshare.builtin import builtin_registry
from intelshare.policy import World, compile_world, parse_treaty
from intelshare.policy_tools import effects
from waits import patient

PARTIES = 190
SECONDS = 10


def world(categories: str, ceiling: str) -> World:
    registry = builtin_registry()
    states = sorted(registry.states)[:PARTIES]
    head = (
        'id = "big"\ntitle = "t"\nkind = "multilateral"\nin_force = 2000-01-01\nsource = "s"\n'
        f'[[provision]]\narticle = "art. 1"\ncategories = {categories}\nceiling = "{ceiling}"\n'
    )
    # Each joined on its own day: no two parties are alike throughout.
    parties = [
        f'[[party]]\nmember = "{state}"\nin_force = {2000 + number % 20}-01-{1 + number % 28:02}\n'
        for number, state in enumerate(states)
    ]
    return compile_world(registry, states, [parse_treaty(head + "".join(parties), "big.toml", registry)])


def test_a_treaty_of_190_parties_that_is_opened_to_all_categories_is_compared_in_seconds() -> None:
    before, after = world('["cyber"]', "R1"), world('["*"]', "R4")
    began = time.process_time()
    found = effects(before, after)
    assert time.process_time() - began < patient(SECONDS)
    opened = [one for one in found if one.category == "any other"]
    assert {(one.sender, one.recipient) for one in opened} == {
        (sender, recipient)
        for sender in before.members
        for recipient in before.members
        if sender != recipient
    }
    # From the day on which the later of the two is bound.
    starts = {party.member: party.in_force[0].start for party in after.treaties[0].parties}
    assert all(
        one.start == max(starts[one.sender], starts[one.recipient])
        for one in opened
        if one.levels[0].name == "R0"
    )
