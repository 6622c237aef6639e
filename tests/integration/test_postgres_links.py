"""Links divided among processes over one schema of PostgreSQL: locks of the sessions that write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from intelshare.store.postgres.lease import Division
from intelshare.store.postgres.store import PostgresStore
from intelshare.store.postgres.together import Claim
from intelshare.store.server import Server
from postgres_server import asked, new_schema, server_url
from together_stores import leading, together, until

ALL = frozenset({"KEN", "NOR", "USA"})


@pytest.fixture
def server() -> Server:
    return Server(server_url(), new_schema())


class Seen:
    """What one process is told of the links."""

    def __init__(self, store: PostgresStore) -> None:
        assert store.together is not None
        self.store, self.session = store, store.together.session
        self.held: frozenset[str] = frozenset()
        self.division: Division | None = None
        self.heard: list[str] = []
        store.together.divided = self._divided
        store.heard = self.heard.append

    def _divided(self, division: Division, held: frozenset[str]) -> None:
        self.division, self.held = division, held

    def claims(self, *hold: str, call: Any = (), part: bool = True) -> None:
        self.store.claim(Claim(ALL, frozenset(hold), frozenset(call), part))


async def test_a_link_is_held_by_one_session_until_it_gives_it_up(server: Server, tmp_path: Path) -> None:
    with together(server, tmp_path, count=2) as stores:
        one, other = map(Seen, stores)
        one.claims("USA", "KEN", call=("NOR",))
        await until(lambda: one.held == {"USA", "KEN"})
        other.claims("USA", "NOR")
        await until(lambda: other.division is not None and len(other.division.sessions) == 2)
        assert other.division is not None
        assert other.held == {"NOR"}
        assert other.division.holders == {"USA": one.session, "KEN": one.session, "NOR": other.session}
        assert other.division.called == {"NOR"}
        assert other.division.leads == one.session
        one.claims("KEN")
        await until(lambda: other.held == {"NOR", "USA"})
        other.claims(part=False)
        await until(lambda: one.division is not None and one.division.sessions == (one.session,))
        assert one.division is not None
        assert one.division.holders == {"KEN": one.session}


async def test_whoever_loses_its_session_loses_its_links_and_hears_of_it(
    server: Server, tmp_path: Path
) -> None:
    with together(server, tmp_path, count=2) as stores:
        one, other = map(Seen, stores)
        (leads,) = leading(stores)
        assert leads is one.store
        other.claims("USA", "NOR")
        await until(lambda: other.held == {"USA", "NOR"})
        one.claims("USA")
        await until(lambda: one.division is not None and one.division.holders["USA"] == other.session)
        asked(server.url, f"SELECT pg_terminate_backend({other.session})")
        await until(lambda: one.held == {"USA"})
        await until(lambda: other.held == {"NOR"})


async def test_what_one_process_says_all_others_hear_and_nothing_of_it_is_kept(
    server: Server, tmp_path: Path
) -> None:
    with together(server, tmp_path, count=3) as stores:
        one, *others = map(Seen, stores)
        for other in others:

            def told(other: Seen = other) -> bool:
                one.store.tell("USA aGVsbG8=")  # again, until it listens
                return "USA aGVsbG8=" in other.heard

            await until(told)
        assert one.heard == []
