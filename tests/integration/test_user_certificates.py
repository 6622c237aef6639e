"""What a user comes in with: a key of their own, one certificate that counts, a ticket that serves once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from intelshare.crypto.x509 import CertifiedKey, from_pem, request_key
from intelshare.patience import patient
from intelshare.wire.v1 import user_pb2 as pb
from node_world import Client, Site, code_of, make_site
from waits import LIMIT

NEW = pb.NewUser(name="m.durand", role="analyst", clearance="R3", nationality="FRA", categories=["cyber"])


@pytest.fixture(name="fra")
async def _fra(tmp_path: Path) -> AsyncIterator[Site]:
    site = await asyncio.to_thread(make_site, "FRA", tmp_path / "FRA", dial=False)
    try:
        await site.start()
        yield site
    finally:
        await site.stop()


async def operate(site: Site, method: str, request: Any) -> Any:
    async with site.client("o") as operator:
        return await getattr(operator.operations, method)(request)


async def refusal(site: Site, leaf: CertifiedKey) -> str:
    """The code with which a call on a new connection ends; empty if it is answered."""
    async with site.channel(leaf, site.running.user_port) as channel:
        return await refused_on(channel)


async def refused_on(channel: grpc.aio.Channel) -> str:
    try:
        await Client(channel).bulletins.WhoAmI(pb.WhoAmIRequest())
    except grpc.aio.AioRpcError as error:
        return code_of(error)
    return ""


def pair(pem: bytes, key: bytes) -> CertifiedKey:
    return CertifiedKey(from_pem(pem), key)


async def renewed(site: Site, leaf: CertifiedKey) -> CertifiedKey:
    """What the node gives to whoever comes in so, for a new key."""
    made = request_key(os.urandom)
    async with site.channel(leaf, site.running.user_port) as channel:
        given = await Client(channel).operations.Renew(pb.RenewRequest(request=made.request))
    return pair(given.certificate_pem, made.key)


async def added(site: Site) -> CertifiedKey:
    """The ticket of a new user."""
    given = await operate(site, "AddUser", pb.AddUserRequest(user=NEW))
    assert given.certificate_pem == b""
    return pair(given.ticket_pem, given.ticket_pem)


def test_no_message_has_room_for_a_users_private_key() -> None:
    fields = [f.name for m in pb.DESCRIPTOR.message_types_by_name.values() for f in m.fields]
    assert [name for name in fields if "private" in name or name.endswith("key_pem")] == []


async def test_a_ticket_fetches_a_certificate_and_nothing_else_and_ends_with_its_first_use(fra: Site) -> None:
    ticket = await added(fra)
    assert await refusal(fra, ticket) == "NOT_AUTHORISED"
    lost = await renewed(fra, ticket)
    # The answer may be lost: until a certificate is used, the ticket goes on, and the last one counts.
    leaf = await renewed(fra, ticket)
    assert await refusal(fra, lost) == "NOT_AUTHORISED"
    assert await refusal(fra, leaf) == ""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await renewed(fra, ticket)
    assert code_of(caught.value) == "NOT_AUTHORISED"
    assert await refusal(fra, leaf) == ""


async def test_a_renewed_certificate_ends_the_one_before_with_its_first_use_also_on_open_connections(
    fra: Site,
) -> None:
    old = fra.leaf("a")
    async with (
        fra.channel(old, fra.running.user_port) as open_,
        fra.channel(old, fra.running.user_port) as other,
    ):
        watch = Client(other).bulletins.Watch(pb.WatchRequest())
        await watch.read()
        assert await refused_on(open_) == ""
        new = await renewed(fra, old)
        assert await refused_on(open_) == "", "the answer may have been lost"
        assert await refusal(fra, new) == ""
        assert await refused_on(open_) == "NOT_AUTHORISED"
        assert await refusal(fra, old) == "NOT_AUTHORISED"
        # A stream that has nothing to say ends at once too, and not with its next message.
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asyncio.wait_for(watch.read(), patient(LIMIT))
        assert code_of(caught.value) == "NOT_AUTHORISED"
    await fra.stop()
    await fra.start()
    assert (await refusal(fra, old), await refusal(fra, new)) == ("NOT_AUTHORISED", "")


async def test_a_stolen_certificate_never_answers_again_after_renew_revoke_and_restore(fra: Site) -> None:
    """Row 108 of the attacks."""
    stolen = await renewed(fra, await added(fra))
    assert await refusal(fra, stolen) == ""
    made = request_key(os.urandom)
    given = await operate(fra, "RenewUser", pb.RenewUserRequest(name="m.durand", request=made.request))
    assert await refusal(fra, stolen) == "NOT_AUTHORISED"
    leaf = pair(given.certificate_pem, made.key)
    assert await refusal(fra, leaf) == ""
    await operate(fra, "RevokeUser", pb.RevokeUserRequest(name="m.durand"))
    assert [await refusal(fra, one) for one in (stolen, leaf)] == ["NOT_AUTHORISED"] * 2
    given = await operate(fra, "RenewUser", pb.RenewUserRequest(name="m.durand", restore=True))
    assert [await refusal(fra, one) for one in (stolen, leaf)] == ["NOT_AUTHORISED"] * 2
    again = await renewed(fra, pair(given.ticket_pem, given.ticket_pem))
    assert await refusal(fra, again) == ""
    assert [await refusal(fra, one) for one in (stolen, leaf)] == ["NOT_AUTHORISED"] * 2


async def test_adding_overwrites_nobody_and_revives_nobody(fra: Site) -> None:
    leaf = await renewed(fra, await added(fra))
    assert await refusal(fra, leaf) == ""

    async def row() -> pb.User:
        users = (await operate(fra, "ListUsers", pb.ListUsersRequest())).users
        return next(user for user in users if user.name == "m.durand")

    other = pb.NewUser(name="m.durand", role="auditor", clearance="R0", nationality="FRA")
    for revoked in (False, True):
        if revoked:
            await operate(fra, "RevokeUser", pb.RevokeUserRequest(name="m.durand"))
        before = await row()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await operate(fra, "AddUser", pb.AddUserRequest(user=other))
        assert code_of(caught.value) == "ID_CONFLICT"
        assert await row() == before
        assert await refusal(fra, leaf) == ("NOT_AUTHORISED" if revoked else "")


async def test_whoever_was_revoked_is_renewed_and_changed_by_nobody(fra: Site) -> None:
    leaf = await renewed(fra, await added(fra))
    await operate(fra, "RevokeUser", pb.RevokeUserRequest(name="m.durand"))
    for method, request in (
        ("RenewUser", pb.RenewUserRequest(name="m.durand")),
        ("ChangeUser", pb.ChangeUserRequest(user=NEW)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await operate(fra, method, request)
        assert code_of(caught.value) == "NOT_FOUND"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await renewed(fra, leaf)
    assert code_of(caught.value) == "NOT_AUTHORISED"


async def test_a_changed_row_holds_at_once_and_the_certificate_stays(fra: Site) -> None:
    leaf = await renewed(fra, await added(fra))
    changed = pb.NewUser(name="m.durand", role="auditor", clearance="R1", nationality="FRA")
    await operate(fra, "ChangeUser", pb.ChangeUserRequest(user=changed))
    async with fra.channel(leaf, fra.running.user_port) as channel:
        told = await Client(channel).bulletins.WhoAmI(pb.WhoAmIRequest())
    assert (told.role, told.clearance) == ("auditor", "R1")


async def test_what_the_authority_issued_without_the_register_counts_for_nobody(fra: Site) -> None:
    assert await refusal(fra, fra.issue("a")) == "NOT_AUTHORISED"
    assert await refusal(fra, fra.leaf("a")) == ""


async def test_a_request_that_its_key_did_not_sign_gets_nothing(fra: Site) -> None:
    made = request_key(os.urandom)
    broken = bytearray(made.request)
    broken[-1] ^= 1
    for request in (bytes(broken), b"no request", made.request[:-10], bytes(20_000)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await operate(fra, "RenewUser", pb.RenewUserRequest(name="a", request=request))
        assert code_of(caught.value) == "INPUT_INVALID"
    assert await refusal(fra, fra.leaf("a")) == ""
