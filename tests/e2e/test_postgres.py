"""A member over PostgreSQL, by the command line: rows moved there and back, replicas that take over."""

from __future__ import annotations

import io
import json
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import intelshare, log_of, ok, running, wait_for_links, wait_until
from intelshare.client import Client
from intelshare.errors import IntelshareError
from intelshare.node import move
from intelshare.patience import patient
from intelshare.store.server import Server
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
        with Client(replicas.profile(ana, others[0].name)) as client:
            with pytest.raises(IntelshareError) as refused:
                client.upload(io.BytesIO(b"x"), 1, bytes(16))
            assert refused.value.code == "NOT_LEADING"
            assert f"{leader.name} at 127.0.0.1:{replicas.ports[leader.name]}" in str(refused.value.hint)
        draft = LoadOnAll(replicas, member.usa)._draft()
        # What one replica took is recalled at another, and the one that leads tells the peer of both.
        with Client(replicas.profile(ana, others[1].name)) as client:
            name = client.submit(draft).bulletin.hex()
        wait_until(lambda: intelshare("read", name, "--as", usa).code == 0, "the bulletin to arrive")
        with Client(replicas.profile(ana, others[0].name)) as client:
            client.recall(name, "wrong")
        wait_until(lambda: intelshare("read", name, "--as", usa).code, "the recall to arrive")
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
