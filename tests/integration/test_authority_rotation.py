"""A member's authorities are succeeded: traffic goes on, whoever was away follows, what is revoked ends."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import grpc
import pytest
from test_aged_certificates import age_user, command, served

from e2e.nodes import ok
from intelshare.client import read_profile
from intelshare.crypto.x509 import (
    BACKDATE,
    digest_of,
    from_pem,
    is_issued_by,
    make_authority,
    request_key,
)
from intelshare.engine.values import Chore
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode, UserUri
from intelshare.instant import DAY, Instant
from intelshare.node.authorities import OVERLAP
from intelshare.node.events import make_logger
from intelshare.node.run import start_node
from intelshare.trust import user_uri
from intelshare.vault import (
    FORMER_NODE_AUTHORITY,
    FORMER_USER_AUTHORITY,
    NODE_AUTHORITY,
    NODE_BRIDGE,
    USER_AUTHORITY,
)
from intelshare.wire.v1 import user_pb2 as pb
from node_world import LABEL, EventLog, Site, code_of, introduce, make_site, now, until, word

FRA = MemberCode("FRA")


async def rotate(site: Site, *, finish: bool = False) -> pb.RotateAuthoritiesResponse:
    async with site.client("o") as client:
        answer: pb.RotateAuthoritiesResponse = await client.operations.RotateAuthorities(
            pb.RotateAuthoritiesRequest(finish=finish)
        )
    return answer


def believed(site: Site) -> int:
    """How many authorities of FRA this node believes."""
    return len(site.running.runtime.node.trust.authorities(FRA))


async def arrives(sender: Site, recipient: str, text: str) -> None:
    async with sender.client("a") as client:
        label = "//USA S//REL TO USA, FRA" if sender.code == "USA" else LABEL
        bulletin = bytes((await client.send([recipient], text, label=label)).bulletin)

    async def accepted() -> bool:
        return await word(sender, bulletin, recipient) == "accepted"

    await until(accepted, f"{text}: accepted")


async def test_traffic_goes_on_through_the_whole_rotation(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    await until(lambda: fra.running.links.engine.linked, "links")
    old = fra.founded.node_authority.certificate
    stop = asyncio.Event()

    async def chatter() -> int:
        count = 0
        while not stop.is_set():
            await arrives(fra, "USA", f"number {count}")
            count += 1
        return count

    talking = asyncio.create_task(chatter())
    answer = await rotate(fra)
    assert [(one.use, one.state) for one in answer.certificates] == [
        ("node authority", "issues"), ("node authority", "believed"),
        ("user authority", "issues"), ("user authority", "believed"),
    ]  # fmt: skip
    await until(lambda: believed(usa) == 2, "USA to believe both")
    leaf = await served(fra.running)
    assert is_issued_by(leaf, fra.running.runtime.vault.certificate(NODE_AUTHORITY))
    assert not is_issued_by(leaf, old)
    # Links begin anew, in either direction, under the new certificate.
    await usa.stop()
    await usa.start()
    await arrives(usa, "FRA", "in the middle")
    # Nobody's key of before is left to issue anything.
    vault = fra.running.runtime.vault
    assert vault.certified(FORMER_NODE_AUTHORITY).key == b""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rotate(fra)
    assert code_of(refused.value) == "ID_CONFLICT"
    stop.set()
    assert await talking > 0


async def test_the_end_of_the_former_authority_ends_what_it_issued(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    await until(lambda: fra.running.links.engine.linked, "links")
    former = fra.founded.node_leaf.certificate
    await rotate(fra)
    await until(lambda: believed(usa) == 2, "USA to believe both")
    trust = usa.running.runtime.node.trust
    assert trust.identify(former, now()).member == "FRA", "what it issued counts through the overlap"
    await rotate(fra, finish=True)
    await until(lambda: believed(usa) == 1, "USA to believe the new one alone")
    with pytest.raises(IntelshareError) as refused:
        usa.running.runtime.node.trust.identify(former, now())
    assert refused.value.code == "PEER_IDENTITY_MISMATCH"
    # And of its users: nobody comes in with what it issued.
    with pytest.raises(grpc.aio.AioRpcError):
        async with fra.client("a") as client:
            await client.bulletins.WhoAmI(pb.WhoAmIRequest())


@pytest.mark.parametrize("dials", ["FRA", "USA"])
async def test_a_peer_that_was_away_through_it_all_follows_when_it_comes_back(
    tmp_path: Path, dials: str
) -> None:
    """It knows the old authority alone, and that one is gone: the bridge leads it to the new directory,
    whoever of the two calls the other."""
    fra, usa = [
        await asyncio.to_thread(make_site, code, tmp_path / code, dial=code == dials)
        for code in ("FRA", "USA")
    ]
    try:
        await fra.start()
        await usa.start()
        await introduce(fra, usa)
        await until(lambda: fra.running.links.engine.linked and usa.running.links.engine.linked, "links")
        await usa.stop()
        await rotate(fra)
        async with fra.client("o") as client:
            await client.operations.RotateAuthorities(pb.RotateAuthoritiesRequest(finish=True))
        assert believed(fra) == 1
        await usa.start()
        held = usa.running.runtime.node.trust.authorities(FRA)
        assert held == (fra.founded.node_authority.certificate,) or dials == "USA"
        present = fra.running.runtime.vault.certificate(NODE_AUTHORITY)
        await until(lambda: usa.running.runtime.node.trust.authorities(FRA) == (present,), "USA to have it")
        await arrives(usa, "FRA", "here again")
    finally:
        await fra.stop()
        await usa.stop()


async def test_users_renew_by_themselves_and_enrolments_of_before_still_serve(tmp_path: Path) -> None:
    folder = tmp_path / "fra"
    ok("init", "FRA", folder, "--dev")
    ok("user", "add", "m.durand", "--folder", folder, "--clearance", "R3", "--category", "*")
    ok("user", "add", "late", "--folder", folder, "--clearance", "R3", "--elsewhere")
    secret = (folder / "passphrase").read_bytes().strip()
    node = await start_node(folder, lambda: secret, make_logger(EventLog()), development=True)
    try:
        profile = read_profile(folder / "users" / "m.durand")
        await age_user(node, folder, "m.durand", by=5 * DAY)
        before = profile.certificate.read_bytes()
        assert (await command("pki", "rotate-ca", "--folder", folder, "--yes")).code == 0
        done = await command("whoami", "--as", profile.folder)
        assert (done.code, done.err) == (0, "")
        authority = node.runtime.vault.certificate(USER_AUTHORITY)
        assert profile.certificate.read_bytes() != before
        assert is_issued_by(from_pem(profile.certificate.read_bytes()), authority)
        # Who has never come in does so with what was handed out before.
        done = await command("enrol", folder / "users" / "late.enrol", "--out", tmp_path / "late")
        assert done.code == 0, done
        done = await command("pki", "rotate-ca", "--finish", "--folder", folder, "--yes")
        assert (done.code, "operator" in done.err) == (0, True), "who is shut out is named"
        for name in (profile.folder, tmp_path / "late"):
            assert (await command("whoami", "--as", name)).code == 0
        # The operator has not renewed: folder and passphrase get out of that.
        assert (await command("user", "renew", "operator", "--folder", folder)).code == 0
        assert (await command("whoami", "--as", folder / "users" / "operator")).code == 0
    finally:
        await node.stop()


async def test_by_schedule_the_former_one_ends_and_an_old_one_is_succeeded(tmp_path: Path) -> None:
    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA", dial=False)
    await site.start()
    try:
        await rotate(site)
        vault = site.running.runtime.vault
        site.running.runtime.clock.believe()  # nobody is linked who could confirm it
        began = Instant(now() - OVERLAP)
        for name in (NODE_AUTHORITY, USER_AUTHORITY):
            vault.put(certified={name: make_authority("FRA", Instant(began + DAY), os.urandom)})
        await site.running.chore(Chore.RENEW)
        assert vault.certificate(FORMER_NODE_AUTHORITY), "a day is left"
        vault.put(certified={NODE_AUTHORITY: make_authority("FRA nodes", began, os.urandom)})
        await site.running.chore(Chore.RENEW)
        assert not vault.certificate(FORMER_NODE_AUTHORITY)
        assert not vault.certificate(FORMER_USER_AUTHORITY)
        assert vault.certificate(NODE_BRIDGE), "for whoever was away"
        assert believed(site) == 1
        old = make_authority("FRA nodes", Instant(now() - 4 * 365 * DAY - BACKDATE), os.urandom)
        vault.put(certified={NODE_AUTHORITY: old})
        await site.running.chore(Chore.RENEW)
        assert vault.certificate(FORMER_NODE_AUTHORITY) == old.certificate
        assert believed(site) == 2
        assert is_issued_by(await served(site.running), vault.certificate(NODE_AUTHORITY))
    finally:
        await site.stop()


async def test_a_process_of_the_node_gets_a_certificate_until_it_is_revoked(pair: tuple[Site, Site]) -> None:
    fra, usa = pair
    await until(lambda: fra.running.links.engine.linked, "links")
    made = request_key(os.urandom)
    async with fra.client("o") as client:
        given = await client.operations.IssueCertificate(pb.IssueCertificateRequest(request=made.request))
    leaf = from_pem(given.chain_pem)
    assert usa.running.runtime.node.trust.identify(leaf, now()).node.uri == fra.founded.node.uri
    async with fra.client("o") as client:
        request = pb.RevokeCertificateRequest(serial=given.certificate.serial[:12], reason="taken down")
        done = (await client.operations.RevokeCertificate(request)).certificate
        assert (done.use, done.state, done.reason) == ("process", "revoked", "taken down")
        listed = (await client.operations.ListCertificates(pb.ListCertificatesRequest())).certificates
        assert digest_of(leaf) not in {one.id for one in listed}

    def refused() -> bool:
        try:
            usa.running.runtime.node.trust.identify(leaf, now())
        except IntelshareError as error:
            return error.code == "PEER_REVOKED"
        return False

    await until(refused, "USA to refuse it")
    await arrives(fra, "USA", "the node itself goes on")


async def test_the_nodes_present_certificate_has_a_successor_before_it_is_revoked(
    pair: tuple[Site, Site],
) -> None:
    fra, usa = pair
    await until(lambda: fra.running.links.engine.linked, "links")
    async with fra.client("o") as client:
        await client.operations.RenewNode(pb.RenewNodeRequest())
        listed = (await client.operations.ListCertificates(pb.ListCertificatesRequest())).certificates
        (own,) = [one for one in listed if one.use == "node"]
        request = pb.RevokeCertificateRequest(serial=own.serial, reason="the machine was stolen")
        await client.operations.RevokeCertificate(request)
    assert digest_of(await served(fra.running)) != own.id
    await arrives(fra, "USA", "out")
    await arrives(usa, "FRA", "and back")


async def test_a_user_whose_certificate_is_revoked_stays_and_needs_another(tmp_path: Path) -> None:
    folder = tmp_path / "fra"
    ok("init", "FRA", folder, "--dev")
    ok("user", "add", "m.durand", "--folder", folder, "--clearance", "R3", "--category", "*")
    secret = (folder / "passphrase").read_bytes().strip()
    node = await start_node(folder, lambda: secret, make_logger(EventLog()), development=True)
    try:
        words = ("pki", "revoke", "--user", "m.durand", "--reason", "stolen", "--folder", folder, "--yes")
        assert (await command(*words)).code == 0
        assert "NOT_AUTHORISED" in (await command("whoami", "--as", folder / "users" / "m.durand")).err
        row = node.runtime.user_row(UserUri(user_uri("fra.intelshare.internal", "m.durand")))
        assert (row.revoked, row.certificate, row.clearance) == (0, b"", "R3")
        assert "NOT_FOUND" in (await command(*words)).err, "there is none that counts"
        assert (await command("user", "renew", "m.durand", "--folder", folder)).code == 0
        assert (await command("whoami", "--as", folder / "users" / "m.durand")).code == 0
    finally:
        await node.stop()
