"""Another authority in place of ours, for users and nodes: who comes in, and what is refused at the start."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from cryptography import x509
from test_user_certificates import refusal

from intelshare.cli.shared.findings import Finding
from intelshare.cli.shared.node_folder import Passphrase
from intelshare.client import Client, Credentials, Profile, read_credentials
from intelshare.client.enrolment import Enrolment, enrol, read_enrolment, write_enrolment
from intelshare.crypto.x509 import CertifiedKey, from_pem
from intelshare.engine.values import Chore
from intelshare.errors import IntelshareError
from intelshare.instant import MINUTE, SECOND, Instant
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Site, make_site, now, until
from other_authority import Authority, Leaf, authority, issue

MAIL = x509.RFC822Name("m.durand@mfa.example")
NEW = pb.NewUser(
    name="m.durand", role="analyst", clearance="R3", nationality="FRA", subject="email:m.durand@mfa.example"
)
FILES = {
    "node_authority": "pki/nodes.pem",
    "node_certificate": "pki/node.pem",
    "node_key": "pki/node-key.pem",
}


def put(site: Site, name: str, content: bytes) -> None:
    folder = site.root / "pki"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / name).write_bytes(content)
    (folder / name).chmod(0o600)


def certified(leaf: Leaf) -> CertifiedKey:
    return CertifiedKey(from_pem(leaf.certificate), leaf.key)


async def of_users(tmp_path: Path) -> tuple[Site, Authority]:
    """FRA, whose users have their certificates from an intermediate of somebody's root."""
    site = await asyncio.to_thread(
        make_site, "FRA", tmp_path / "FRA", dial=False, user_authority="pki/users.pem"
    )
    users = authority("MFA issuing", authority("MFA root"))
    put(site, "users.pem", users.pem)
    await site.start()
    return site, users


async def as_owner(site: Site, method: str, request: object) -> object:
    """A call by whoever has folder and passphrase: no certificate of ours counts any more."""
    from intelshare.cli.shared.owner import owner_client
    from node_world import PASSPHRASE

    def ask() -> object:
        with owner_client(site.root, lambda: PASSPHRASE) as client:
            return client.operate(method, request)  # type: ignore[arg-type]

    return await asyncio.to_thread(ask)


async def test_users_of_another_authority_come_in_by_the_name_that_the_register_has(tmp_path: Path) -> None:
    site, users = await of_users(tmp_path)
    try:
        assert await refusal(site, site.leaf("a")) in ("UNAVAILABLE", "NODE_UNREACHABLE"), (
            "ours count no longer"
        )
        leaf = certified(issue(users, [MAIL], common_name="Marie Durand"))
        assert await refusal(site, leaf) == "NOT_AUTHORISED"
        await as_owner(site, "AddUser", pb.AddUserRequest(user=NEW))
        assert await refusal(site, leaf) == ""
        for names in ([x509.RFC822Name("M.durand@mfa.example")], [x509.DNSName("m.durand")]):
            assert await refusal(site, certified(issue(users, names))) == "NOT_AUTHORISED"
        stranger = authority("MFA issuing", authority("MFA root"))
        assert await refusal(site, certified(issue(stranger, [MAIL]))) in ("UNAVAILABLE",)
        later = Instant(now() + 5 * SECOND)
        more = [MAIL, x509.UniformResourceIdentifier("urn:x")]
        server = certified(issue(users, more, at=later))
        assert await refusal(site, server) == "", "other names that nobody has do no harm"
        both = [MAIL, x509.UniformResourceIdentifier(site.user_uri("o"))]
        assert await refusal(site, certified(issue(users, both, at=later))) == "NOT_AUTHORISED", (
            "who of the two?"
        )
    finally:
        await site.stop()


async def test_a_later_certificate_ends_those_before_it_and_an_order_ends_all(tmp_path: Path) -> None:
    site, users = await of_users(tmp_path)

    def issued(ago: int) -> CertifiedKey:
        return certified(issue(users, [MAIL], at=Instant(now() - ago)))

    try:
        await as_owner(site, "AddUser", pb.AddUserRequest(user=NEW))
        old, new = issued(3 * MINUTE), issued(2 * MINUTE)
        assert await refusal(site, old) == ""
        assert await refusal(site, new) == ""
        assert await refusal(site, old) == "NOT_AUTHORISED"
        await site.stop()
        await site.start()
        assert [await refusal(site, one) for one in (old, new)] == ["NOT_AUTHORISED", ""]
        await as_owner(site, "RenewUser", pb.RenewUserRequest(name="m.durand"))
        assert await refusal(site, new) == "NOT_AUTHORISED"
        newer = issued(MINUTE)
        assert await refusal(site, newer) == ""
        await as_owner(site, "RevokeUser", pb.RevokeUserRequest(name="m.durand"))
        newest = issued(30 * SECOND)
        assert [await refusal(site, one) for one in (newer, newest)] == ["NOT_AUTHORISED"] * 2
        await as_owner(site, "RenewUser", pb.RenewUserRequest(name="m.durand", restore=True))
        assert [await refusal(site, one) for one in (newer, newest)] == ["NOT_AUTHORISED", ""]
    finally:
        await site.stop()


async def test_a_name_of_certificates_is_one_users_and_this_node_issues_none(tmp_path: Path) -> None:
    site, _ = await of_users(tmp_path)
    try:
        given = await as_owner(site, "AddUser", pb.AddUserRequest(user=NEW))
        assert (given.ticket_pem, given.certificate_pem) == (b"", b"")  # type: ignore[attr-defined]
        for other, code in (
            (pb.NewUser(name="x", role="analyst", subject=NEW.subject), "ID_CONFLICT"),
            (pb.NewUser(name="x", role="analyst", subject="m.durand"), "INPUT_INVALID"),
            (pb.NewUser(name="x", role="analyst", subject=f"uri:{site.user_uri('o')}"), "ID_CONFLICT"),
        ):
            with pytest.raises(IntelshareError) as caught:
                await as_owner(site, "AddUser", pb.AddUserRequest(user=other))
            assert caught.value.code == code
        with pytest.raises(IntelshareError) as caught:
            await as_owner(site, "RenewUser", pb.RenewUserRequest(name="m.durand", request=b"x"))
        assert caught.value.code == "ISSUED_ELSEWHERE"
    finally:
        await site.stop()


async def test_a_profile_is_made_of_what_the_other_authority_issued(tmp_path: Path) -> None:
    site, users = await of_users(tmp_path)
    try:
        given = await as_owner(site, "AddUser", pb.AddUserRequest(user=NEW))
        enrolment = Enrolment(
            "FRA",
            "m.durand",
            f"127.0.0.1:{site.running.user_port}",
            "",
            given.server_name,  # type: ignore[attr-defined]
            "never",
            given.node_authority_pem,  # type: ignore[attr-defined]
            b"",
        )
        write_enrolment(tmp_path / "m.enrol", enrolment)
        read = read_enrolment(tmp_path / "m.enrol")
        with pytest.raises(IntelshareError) as caught:
            await asyncio.to_thread(enrol, read, tmp_path / "m")
        assert caught.value.code == "ISSUED_ELSEWHERE"
        leaf = issue(users, [MAIL])
        credentials = Credentials(leaf.certificate, read.authority, leaf.key)
        profile: Profile = await asyncio.to_thread(enrol, read, tmp_path / "m", credentials)
        assert read_credentials(profile) == credentials

        def whoami() -> str:
            with Client(profile) as client:
                return client.whoami().user

        assert await asyncio.to_thread(whoami) == site.user_uri("m.durand")
    finally:
        await site.stop()


def said_of(folder: Path) -> list[Finding]:
    """What `doctor` says of the node's certificate."""
    from intelshare.cli.operator.doctor import _node_certificate, _safely, _Where

    where = _Where(None, folder, deep=False, passphrase=Passphrase(None, None))
    return list(_safely(_node_certificate, where))


def node_leaf(site: Site, by: Authority, *, uri: str = "", at: Instant | None = None) -> Leaf:
    node = site.founded.node
    names = [x509.UniformResourceIdentifier(uri or node.uri), x509.DNSName(node.dns)]
    return issue(by, names, server=True, at=at)


def put_node(site: Site, leaf: Leaf, by: Authority) -> None:
    put(site, "nodes.pem", by.pem)
    put(site, "node-key.pem", leaf.key)
    put(site, "node.pem", leaf.certificate)


async def test_nodes_under_another_authority_link_and_take_what_its_tools_have_renewed(
    tmp_path: Path,
) -> None:
    fra, usa = [await asyncio.to_thread(make_site, code, tmp_path / code) for code in ("FRA", "USA")]
    nodes = authority("MFA nodes")
    settings = fra.root / "node.toml"
    named = "".join(f'{name} = "{value}"\n' for name, value in FILES.items())
    settings.write_text(settings.read_text().replace("[certificates]\n", f"[certificates]\n{named}"))
    first = node_leaf(fra, nodes)
    put_node(fra, first, nodes)
    try:
        await fra.start()
        await usa.start()
        member = fra.running.runtime.node.trust
        assert member.authorities(fra.running.runtime.node.member) == (from_pem(nodes.pem),)
        await introduce_by_files(fra, usa)
        await until(lambda: fra.running.links.engine.linked and usa.running.links.engine.linked, "a link")
        assert fra.running.runtime.certificates.leaf.certificate == from_pem(first.certificate)
        second = node_leaf(fra, nodes)
        put_node(fra, second, nodes)
        await fra.running.chore(Chore.RENEW)
        assert fra.running.runtime.certificates.leaf.certificate == from_pem(second.certificate)
        shown = (fra.root / "tls" / "node-leaf.pem").read_bytes()
        assert from_pem(shown) == from_pem(second.certificate), "what `doctor` reads"
        assert said_of(fra.root) == []
        # A key that is not the certificate's: what was there goes on, and health says it.
        put(fra, "node-key.pem", first.key)
        await fra.running.chore(Chore.RENEW)
        assert fra.running.runtime.certificates.leaf.certificate == from_pem(second.certificate)
        assert "CERTIFICATE_UNUSABLE" in fra.running.runtime.health.codes
        with pytest.raises(IntelshareError) as refused:
            await as_owner(fra, "RenewNode", pb.RenewNodeRequest())
        assert refused.value.code == "CERTIFICATE_UNUSABLE"
        (said,) = said_of(fra.root)
        assert (said.code, "(pki/node.pem)" in said.found) == ("CERTIFICATE_UNUSABLE", True)
        assert "have that authority issue it again" in said.remedy
        put(fra, "node-key.pem", second.key)
        await fra.running.chore(Chore.RENEW)
        assert "CERTIFICATE_UNUSABLE" not in fra.running.runtime.health.codes
    finally:
        await fra.stop()
        await usa.stop()


async def introduce_by_files(fra: Site, usa: Site) -> None:
    """FRA's own clients know the node by the vault's authority, which is no more: its owner asks."""
    exported = await as_owner(fra, "ExportMember", pb.ExportMemberRequest())
    async with usa.client("o") as client:
        said = await client.operations.ExportMember(pb.ExportMemberRequest())
        given = pb.ImportMemberRequest(text=exported.text, fingerprint=exported.fingerprint)  # type: ignore[attr-defined]
        await client.operations.ImportMember(given)
    await as_owner(fra, "ImportMember", pb.ImportMemberRequest(text=said.text, fingerprint=said.fingerprint))


async def test_before_the_change_peers_are_told_of_both_authorities(tmp_path: Path) -> None:
    fra = await asyncio.to_thread(
        make_site, "FRA", tmp_path / "FRA", dial=False, node_authority="pki/nodes.pem"
    )
    nodes = authority("MFA nodes")
    put(fra, "nodes.pem", nodes.pem)
    try:
        await fra.start()
        runtime = fra.running.runtime
        told = runtime.node.trust.authorities(runtime.node.member)
        assert told == (fra.founded.node_authority.certificate, from_pem(nodes.pem))
        assert runtime.certificates.leaf.certificate == fra.founded.node_leaf.certificate
    finally:
        await fra.stop()


@pytest.mark.parametrize(
    "wrong", ["uri", "authority", "key", "intermediate", "expired", "missing", "writable"]
)
async def test_what_cannot_serve_is_refused_at_the_start_with_the_file(tmp_path: Path, wrong: str) -> None:
    fra = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA", dial=False, **FILES)
    nodes = authority("MFA nodes")
    intermediate = authority("MFA issuing", nodes)
    by = {"authority": authority("MFA nodes"), "intermediate": intermediate}.get(wrong, nodes)
    uri = "intelshare://fra.intelshare.internal/node/two" if wrong == "uri" else ""
    leaf = node_leaf(fra, by, uri=uri, at=Instant(now() - 86_500 * SECOND) if wrong == "expired" else None)
    put_node(fra, leaf, intermediate if wrong == "intermediate" else nodes)
    if wrong == "key":
        put(fra, "node-key.pem", node_leaf(fra, nodes).key)
    if wrong == "missing":
        (fra.root / "pki" / "node.pem").unlink()
    if wrong == "writable":
        (fra.root / "pki" / "node.pem").chmod(0o660)
    with pytest.raises(IntelshareError) as caught:
        await fra.start()
    code = {"missing": "NOT_FOUND", "writable": "UNSAFE_FILE"}.get(wrong, "CERTIFICATE_UNUSABLE")
    assert (caught.value.code, caught.value.place is not None) == (code, True)
