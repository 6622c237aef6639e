"""The restore drill with rows in PostgreSQL: back up under load and destructions, kill, restore, go on."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from e2e.nodes import intelshare, let_in, ok, running, wait_for_links, wait_until
from e2e.test_backup import SHARED, TO_FRA, secrets_of_users, send, sending, titles, words_of
from postgres_server import asked
from replicas_world import world

pytestmark = [pytest.mark.timeout(300), pytest.mark.soak]


def test_a_backup_under_load_is_restored_into_a_file_and_moved_into_the_database_again(
    tmp_path: Path,
) -> None:
    backup, again, sent = tmp_path / "backup", tmp_path / "fra-again", list[str]()
    with world(tmp_path) as made:
        fra, usa = made.fra, made.usa
        with running(fra) as process:
            wait_for_links(fra)
            recalled = send(usa, "FRA", TO_FRA, "to be recalled")
            file = tmp_path / "attached"
            file.write_bytes(b"a" * 200_000)
            send(usa, "FRA", TO_FRA, "kept", "--attach", str(file))
            wait_until(lambda: titles(fra) == ["kept", "to be recalled"], "both to arrive")
            send(fra, "USA", SHARED, "before", "--attach", str(file))
            with sending(fra, "USA", SHARED, sent):
                wait_until(lambda: sent, "a first one")
                before = list(sent)
                password = fra / "database-password"
                password.touch(0o600)
                password.write_text("of a database that the backup does not need", "utf-8")
                settings = (fra / "node.toml").read_text("utf-8")
                (fra / "node.toml").write_text(f'{settings}password_file = "{password.name}"\n', "utf-8")
                ok("recall", recalled[:12], "--as", usa / "users" / "ana", "--reason", "wrong", "--yes")
                written = ok("node", "backup", backup, "--folder", fra, "--json").json
                assert written["secrets_left_out"] > 0
                wait_until(lambda: words_of(usa)["to be recalled"] == "destroyed", "the destruction")
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert "[store]" not in (backup / "folder" / "node.toml").read_text()
        assert not (backup / "folder" / "database-password").exists()
        ok("node", "restore", backup, again)
        secrets_of_users(fra, again)
        early = intelshare("node", "move", "--folder", again, "--to", made.cluster.url)
        assert "start the node once" in early.err
        fra.rename(tmp_path / "gone")
        with running(again):
            let_in(again)
            wait_for_links(again)
        refused = intelshare("node", "move", "--folder", again, "--to", made.cluster.url, "--schema", "fra")
        assert "ID_CONFLICT" in refused.err
        assert asked(made.cluster.url, "SELECT count(*) > 0 FROM fra.journal") == [(True,)]
        ok("node", "move", "--folder", again, "--to", made.cluster.url, "--schema", "again")
        with running(again):
            wait_for_links(again)
            wait_until(lambda: titles(again) == ["kept"], "the inbox to be asked for again")
            known = ("before", *before)
            wait_until(lambda: {words_of(again).get(one) for one in known} == {"accepted"}, "the receipts")
            arrived = titles(usa)
            assert sorted(arrived) == sorted({"before", *sent}), "nothing is lost, nothing is there twice"
            ok("audit", "verify", "--folder", again)
            send(usa, "FRA", TO_FRA, "new")
            wait_until(lambda: "new" in titles(again), "a new bulletin under the new sealing key")
        ok("node", "move", "--folder", again, "--to", "sqlite")
        found = intelshare("doctor", "--folder", again, "--deep")
        wrong = [line for line in found.out.splitlines() if line.startswith("wrong")]
        assert found.code == 1
        assert len(wrong) == 1, found
        assert "NODE_UNREACHABLE" in wrong[0], "the node is stopped: nothing else is wrong"
        assert "no record has changed" in found.out
