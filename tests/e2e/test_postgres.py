"""A member over PostgreSQL, by the command line: rows moved there and back, replicas that take over."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from balancer import balancer
from e2e.nodes import found, intelshare, log_of, ok, running, wait_for_links, wait_until
from intelshare.client import Client
from intelshare.errors import IntelshareError
from intelshare.node import move
from intelshare.node.settings_file import with_store
from intelshare.patience import patient
from intelshare.store.server import Server
from intelshare.wire.v1 import user_pb2 as pb
from postgres_server import asked
from replicas_world import LABEL, Load, Replicas, World, checked, killing, world
from together_world import LoadOnAll, Together, checked_together, free_port

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def member(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("replicas")) as made:
        yield made


def send(world: World, text: str) -> str:
    words = ("--category", "cyber", "--to", "USA", "--label", LABEL, "--wait", "accepted", "--yes", "--json")
    sent = ok("send", "-", "--as", world.fra / "users" / "ana", *words, stdin=text)
    return str(sent.json["bulletin"])


def test_a_bulletin_is_sent_read_and_recalled_over_postgresql(member: World) -> None:
    smith = member.usa / "users" / "ana"
    with running(member.fra):
        wait_for_links(member.fra)
        name = send(member, "Phishing kit")
        assert "Phishing kit" in ok("read", name, "--as", smith).out
        keys = set((member.fra / "database-keys").iterdir())
        assert keys
        ok("recall", name, "--as", member.fra / "users" / "ana", "--reason", "wrong", "--yes")
        wait_until(lambda: intelshare("read", name, "--as", smith).code, "the recall to arrive")
        word = "destroyed"
        wait_until(
            lambda: word in ok("outbox", name, "--as", member.fra / "users" / "ana").out,
            "the signed destruction",
        )
        assert "database" in ok("doctor", "--folder", member.fra, "--deep").out
    assert not (member.fra / "intelshare.db").exists()


@pytest.mark.soak
def test_kills_and_a_crash_of_the_database_under_load_lose_and_double_nothing(member: World) -> None:
    with Replicas(member.fra) as replicas:
        replicas.wait_for_active(seconds=patient(60))
        load = Load(member.fra, member.usa, 0.05)
        load.start()
        killing(replicas, 2, lambda _: None)
        member.cluster.restart()
        wait_until(lambda: replicas.active() is not None, "a replica to be the node")
        replicas.wait_for_active(seconds=patient(60))
        load.end()
        assert load.stored
        outcome = checked(load, patient(60))
        assert outcome.good, (outcome, load.errors)


def test_a_frozen_node_is_taken_over_and_can_do_nothing_when_it_wakes(member: World) -> None:
    with Replicas(member.fra) as replicas:
        replicas.wait_for_active(seconds=patient(60))
        load = Load(member.fra, member.usa, 0.05)
        load.start()
        first = replicas.active()
        assert first is not None
        assert first.process is not None
        pid = first.process.pid
        first.signal(signal.SIGSTOP)
        replicas.wait_for_active(but=pid, seconds=patient(60))
        first.signal(signal.SIGCONT)
        wait_until(lambda: first.codes, "the one that was overtaken to end")
        load.end()
        outcome = checked(load, patient(60))
        assert outcome.good, (outcome, load.errors)


def test_who_stops_in_order_hands_over_at_once_and_all_are_shown(member: World) -> None:
    with Replicas(member.fra) as replicas:
        replicas.wait_for_active(seconds=patient(60))

        def shown() -> dict[str, str]:
            found = ok("node", "replicas", "--folder", member.fra, "--json").json["replicas"]
            return {one["name"]: one["state"] for one in found}

        wait_until(lambda: sorted(shown().values()) == ["active", "standby"], "both to be shown")
        active = replicas.active()
        assert active is not None
        assert active.process is not None
        (standby,) = (one for one in replicas.all if one is not active)
        for one in replicas.all:
            done = intelshare("node", "health", "--folder", member.fra, "--replica", one.name)
            assert done.code == 0, done
        pid = active.process.pid
        active.signal(signal.SIGTERM)
        replicas.wait_for_active(but=pid, seconds=patient(60))
        wait_until(lambda: shown().get(standby.name) == "active", "the other to take over")
    assert active.codes == [0]


def test_replicas_together_all_serve_users_and_one_of_them_leads(member: World) -> None:
    ana, usa = member.fra / "users" / "ana", member.usa / "users" / "ana"
    with Together(member.fra) as replicas:
        replicas.wait_for_active(seconds=patient(60))
        replicas.wait_for_all(patient(60))
        leader = replicas.active()
        assert leader is not None
        assert leader.process is not None
        others = [one for one in replicas.all if one is not leader]
        found = ok("node", "replicas", "--folder", member.fra, "--json").json["replicas"]
        assert {one["name"]: (one["state"], one["leads"]) for one in found} == {
            one.name: ("active", one is leader) for one in replicas.all
        }
        for one in replicas.all:
            done = intelshare("node", "health", "--folder", member.fra, "--replica", one.name)
            assert (done.code, done.out) == (0, "SERVING\n"), done
        check_asked_by_name(replicas, others[0].name)
        check_drained_from_afar(member, replicas)
        check_without_vault(replicas)
        with Client(replicas.profile(ana, others[0].name)) as client:
            with pytest.raises(IntelshareError) as refused:
                client.upload(io.BytesIO(b"x"), 1, bytes(16))
            assert refused.value.code == "NOT_LEADING"
            assert f"{leader.name} at 127.0.0.1:{replicas.ports[leader.name]}" in str(refused.value.hint)
        # A user who names all of them finds the one that leads, and is served whoever is away.
        with Client(replicas.profile(ana, *"abc", away=True)) as client:
            assert client.upload(io.BytesIO(b"x"), 1, bytes(16))
        for use in ("signing", "sealing"):
            ok("vault", "rotate", use, "--folder", member.fra)
        draft = LoadOnAll(replicas, member.usa)._draft()
        # What one replica took is recalled at another, and the one that leads tells the peer of both.
        with Client(replicas.profile(ana, others[1].name)) as client:
            name = client.submit(draft).bulletin.hex()
        wait_until(lambda: intelshare("read", name, "--as", usa).code == 0, "the bulletin to arrive")
        with Client(replicas.profile(ana, others[0].name)) as client:
            client.recall(name, "wrong")
        wait_until(lambda: intelshare("read", name, "--as", usa).code, "the recall to arrive")
        assert [one.codes for one in replicas.all] == [[], [], []], (
            "others take over the keys that one has made"
        )
        loads = [LoadOnAll(replicas, member.usa, 0.05, seed) for seed in range(2)]
        for load in loads:
            load.start()
        for one in (others[0], leader, others[1]):
            assert one.process is not None
            pid = one.process.pid
            one.signal(signal.SIGKILL)
            replicas.wait_for_active(but=pid, seconds=patient(60))
        for load in loads:
            load.end()
        outcome = checked_together(loads, patient(60))
        assert outcome.good, (outcome, [load.errors for load in loads])
    assert ok("audit", "verify", "--folder", member.fra)


def check_without_vault(replicas: Together) -> None:
    """Each replica says that the vault is gone, none ends, and none needs a word once it is back."""
    vault = replicas.folder / "vault"
    away = vault.rename(replicas.folder / "unmounted")
    wait_until(lambda: having("KEYSTORE_CORRUPT", replicas) == [*"abc"], "all to miss the vault")
    assert list(replicas.folder.glob("vault*")) == []
    away.rename(vault)
    wait_until(lambda: having("KEYSTORE_CORRUPT", replicas) == [], "all to have it again")


def check_asked_by_name(replicas: Together, one: str) -> None:
    """An operator asks a replica by its name, by folder or by a list of addresses, and drains it alone."""
    folder = replicas.folder
    there = ("--folder", folder, "--replica", one, "--json")
    assert ok("node", "status", *there).json["replica"] == one
    (leads,) = (m for m in ok("node", "metrics", *there).json["metrics"] if m["name"] == "intelshare_leads")
    assert leads["value"] == 0
    drained = ok("node", "drain", *there).json
    assert (drained["replica"], drained["draining"]) == (one, True)
    listed = profile_at(folder, replicas.profile(folder / "users" / "operator", *"abc").address)

    assert intelshare("node", "status", "--as", listed, "--replica", one, "--json").json["codes"] == [
        "DRAINING"
    ]
    assert having("DRAINING", replicas) == [one]
    done = ok("node", "drain", "--undo", "--folder", folder, "--replica", one)
    assert done.out == f"replica {one} accepts bulletins again\n"
    nobody = intelshare("node", "peers", "--folder", folder, "--replica", "nobody")
    assert (nobody.code, "no replica nobody has reported recently" in nobody.err) == (6, True)


def profile_at(folder: Path, address: str) -> Path:
    """The operator's profile, with an address in place of the folder."""
    made = Path(tempfile.mkdtemp(dir=folder.parent)) / "operator"
    shutil.copytree(folder / "users" / "operator", made)
    file = made / "profile.toml"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("node_folder")]
    file.write_text("\n".join([*lines, f'address = "{address}"', ""]))
    return made


def having(code: str, replicas: Together) -> list[str]:
    """The replicas that say so of their health; each is asked."""
    found = []
    for one in replicas.all:
        with Client(replicas.profile(replicas.folder / "users" / "operator", one.name)) as client:
            said = client.status()
            assert said.replica == one.name
            found += [one.name] if code in said.codes else []
    return found


def check_drained_from_afar(member: World, replicas: Together) -> None:
    """By a list of addresses, or behind a balancer, one replica is drained. What waits is not waited for: the
    others deliver it.
    """
    operator = member.fra / "users" / "operator"
    peer = json.loads((member.usa / "run.json").read_text())["pid"]
    draft = LoadOnAll(replicas, member.usa)._draft()
    with balancer([*replicas.ports.values()]) as port:
        balanced = profile_at(member.fra, f"127.0.0.1:{port}")
        os.kill(peer, signal.SIGSTOP)
        try:
            with Client(replicas.profile(member.fra / "users" / "ana", "a")) as client:
                client.submit(draft)
            for asked in (profile_at(member.fra, replicas.profile(operator, *"abc").address), balanced):
                waits = intelshare("node", "drain", "--as", asked, "--wait", 1, "--json")
                found = waits.json
                assert (waits.code, found["queued"] != "0" or found["unacknowledged"] != "0") == (0, True)
                assert found["others_deliver"]
                drained = found["replica"]
                assert having("DRAINING", replicas) == [drained]
                with Client(replicas.profile(operator, drained)) as client:
                    client.operate("Drain", pb.DrainRequest(undo=True, replica=drained))
        finally:
            os.kill(peer, signal.SIGCONT)
        for _ in range(3):  # who is asked for its name, and who is then asked to drain, are two
            tried = intelshare("node", "drain", "--as", balanced, "--replica", "a", "--json")
            assert (tried.code, "NODE_UNREACHABLE" in tried.err) == (6, True), tried
    assert having("DRAINING", replicas) == []


def test_the_rows_move_back_into_a_file_and_nothing_is_left_in_the_server(member: World) -> None:
    there = "SELECT count(*) FROM information_schema.schemata WHERE schema_name = 'fra'"
    assert asked(member.cluster.url, there) == [(1,)]
    refused = intelshare("node", "move", "--folder", member.fra, "--to", "postgresql:///elsewhere")
    assert "ID_CONFLICT" in refused.err
    moved = ok("node", "move", "--folder", member.fra, "--to", "sqlite", "--json").json
    assert moved["rows"] > 0
    assert asked(member.cluster.url, there) == [(0,)]
    assert list((member.fra / "database-keys").iterdir()) == []
    with running(member.fra):
        wait_for_links(member.fra)
        name = send(member, "From a file again")
        assert "From a file again" in ok("read", name, "--as", member.usa / "users" / "ana").out
    alone = intelshare("node", "run", "--dev", "--folder", member.fra, "--replica", "a")
    assert "REPLICA_ALONE" in alone.err


def test_a_move_that_was_cut_short_changes_nothing_and_can_be_given_again(
    member: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    phrase = (member.fra / "passphrase").read_bytes().strip()
    server = move.read_settings(member.fra / "node.toml").store
    assert server is None
    target = Server(member.cluster.url, "again")
    for step in ("copy_rows", "described", "finish_at"):
        with monkeypatch.context() as patched:
            patched.setattr(move, step, cut)
            with pytest.raises(KeyboardInterrupt):
                move.move_rows(member.fra, lambda: phrase, target)
        assert move.read_settings(member.fra / "node.toml").store is None
        assert (member.fra / "intelshare.db").exists()
    assert move.move_rows(member.fra, lambda: phrase, target).rows > 0
    assert not (member.fra / "intelshare.db").exists()


def test_a_replica_that_could_not_take_over_says_so_before_its_turn_comes(tmp_path: Path) -> None:
    """Its database is away, so it would wait; a wrong passphrase must not be met by the one that is left."""
    fra = found(tmp_path / "fra", "FRA")
    settings, nowhere = fra / "node.toml", Server("postgresql://fra@127.0.0.1:1/rows")
    settings.write_text(with_store(settings.read_text("utf-8"), nowhere), "utf-8")
    (fra / "passphrase").write_text("not the one of this vault\n", "utf-8")
    done = intelshare("node", "run", "--dev", "--folder", fra, "--replica", "b")
    assert "KEYSTORE_PASSWORD" in done.err, done


@pytest.mark.soak
def test_each_replica_on_one_machine_has_a_port_for_metrics_or_says_that_it_has_none(member: World) -> None:
    named, own = free_port(), free_port()
    settings = member.fra / "node.toml"
    before = settings.read_text("utf-8")
    settings.write_text(before.replace("[metrics]", f'[metrics]\nlisten = "127.0.0.1:{named}"'), "utf-8")
    began = log_of(member.fra).stat().st_size

    def logged() -> list[dict[str, Any]]:
        lines = log_of(member.fra).read_bytes()[began:].decode().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def leads(port: int) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as got:
            (line,) = [one for one in got.read().decode().splitlines() if one.startswith("intelshare_leads ")]
        return float(line.split()[1])

    replicas = Together(member.fra)
    replicas.all[2].words += ["--metrics-port", str(own)]
    try:
        with replicas:
            replicas.wait_for_active(seconds=patient(60))
            replicas.wait_for_all(patient(60))
            ports = [one["metrics_port"] for one in logged() if one["event"] == "node.started"]
            assert sorted(ports) == sorted([0, named, own])
            assert [one["code"] for one in logged() if one["event"] == "metrics.off"] == ["PORT_IN_USE"]
            assert leads(named) + leads(own) <= 1
            for one in replicas.all[:2]:  # whichever has the port of node.toml, and then the other
                one.signal(signal.SIGKILL)
                wait_until(lambda: leads(own) in (0, 1), "metrics")
                replicas.wait_for_all(patient(60))
            wait_until(lambda: any(leads(port) == 1 for port in (named, own)), "one that leads to say so")
    finally:
        settings.write_text(before, "utf-8")
