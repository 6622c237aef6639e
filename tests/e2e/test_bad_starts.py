"""A wrong folder, passphrase or port is said with code, place and hint, and changes nothing."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from pathlib import Path

import pytest

from e2e.nodes import intelshare, ok, running
from intelshare.store.folder import lock
from intelshare.vault import copy_of
from processes import ended


@pytest.fixture
def fra(tmp_path: Path) -> Path:
    """A development member that was founded and never ran."""
    ok("init", "FRA", tmp_path / "fra", "--dev")
    return tmp_path / "fra"


def state(folder: Path) -> dict[str, str]:
    """What lies in the folder; the lock and the database's working files come and go."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("lock", "intelshare.db-wal", "intelshare.db-shm")
    }


def refused(folder: Path, code: str, exit_code: int, *words: str | Path) -> str:
    """Start the node; it must refuse with this code and leave everything as it is."""
    before = state(folder)
    done = intelshare("node", "run", "--dev", "--folder", folder, *words)
    assert done.code == exit_code, done
    assert f"error[{code}]" in done.err, done.err
    assert "Traceback" not in done.err
    assert state(folder) == before
    return done.err


def test_a_wrong_passphrase(fra: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not this one\n")
    wrong.chmod(0o600)
    refused(fra, "KEYSTORE_PASSWORD", 1, "--passphrase-file", wrong)


def test_no_passphrase_and_nobody_to_ask(fra: Path) -> None:
    (fra / "passphrase").rename(fra.parent / "elsewhere")
    assert "--passphrase-file" in refused(fra, "KEYSTORE_PASSWORD", 1)


def test_a_drained_node_that_was_told_to_stop_has_ended_when_that_is_said(fra: Path) -> None:
    with running(fra) as node:
        ok("node", "drain", "--folder", fra, "--stop")
        assert node.poll() == 0


def test_a_name_in_node_toml_that_is_wrong_by_a_letter_is_said_as_that(fra: Path) -> None:
    settings = fra / "node.toml"
    whole = settings.read_text()
    for right, wrong in (('"FRA"', '"GRA"'), ("/node-1", "/node-3"), ("fra.", "fqa.")):
        settings.write_text(whole.replace(right, wrong, 1))
        assert "BACKUP/folder/node.toml" in refused(fra, "ID_CONFLICT", 9)


def test_what_a_killed_init_left_with_root_keys_in_it_is_removed_by_the_next(tmp_path: Path) -> None:
    nobody = 4_194_304  # Linux gives no process this id
    (tmp_path / f".fra.{nobody}.part" / "root-keys").mkdir(parents=True)
    ok("init", "FRA", tmp_path / "fra", "--dev")
    assert [path.name for path in tmp_path.iterdir()] == ["fra"]


def test_a_folder_that_others_may_enter(fra: Path) -> None:
    fra.chmod(0o755)
    assert f"chmod 700 {fra}" in refused(fra, "DATA_PERMISSIONS", 1)


def test_a_vault_that_others_may_read(fra: Path) -> None:
    (fra / "vault" / "keys").chmod(0o644)
    assert f"chmod 600 {fra / 'vault' / 'keys'}" in refused(fra, "KEYSTORE_PERMISSIONS", 1)


def test_a_passphrase_file_that_others_may_read(fra: Path) -> None:
    (fra / "passphrase").chmod(0o644)
    refused(fra, "KEYSTORE_PERMISSIONS", 1)


def test_a_truncated_vault(fra: Path) -> None:
    vault = fra / "vault" / "keys"
    for path in (vault, copy_of(vault)):
        path.write_bytes(path.read_bytes()[:-40])
    told = refused(fra, "KEYSTORE_CORRUPT", 1)
    assert "keys.copy" in told
    assert "node restore" in told


def test_a_truncated_database(fra: Path) -> None:
    with running(fra):
        pass
    database = fra / "intelshare.db"
    database.write_bytes(database.read_bytes()[:5000])
    refused(fra, "RECORD_CORRUPT", 7)


def test_a_database_that_was_emptied(fra: Path) -> None:
    with running(fra):
        pass
    (fra / "intelshare.db").unlink()
    done = intelshare("node", "run", "--dev", "--folder", fra)
    assert done.code in (7, 8), done
    assert "error[STORE_FORGOT]" in done.err or "error[NOT_FOUND]" in done.err


def test_a_wrong_field_in_a_treaty(fra: Path) -> None:
    path = fra / "treaties" / "demo-climate.toml"
    path.write_text(path.read_text().replace('ceiling = "R1"', 'ceiling = "R1"\nnote = "x"'))
    told = refused(fra, "FIELD_UNKNOWN", 1)
    assert "demo-climate.toml:12" in told
    assert "^" in told


def test_a_wrong_field_in_node_toml(fra: Path) -> None:
    path = fra / "node.toml"
    path.write_text(path.read_text().replace("user_port = 0", "user_port = 99999"))
    assert "node.toml" in refused(fra, "FIELD_RANGE", 1)


def test_a_port_in_use(fra: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = fra / "node.toml"
        path.write_text(path.read_text().replace("user_port = 0", f"user_port = {port}"))
        done = intelshare("node", "run", "--dev", "--folder", fra)
    assert done.code == 9
    assert "error[PORT_IN_USE]" in done.err
    assert str(port) in done.err


def test_a_second_node_on_the_folder(fra: Path) -> None:
    with running(fra):
        done = intelshare("node", "run", "--dev", "--folder", fra)
        assert done.code == 9
        assert "error[DATA_LOCKED]" in done.err
        assert ok("node", "status", "--folder", fra).out.startswith("FRA")


def test_doctor_names_a_process_that_has_the_folder_and_says_nothing(fra: Path) -> None:
    held = lock(fra)
    try:
        found = intelshare("doctor", "--folder", fra, "--json").json["findings"]
    finally:
        held.release()
    (said,) = [one for one in found if one["check"] == "process"]
    assert (said["code"], f"process {os.getpid()} " in said["found"]) == ("DATA_LOCKED", True)
    assert "runbook" in said["next"]


def test_a_command_beside_another_names_the_process_that_has_the_folder(fra: Path) -> None:
    locked = lock(fra)
    try:
        done = intelshare("user", "list", "--folder", fra)
    finally:
        locked.release()
    assert done.code == 9, done.err
    assert f"error[DATA_LOCKED]: process {os.getpid()} is using {fra}" in done.err
    assert "wait for it, then repeat this" in done.err
    ok("user", "list", "--folder", fra)


def test_a_folder_where_nothing_is(tmp_path: Path) -> None:
    done = intelshare("node", "run", "--folder", tmp_path / "nothing")
    assert done.code == 8
    assert "intelshare init" in done.err


def test_a_node_that_is_down(fra: Path) -> None:
    for words in (("whoami", "--as", fra / "users" / "operator"), ("node", "status", "--folder", fra)):
        done = intelshare(*words)
        assert done.code == 6
        assert "error[NODE_UNREACHABLE]" in done.err
        assert "intelshare node run --folder" in done.err


def test_a_node_that_was_killed_leaves_an_address_where_nobody_answers(fra: Path) -> None:
    with running(fra) as node:
        node.kill()
        ended(node)
        done = intelshare("whoami", "--as", fra / "users" / "operator")
        assert done.code == 6
        assert json.loads((fra / "run.json").read_text())["user_port"]
        # The lock went with the process: the folder can be used.
        assert "operator" in ok("user", "list", "--folder", fra).out


def test_init_never_over_something(fra: Path) -> None:
    before = state(fra)
    done = intelshare("init", "FRA", fra, "--dev")
    assert done.code == 9
    assert state(fra) == before


@pytest.mark.parametrize(
    ("words", "code"), [(("FRX",), "UNKNOWN_MEMBER"), (("FRA", "--node", "../up"), "UNSAFE_NAME")]
)
def test_init_of_what_cannot_be_makes_nothing(tmp_path: Path, words: tuple[str, ...], code: str) -> None:
    done = intelshare("init", words[0], tmp_path / "new", "--dev", *words[1:])
    assert f"error[{code}]" in done.err
    assert not list(tmp_path.iterdir())


def test_init_with_a_short_passphrase_makes_nothing(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_text("short\n")
    short.chmod(0o600)
    done = intelshare("init", "FRA", tmp_path / "new", "--passphrase-file", short)
    assert "error[KEYSTORE_PASSWORD]" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["short"]


def test_a_swapped_member_file_is_not_admitted(fra: Path, tmp_path: Path) -> None:
    ok("init", "USA", tmp_path / "usa", "--dev")
    ok("init", "USA", tmp_path / "mallory", "--dev")
    ok("member", "export", "--folder", tmp_path / "mallory", "--out", tmp_path / "usa.member")
    print_ = ok("member", "fingerprint", "--folder", tmp_path / "usa").out.strip()
    done = intelshare("member", "import", tmp_path / "usa.member", "--folder", fra, "--fingerprint", print_)
    assert done.code == 7
    assert "error[TRUST_FINGERPRINT]" in done.err
    assert "USA" not in ok("member", "list", "--folder", fra).out


def test_everything_made_under_an_open_umask_is_private(tmp_path: Path) -> None:

    old = os.umask(0)
    try:
        ok("init", "FRA", tmp_path / "fra", "--dev")
        with running(tmp_path / "fra"):
            pass
    finally:
        os.umask(old)
    modes = {
        str(path.relative_to(tmp_path)): path.stat().st_mode & 0o077
        for path in (tmp_path / "fra").rglob("*")
        if not path.is_symlink()
    }
    assert {path for path, mode in modes.items() if mode} == set()
