"""What the store in PostgreSQL does while its folder, its password or its schema is not as it has to be."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from intelshare.broker.kernel.tables import TABLES as BROKER_TABLES
from intelshare.errors import ConfigError, StoreError
from intelshare.ports import Store
from intelshare.store.engines import Location, open_at
from intelshare.store.postgres import keys, listener
from intelshare.store.postgres.connection import PostgresConnection
from intelshare.store.postgres.database import PostgresDatabase, Unavailable
from intelshare.store.postgres.lease import Joining
from intelshare.store.postgres.listener import Listener
from intelshare.store.postgres.schema import first_schema
from intelshare.store.postgres.store import PostgresStore, open_store
from intelshare.store.server import Server
from postgres_server import asked, new_schema, server_url
from store_tables import KEY, TABLES, THING, Secret, put, thing
from together_stores import joined, until
from waits import LIMIT

PASSWORD = "password"

Opens = Callable[..., PostgresStore]


def alone(server: Server, folder: Path, **options: Any) -> PostgresStore:
    return open_store(server, folder, TABLES, KEY, steps=[first_schema(TABLES)], **options)


WAYS = pytest.mark.parametrize("opens", [alone, joined], ids=["alone", "together"])


@pytest.fixture
def server() -> Server:
    return Server(server_url(), new_schema(), PASSWORD)


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / PASSWORD
    path.write_text("asked for by nobody")
    path.chmod(0o600)
    return path


@contextmanager
def opened(opens: Opens, server: Server, folder: Path, told: list[str]) -> Iterator[PostgresStore]:
    store = opens(server, folder, on_failure=lambda error: told.append(error.code))
    try:
        yield store
    finally:
        store.close()


def end_session(store: PostgresStore) -> None:
    pid = store._database._writer.raw.info.backend_pid
    asked(store._database._server.url, f"SELECT pg_terminate_backend({pid})")


async def performed(store: PostgresStore, *rows: Any) -> None:
    """Within seconds: nobody waits for ever."""
    await asyncio.wait_for(store.perform(put(*rows)), LIMIT)


async def refused(store: PostgresStore, code: str) -> StoreError:
    """The error with this code, which comes sooner or later."""
    for _ in range(1000):
        try:
            await performed(store, thing("refused"))
        except StoreError as error:
            if error.code == code:
                return error
        await asyncio.sleep(0.02)
    raise AssertionError(f"{code} never came")


async def taken(store: PostgresStore, *rows: Any) -> None:
    """Try again for as long as the database is away."""
    for _ in range(1000):
        with contextlib.suppress(Unavailable):
            return await performed(store, *rows)
        await asyncio.sleep(0.02)
    raise AssertionError("it never came back")


# --- a full folder ------------------------------------------------------------------------------------------


@WAYS
async def test_p17_a_folder_without_room_for_a_key_refuses_secrets_alone_and_goes_on_once_there_is(
    server: Server, password: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opens: Opens
) -> None:
    told: list[str] = []

    def full(path: Path, _: bytes) -> None:
        raise StoreError("DISK_FULL", f"{path.name} could not be written", hint="free some space")

    with opened(opens, server, tmp_path, told) as store:
        monkeypatch.setattr(keys, "write_private", full)
        secret, other = await asyncio.gather(
            performed(store, Secret("s", 1, b"x" * 40)), performed(store, thing("a")), return_exceptions=True
        )
        assert isinstance(secret, StoreError)
        assert secret.code == "DISK_FULL"
        assert other is None
        monkeypatch.undo()
        await performed(store, Secret("s", 1, b"x" * 40))
    assert told == []


# --- the file of the password -------------------------------------------------------------------------------


def gone(password: Path, _: pytest.MonkeyPatch) -> None:
    password.unlink()


def open_to_others(password: Path, _: pytest.MonkeyPatch) -> None:
    password.chmod(0o644)


def no_descriptor(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def password(_: Server, __: Path) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Server, "password", password)


def back(password: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    password.write_text("asked for by nobody")
    password.chmod(0o600)


TROUBLES = pytest.mark.parametrize(
    ("trouble", "says"),
    [
        (gone, "no file password"),
        (open_to_others, "password: others can read this"),
        (no_descriptor, "Too many open files"),
    ],
)


@WAYS
@TROUBLES
async def test_p17_a_password_that_cannot_be_read_is_said_and_waited_for(
    server: Server,
    password: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opens: Opens,
    trouble: Callable[[Path, pytest.MonkeyPatch], None],
    says: str,
) -> None:
    told: list[str] = []
    with opened(opens, server, tmp_path, told) as store:
        await performed(store, thing("a"))
        trouble(password, monkeypatch)
        end_session(store)
        for _ in range(1000):
            if says in (await refused(store, "STORE_UNAVAILABLE")).message:
                break
            await asyncio.sleep(0.02)
        else:
            raise AssertionError("nobody says why")
        with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
            store.ask_now(lambda view: view.count(THING, "key"))
        back(password, monkeypatch)
        await taken(store, thing("b"))
        assert store.ask_now(lambda view: view.count(THING, "key")) == 2
    assert set(told) == {"STORE_UNAVAILABLE"}


async def test_a_question_that_needs_a_session_says_that_the_database_cannot_be_reached(
    server: Server, password: Path, tmp_path: Path
) -> None:
    with opened(alone, server, tmp_path, []) as store:
        await performed(store, thing("a"))
    with opened(alone, server, tmp_path, []) as store:
        await until(lambda: bool(store._database._free))  # it has learned which rows there are
        store._database._let_go()
        password.unlink()
        with pytest.raises(StoreError, match=r"STORE_UNAVAILABLE.*no file password"):
            store.ask_now(lambda view: view.find(THING, "key"))


@WAYS
async def test_a_store_ends_although_the_password_is_gone_and_the_database_away(
    server: Server, password: Path, tmp_path: Path, opens: Opens
) -> None:
    store = opens(server, tmp_path)
    password.unlink()
    end_session(store)
    await refused(store, "STORE_UNAVAILABLE")
    await asyncio.wait_for(asyncio.to_thread(store.close), LIMIT)


def losing(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, then: Callable[[], None], *, happened: bool
) -> None:
    """The next commit loses its answer."""
    commit = PostgresConnection._commit
    lost: list[bool] = []

    def lose(self: PostgresConnection) -> None:
        if lost or self is not store._database._writer:
            return commit(self)
        lost.append(True)
        if happened:
            commit(self)
        self.raw.close()
        then()
        raise psycopg.OperationalError("the line is dead")

    monkeypatch.setattr(PostgresConnection, "_commit", lose)


@WAYS
@pytest.mark.parametrize("happened", [True, False])
async def test_p2_a_commit_is_in_doubt_until_the_password_is_back(
    server: Server,
    password: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opens: Opens,
    happened: bool,
) -> None:
    told: list[str] = []
    with opened(opens, server, tmp_path, told) as store:
        losing(store, monkeypatch, password.unlink, happened=happened)
        doubted = asyncio.ensure_future(performed(store, thing("a")))
        await until(lambda: bool(told))
        await asyncio.sleep(0.5)
        assert not doubted.done()
        back(password, monkeypatch)
        if happened:
            await doubted
        else:
            with pytest.raises(StoreError, match="STORE_UNAVAILABLE"):
                await doubted
        await taken(store, thing("b"))
        assert store.ask_now(lambda view: view.count(THING, "key")) == 1 + happened
    assert set(told) == {"STORE_UNAVAILABLE"}


@WAYS
@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), ValueError("nobody has thought of this")])
async def test_p2_nobody_says_that_nothing_changed_when_whether_it_did_was_not_found_out(
    server: Server,
    password: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opens: Opens,
    error: Exception,
) -> None:
    def fails() -> bool:
        raise error

    told: list[str] = []
    with opened(opens, server, tmp_path, told) as store:
        losing(store, monkeypatch, lambda: None, happened=True)
        monkeypatch.setattr(store._database, "_is_there", fails)
        with pytest.raises(StoreError, match="OUTCOME_UNKNOWN"):
            await performed(store, thing("a"))
        await refused(store, "DISK_ERROR")
    assert told[-1] == "DISK_ERROR"


async def test_p2_a_server_that_is_lost_again_before_it_has_said_what_happened_is_asked_again(
    server: Server, password: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_there, met = PostgresDatabase._is_there, []

    def once(self: PostgresDatabase) -> bool:
        if not met:
            met.append(True)
            self._writer.raw.close()
        return is_there(self)

    told: list[str] = []
    with opened(alone, server, tmp_path, told) as store:
        losing(store, monkeypatch, lambda: None, happened=True)
        monkeypatch.setattr(PostgresDatabase, "_is_there", once)
        await performed(store, thing("a"))
        assert met
        await performed(store, thing("b"))
    assert set(told) == {"STORE_UNAVAILABLE"}


async def test_p2_what_is_stored_on_one_disk_only_is_not_said_to_be_refused(
    server: Server, password: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = PostgresConnection._send

    def warned(self: PostgresConnection, text: str, values: Any) -> Any:
        answer = send(self, text, values)
        self._warned |= text == "COMMIT" and threading.current_thread().name == "store-writer"
        return answer

    told: list[str] = []
    with opened(alone, server, tmp_path, told) as store:
        monkeypatch.setattr(PostgresConnection, "_send", warned)
        with pytest.raises(StoreError, match="OUTCOME_UNKNOWN"):
            await performed(store, thing("a"))
        await refused(store, "DISK_ERROR")
    assert told == ["DISK_ERROR"]


@pytest.mark.parametrize("error", [ConfigError("NOT_FOUND", "there is no file"), OSError(errno.EMFILE, "")])
def test_who_listens_tries_again_whatever_went_wrong(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    tried = threading.Semaphore(0)

    def fails(*_: object, **__: object) -> None:
        tried.release()
        raise error

    monkeypatch.setattr(listener, "connect", fails)
    monkeypatch.setattr(listener, "_RETRY", 0.01)
    listening = Listener(server, tmp_path, "listener", lambda *_: None)
    try:
        assert all(tried.acquire(timeout=LIMIT) for _ in range(3))
    finally:
        listening.close()


# --- the schema ---------------------------------------------------------------------------------------------


@WAYS
async def test_p17_a_schema_that_was_dropped_while_the_session_was_lost_ends_the_store(
    server: Server, password: Path, tmp_path: Path, opens: Opens
) -> None:
    told: list[str] = []
    with opened(opens, server, tmp_path, told) as store:
        password.unlink()
        end_session(store)
        await refused(store, "STORE_UNAVAILABLE")
        asked(server.url, f'DROP SCHEMA "{server.schema}" CASCADE')
        password.write_text("asked for by nobody")
        password.chmod(0o600)
        error = await refused(store, "DISK_ERROR")
        assert "store_state" in error.message
    assert told[-1] == "DISK_ERROR"


@pytest.mark.parametrize("error", [psycopg.errors.SerializationFailure, psycopg.errors.DiskFull])
async def test_a_session_that_met_what_passes_while_it_came_back_is_tried_again(
    server: Server,
    password: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[psycopg.Error],
) -> None:
    arm, met = PostgresDatabase.arm, []

    def once(self: PostgresDatabase) -> None:
        if not met:
            met.append(True)
            raise error("it passes")
        arm(self)

    told: list[str] = []
    with opened(alone, server, tmp_path, told) as store:
        await performed(store, thing("a"))
        monkeypatch.setattr(PostgresDatabase, "arm", once)
        end_session(store)
        await taken(store, thing("b"))
        await until(lambda: bool(met))
    assert set(told) == {"STORE_UNAVAILABLE"}


# --- keys that cannot be read -------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize(("number", "code"), [(errno.EMFILE, "RESOURCES_SHORT"), (errno.EIO, "DISK_ERROR")])
async def test_a_key_that_cannot_be_read_refuses_the_destruction_and_not_the_next_one(
    server: Server,
    password: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    opens: Opens,
    number: int,
    code: str,
) -> None:
    def fails(*_: object) -> bytes:
        raise OSError(number, "no")

    told: list[str] = []
    with opened(opens, server, tmp_path, told) as store:
        await performed(store, Secret("s", 1, b"x" * 40), Secret("s", 2, b"y" * 40))
        await performed(store, Secret("s", 1, bytes(40)))
        monkeypatch.setattr(keys, "read_private", fails)
        store._database.keys.end_group()
        store._database.keys.forget()
        with pytest.raises(StoreError, match=code):
            await asyncio.wait_for(store.shred(), LIMIT)
        monkeypatch.undo()
        await asyncio.wait_for(store.shred(), LIMIT)
    assert told == []


# --- a damaged journal --------------------------------------------------------------------------------------


async def left_behind(opens: Opens, server: Server, folder: Path, *rows: Any) -> None:
    """A store whose process was killed: what it wrote is in the journal."""
    store = opens(server, folder)
    for row in rows:
        await performed(store, row)
    store._database.resume = lambda: False  # type: ignore[method-assign]
    end_session(store)
    await refused(store, "STORE_UNAVAILABLE")
    store.close()


def rot(server: Server, group: int, *, repairable: bool) -> None:
    changed = "sealed = set_byte(sealed, 40, get_byte(sealed, 40) # {})"
    what = changed.format(1) if repairable else f"{changed.format(2)}, parity = ''"
    asked(server.url, f'UPDATE "{server.schema}".journal SET {what} WHERE id = {group}')


def counted(store: PostgresStore) -> int:
    return store.ask_now(lambda view: view.count(THING, "key"))


@WAYS
async def test_what_cannot_be_read_of_the_journal_is_set_aside_on_an_operators_word(
    server: Server, password: Path, tmp_path: Path, opens: Opens
) -> None:
    await left_behind(opens, server, tmp_path, thing("a"), Secret("s", 1, b"x" * 40), thing("b"))
    rot(server, 2, repairable=False)
    with pytest.raises(StoreError, match=r"RECORD_CORRUPT.*group 2"):
        opens(server, tmp_path)
    with closing(opens(server, tmp_path, accept_loss=True)) as store:
        assert counted(store) == 1
        await performed(store, thing("c"))
        assert [error.table for error in store.damage.known()] == ["journal"]
    with closing(opens(server, tmp_path)) as store:
        assert counted(store) == 2


@WAYS
async def test_what_the_parity_of_the_journal_repairs_is_written_back_by_who_is_alone(
    server: Server, password: Path, tmp_path: Path, opens: Opens
) -> None:
    secrets = Secret("s", 1, b"x" * 40), Secret("s", 1, b"y" * 40)
    await left_behind(opens, server, tmp_path, thing("a"), *secrets)
    rot(server, 1, repairable=True)
    with closing(opens(server, tmp_path)) as store:
        assert counted(store) == 1
        await performed(store, thing("b"))


@pytest.mark.parametrize("accepts", [True, False])
async def test_who_joins_others_sets_nothing_aside_that_those_have(
    server: Server, password: Path, tmp_path: Path, accepts: bool
) -> None:
    with closing(joined(server, tmp_path, "a")) as first:
        await performed(first, thing("a"))
        await until(lambda: first.together is not None and first.together._shared)
        rot(server, 1, repairable=True)
        with closing(joined(server, tmp_path, "b")) as second:
            assert counted(second) == 1
        rot(server, 1, repairable=False)
        with pytest.raises(StoreError, match="RECORD_CORRUPT") as met:
            joined(server, tmp_path, "b", accept_loss=accepts)
        assert "--accept-loss" not in str(met.value.hint)
    with closing(joined(server, tmp_path, "b")) as second:
        assert counted(second) == 1


def test_the_operators_word_comes_to_who_is_the_first_of_several(
    server: Server, password: Path, tmp_path: Path
) -> None:
    def opened(*, accepts: bool) -> Store:
        joining = Joining(server, tmp_path, "a")
        held = joining.wait()
        where = Location(tmp_path / "rows.db", server, "a", held, together=True, first=joining.first)
        return open_at(replace(where, accept_loss=accepts), BROKER_TABLES, KEY)

    opened(accepts=False).close()
    asked(server.url, f"UPDATE \"{server.schema}\".store_state SET value = value + 1 WHERE name = 'last'")
    with pytest.raises(StoreError, match="RECORD_CORRUPT"):
        opened(accepts=False)
    opened(accepts=True).close()
    opened(accepts=False).close()
