"""Certificates that have ended or are about to: what renews itself, and how people get out of the rest."""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from e2e.nodes import intelshare, ok
from intelshare.broker.kernel.register import SetUserCommand, set_user
from intelshare.cli.shared.follow import following
from intelshare.cli.shared.output import Out
from intelshare.client import Client, Credentials, Profile, read_profile, replace_credentials, write_profile
from intelshare.client.renewal import renew, validity_of
from intelshare.crypto.x509 import CertifiedKey, digest_of, from_pem, issue_node, issue_user, to_pem, validity
from intelshare.engine.values import Chore
from intelshare.errors import TrustError
from intelshare.ids import UserUri
from intelshare.instant import DAY, MINUTE, Instant
from intelshare.node.events import make_logger
from intelshare.node.run import NodeProcess, start_node
from intelshare.patience import patient
from intelshare.trust import user_uri
from intelshare.vault import NODE_AUTHORITY, NODE_LEAF, USER_AUTHORITY
from intelshare.wire.v1 import user_pb2 as pb
from node_world import LABEL, EventLog, Site, code_of, introduce, make_site, now
from waits import LIMIT

LIFE = 7 * DAY


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "fra"
    ok("init", "FRA", folder, "--dev")
    for name in ("m.durand", "c.roux"):
        ok("user", "add", name, "--folder", folder, "--clearance", "R3", "--category", "*")
    return folder


@pytest.fixture(name="log")
def _log() -> EventLog:
    return EventLog()


@pytest.fixture(name="node")
async def _node(folder: Path, log: EventLog) -> AsyncIterator[NodeProcess]:
    secret = (folder / "passphrase").read_bytes().strip()
    node = await start_node(folder, lambda: secret, make_logger(log), development=True)
    try:
        yield node
    finally:
        await node.stop()


async def command(*words: str | Path) -> Any:
    return await asyncio.to_thread(intelshare, *words)


async def age_user(node: NodeProcess, folder: Path, name: str, by: int) -> CertifiedKey:
    """The user's certificate was issued so long ago."""
    runtime = node.runtime
    uri = UserUri(user_uri("fra.intelshare.internal", name))
    authority = runtime.vault.certified(USER_AUTHORITY)
    aged = issue_user(authority, uri, Instant(now() - by), os.urandom, lifetime=LIFE)
    row = runtime.user_row(uri)._replace(certificate=digest_of(aged.certificate))
    await runtime.step(set_user, SetUserCommand(uri, row))
    runtime.register_changed(row)
    profile = read_profile(folder / "users" / name)
    ca = profile.authority.read_bytes()
    replace_credentials(profile, Credentials(to_pem((aged.certificate,)), ca, aged.key))
    return aged


async def age_node(node: NodeProcess, by: int) -> CertifiedKey:
    """And the node's own."""
    runtime = node.runtime
    listed = runtime.node.trust.node(runtime.node.uri)
    assert listed is not None
    authority, at = runtime.vault.certified(NODE_AUTHORITY), Instant(now() - by)
    aged = issue_node(authority, runtime.node.uri, listed[1].dns, at, os.urandom, lifetime=LIFE)
    runtime.vault.put(certified={NODE_LEAF: aged})
    runtime.folder.node_certificate.write_bytes(to_pem((aged.certificate,)))
    await node.ports.follow()
    return aged


async def served(node: NodeProcess) -> bytes:
    """DER of the certificate with which the peer port answers a new connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", node.peer_port, ssl=context)
    try:
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return found
    finally:
        writer.close()


async def test_whatever_has_expired_the_commands_that_doctor_prints_get_out_of_it(
    folder: Path, node: NodeProcess
) -> None:
    for name in ("operator", "m.durand", "c.roux"):
        await age_user(node, folder, name, by=8 * DAY)
    await age_node(node, by=8 * DAY)
    assert (await command("whoami", "--as", folder / "users" / "m.durand")).code in (4, 6)
    # Whoever has the folder and its passphrase sees the node's state in any case.
    assert (await command("node", "status", "--folder", folder)).code == 0
    done = await command("doctor", "--folder", folder, "--json")
    assert done.code == 1
    wrong = [one for one in done.json["findings"] if one["state"] == "wrong"]
    expired = {one["check"]: one["next"] for one in wrong if "expired at" in one["found"]}
    assert set(expired) == {
        "certificate", "certificate m.durand", "certificate c.roux", "node certificate"
    }  # fmt: skip
    for remedy in expired.values():
        assert re.fullmatch(r"intelshare [^`;]+", remedy), remedy
        ended = await command(*remedy.split()[1:])
        assert ended.code == 0, (remedy, ended)
    done = await command("doctor", "--folder", folder, "--json")
    assert (done.code, [one for one in done.json["findings"] if one["state"] == "wrong"]) == (0, [])
    for name in ("operator", "m.durand", "c.roux"):
        assert (await command("whoami", "--as", folder / "users" / name)).code == 0


async def test_a_lost_or_superseded_operator_is_renewed_by_who_has_folder_and_passphrase(
    folder: Path, node: NodeProcess, tmp_path: Path
) -> None:
    del node
    operator = folder / "users" / "operator"
    operator.rename(tmp_path / "lost")
    words = ("user", "renew", "operator", "--folder", folder, "--here")
    assert (await command(*words)).code == 0
    assert (await command("whoami", "--as", operator)).code == 0
    # Without the passphrase the folder alone opens nothing.
    (folder / "passphrase").rename(tmp_path / "passphrase")
    operator.rename(tmp_path / "lost again")
    refused = await command(*words)
    assert "KEYSTORE_PASSWORD" in refused.err
    (tmp_path / "wrong").write_text("another passphrase\n")
    (tmp_path / "wrong").chmod(0o600)
    assert "KEYSTORE_PASSWORD" in (await command(*words, "--passphrase-file", tmp_path / "wrong")).err
    assert (await command(*words, "--passphrase-file", tmp_path / "passphrase")).code == 0


async def test_any_command_renews_in_the_last_third_and_says_nothing(folder: Path, node: NodeProcess) -> None:
    profile = read_profile(folder / "users" / "m.durand")
    aged = await age_user(node, folder, "m.durand", by=4 * DAY)
    done = await command("whoami", "--as", profile.folder)
    assert (done.code, done.err) == (0, "")
    assert profile.certificate.read_bytes() == to_pem((aged.certificate,)), "it is in its second third"
    aged = await age_user(node, folder, "m.durand", by=5 * DAY)
    done = await command("whoami", "--as", profile.folder)
    assert (done.code, done.err) == (0, "")
    assert profile.certificate.read_bytes() != to_pem((aged.certificate,))
    assert validity_of(profile).end > now() + 6 * DAY
    row = node.runtime.user_row(UserUri(user_uri("fra.intelshare.internal", "m.durand")))
    assert row.certificate != digest_of(aged.certificate)
    assert row.pending == b""


async def test_a_failure_to_renew_is_said_once_and_the_command_goes_on(
    folder: Path, node: NodeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise TrustError("INPUT_INVALID", "the authority is on holiday")

    from intelshare.errors import TrustError

    monkeypatch.setattr("intelshare.node.backend.sign_user", fails)
    profile = read_profile(folder / "users" / "m.durand")
    await age_user(node, folder, "m.durand", by=6 * DAY)
    first = await command("whoami", "--as", profile.folder)
    assert first.code == 0
    assert "your certificate could not be renewed: the authority is on holiday" in first.err
    second = await command("whoami", "--as", profile.folder)
    assert (second.code, second.err) == (0, "")
    by_hand = await command("renew", "--as", profile.folder)
    assert "INPUT_INVALID" in by_hand.err
    monkeypatch.undo()
    assert (await command("renew", "--as", profile.folder)).code == 0
    assert (await command("whoami", "--as", profile.folder)).code == 0


async def test_a_node_renews_its_certificate_before_it_ends_and_serves_it(tmp_path: Path) -> None:
    """Under a clock that is moved from the founding to four days after it: today, so that TLS takes part."""
    began = Instant(now() - 4 * DAY)
    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA", at=began, dial=False)
    clock = [began]
    await site.start(wall=lambda: clock[0])
    try:
        old = await served(site.running)
        assert old == site.founded.node_leaf.certificate
        for days in (1, 2, 3):
            clock[0] = Instant(began + days * DAY)
            await site.running.chore(Chore.RENEW)
            assert await served(site.running) == old
        clock[0] = now()
        await site.running.chore(Chore.RENEW)
        new = await served(site.running)
        assert new != old
        assert validity(new).end > now() + 6 * DAY
    finally:
        await site.stop()


async def test_an_expired_directory_key_keeps_no_certificate_from_being_renewed(
    folder: Path, node: NodeProcess, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intelshare.errors import VaultError

    def lost(_: object) -> None:
        raise VaultError("NOT_FOUND", "the vault has no directory key")

    del folder
    monkeypatch.setattr("intelshare.node.renewal.next_directory", lambda *_, **__: lost(None))
    old = await age_node(node, by=6 * DAY)
    await node.chore(Chore.RENEW)
    assert await served(node) != old.certificate
    assert "trust.renewal_failed" in log.getvalue()


async def test_whoever_follows_goes_on_when_another_command_has_renewed(tmp_path: Path) -> None:
    """The certificate with which the stream was opened has ended; the profile has the next one."""
    fra, usa = [
        await asyncio.to_thread(make_site, code, tmp_path / code, dial=False) for code in ("FRA", "USA")
    ]
    shown: asyncio.Queue[str] = asyncio.Queue()
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        leaf = fra.leaf("a")
        address = f"127.0.0.1:{fra.running.user_port}"
        profile = Profile(tmp_path / "a", "FRA", "a", address, "", fra.founded.node.dns)
        ca = to_pem((fra.founded.node_authority.certificate,))
        write_profile(profile, Credentials(to_pem((leaf.certificate,)), ca, leaf.key))
        loop = asyncio.get_running_loop()

        client = Client(profile)
        events = following(client, "", Out(quiet=True))

        def watch() -> None:
            for event in events:
                loop.call_soon_threadsafe(shown.put_nowait, str(event.bulletin))
                if event.what:
                    return

        async def sees(title: str) -> None:
            sent = await send(fra, title)
            while await asyncio.wait_for(shown.get(), patient(LIMIT)) != sent:
                pass
            await watching

        for title in ("before", "after"):
            watching = asyncio.create_task(asyncio.to_thread(watch))
            if title == "before":
                await asyncio.wait_for(shown.get(), patient(LIMIT))
            await sees(title)
            if title == "before":
                await asyncio.to_thread(renew, profile)
        client.close()
    finally:
        await fra.stop()
        await usa.stop()


async def send(site: Site, title: str) -> str:
    """The id of the bulletin."""
    portions = [
        pb.Portion(kind=kind, label=LABEL, category="cyber", media="text/plain", content=content)
        for kind, content in ((2, title.encode()), (1, b"text"))
    ]
    request = pb.SubmitRequest(key=os.urandom(16), to=["USA"], precedence=1, portions=portions)
    async with site.client("r") as client:
        answer = await client.bulletins.Submit(request)
    return str(answer.bulletin)


async def test_only_a_certificate_of_minutes_opens_the_owners_door(folder: Path, node: NodeProcess) -> None:
    """Not the operator's, not a long one of the same authority, not one that has ended, and not nothing."""
    from intelshare.crypto.x509 import make_authority
    from intelshare.instant import HOUR
    from intelshare.node.authn import owner_identity
    from intelshare.node.owner import OWNER_KEY, owner_certificate

    uri = user_uri("fra.intelshare.internal", "folder-owner")
    authority = node.runtime.vault.certified(USER_AUTHORITY)
    stranger = make_authority("FRA users", now(), os.urandom)
    secret = (folder / "passphrase").read_bytes().strip()
    good = owner_certificate(folder, lambda: secret, now(), os.urandom)
    operator = from_pem((folder / "users" / "operator" / "cert.pem").read_bytes())
    at, long_ago = now(), Instant(now() - HOUR)
    bad = {
        "operator": operator,
        "long": issue_user(authority, uri, at, os.urandom, lifetime=HOUR).certificate,
        "ended": issue_user(authority, uri, long_ago, os.urandom, lifetime=5 * MINUTE).certificate,
        "another authority": issue_user(stranger, uri, at, os.urandom, lifetime=5 * MINUTE).certificate,
        "nothing": b"",
    }
    async with grpc.aio.insecure_channel(f"unix:{folder}/sockets/owner") as channel:
        call = channel.unary_unary("/intelshare.v1.Operations/ListUsers")
        assert await call(b"", metadata=((OWNER_KEY, good),))
        for what, certificate in bad.items():
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"", metadata=((OWNER_KEY, certificate),))
            assert code_of(caught.value) in REFUSED, what
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
        assert code_of(caught.value) in REFUSED
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/intelshare.v1.Bulletins/WhoAmI")(b"", metadata=((OWNER_KEY, good),))
        assert code_of(caught.value) == "UNIMPLEMENTED", "bulletins are for users"
        read = channel.unary_unary("/intelshare.v1.Treaties/ListActs")
        await read(b"", metadata=((OWNER_KEY, good),))
        for method in ("PreviewAct", "Act", "ResumeActs", "FindBackfill", "Backfill"):
            acts = channel.unary_unary(f"/intelshare.v1.Treaties/{method}")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await acts(b"", metadata=((OWNER_KEY, good),))
            assert code_of(caught.value) == "UNIMPLEMENTED", f"{method} is for persons"
    # A call that takes longer than those minutes goes on, of a certificate that was one of minutes alone.
    goes_on = owner_identity(node.runtime, begun=True)
    just_ended = issue_user(authority, uri, now(), os.urandom, lifetime=0).certificate
    assert goes_on(_showing(just_ended)).user == uri
    with pytest.raises(TrustError):
        owner_identity(node.runtime)(_showing(just_ended))
    for what, certificate in bad.items():
        with pytest.raises(TrustError) as refused:
            goes_on(_showing(certificate))
        assert refused.value.code in REFUSED, what


def _showing(certificate: bytes) -> Any:
    from intelshare.node.owner import OWNER_KEY

    return SimpleNamespace(invocation_metadata=lambda: ((OWNER_KEY, certificate),))


REFUSED = ("PEER_IDENTITY_INVALID", "PEER_IDENTITY_MISMATCH", "NOT_AUTHORISED")


async def test_whoever_was_asked_for_minutes_still_calls_as_the_owner(
    folder: Path, node: NodeProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    from intelshare.cli.shared.owner import owner_client

    del node
    # The first certificate ends while its caller waits for an answer.
    lifetimes = iter((-MINUTE, 5 * MINUTE))
    made = issue_user

    def short(*given: Any, lifetime: int) -> Any:
        return made(*given, lifetime=next(lifetimes))

    monkeypatch.setattr("intelshare.node.owner.issue_user", short)
    passphrase = (folder / "passphrase").read_bytes().strip()

    def ask() -> str:
        with owner_client(folder, lambda: passphrase) as client:
            return str(client.status().health)

    assert await asyncio.to_thread(ask) == "SERVING"
