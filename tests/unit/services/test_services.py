"""The table of the services: every method has a row, every role what its row says, every field a reader."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import intelshare
from builders import NOW, actor, draft, seeded, text, user
from intelshare.audit.exhibit import exhibit_of
from intelshare.broker.kernel.actor import Actor, authorised, user_row_of
from intelshare.broker.kernel.cursor import seal_cursor
from intelshare.broker.kernel.effects import Effects
from intelshare.broker.kernel.register import SetUserCommand, revoke_user, set_user
from intelshare.broker.kernel.tables import BULLETIN, CertificateRow, UserRow
from intelshare.broker.kernel.transaction import Transaction
from intelshare.broker.lifecycle.certificates import note_certificates
from intelshare.broker.lifecycle.drop import DropCommand
from intelshare.broker.lifecycle.mend import MAX_MENDED, MendResult, Record
from intelshare.broker.queries.watch import Cursor, cursor_text
from intelshare.broker.transparency.evidence import contradict, identity_of, lost_here
from intelshare.cli.analyst.outbox import outbox
from intelshare.cli.analyst.read import inbox
from intelshare.crypto.records import KeyUse
from intelshare.crypto.suites import SUITE_1
from intelshare.delivery import LinkWord
from intelshare.errors import DeliveryError, IntelshareError, TrustError
from intelshare.ids import Digest, MemberCode
from intelshare.instant import LATEST, NEVER, Instant
from intelshare.policy import ActKind
from intelshare.roles import Role
from intelshare.services.backend import LinkFacts
from intelshare.services.dispatch import answer, authorise, stream
from intelshare.services.rpc import Rpc, StreamCall
from intelshare.services.table import BESIDE, SERVICES
from intelshare.trust import new_key, write_member_file, write_root_key
from intelshare.wire import MAX_LISTED
from intelshare.wire.v1 import user_pb2 as pb
from line_world import TO_USA, does, hand_over, met, rows, send
from services_world import MemberBackend
from source_files import nodes_with

METHODS = {
    f"{service.name}/{method.name}": method
    for service in pb.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
ROOT_KEY = new_key(SUITE_1, KeyUse.ROOT, MemberCode("FRA"), NOW, seeded("root key"))
ROWS = {f"{service}/{name}": row for service, rows_ in SERVICES.items() for name, row in rows_.items()}


def test_every_method_has_a_row_and_every_row_a_method() -> None:
    assert set(ROWS) == set(METHODS)
    assert {role for row in ROWS.values() for role in row.roles} == set(Role)
    for name, row in ROWS.items():
        assert isinstance(row.run, StreamCall) == METHODS[name].server_streaming, name


@pytest.mark.parametrize("name", ROWS)
def test_a_role_is_an_actor_where_its_row_says_so_and_nowhere_else(name: str) -> None:
    row = ROWS[name]
    for role in Role:
        if role in row.roles:
            assert authorise(row, user("FRA", "a"), role) == authorised(user("FRA", "a"), role)
            continue
        with pytest.raises(TrustError) as raised:
            authorise(row, user("FRA", "a"), role)
        assert raised.value.code == "NOT_AUTHORISED"


@pytest.mark.parametrize("role", ["", "ANALYST", "peer", "root"])
def test_what_is_no_role_may_call_nothing(role: str) -> None:
    for row in ROWS.values():
        with pytest.raises(TrustError):
            authorise(row, user("FRA", "a"), role)


def test_nobody_but_authorisation_makes_an_actor() -> None:
    with pytest.raises(TypeError):
        Actor(user("FRA", "a"), Role.OPERATOR, object())
    source = Path(intelshare.__file__).parent
    importing = {
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path, node in nodes_with(source, "authorised")
        if isinstance(node, ast.ImportFrom) and "authorised" in [alias.name for alias in node.names]
    }
    assert importing == {"services.dispatch", "sim.world"}


def test_no_role_is_written_out_but_where_it_is_defined() -> None:
    """``operator`` is also a user that ``init`` makes, and its folder; ``gateway`` is also a command."""
    source = Path(intelshare.__file__).parent
    words = {role.value for role in Role} - {"operator", "gateway"}
    found = {
        str(path.relative_to(source))
        for path, node in nodes_with(source, *words)
        if isinstance(node, ast.Constant) and node.value in words
    }
    assert found == {"roles.py"}


def test_a_role_that_changed_since_the_call_was_authorised_carries_out_nothing() -> None:
    fra = met(("FRA", "USA"))["FRA"]
    row = UserRow(user("FRA", "a"), "a", Role.AUDITOR, "R4", "FRA", "*", 0)
    fra.do(set_user, SetUserCommand(user("FRA", "o"), row))
    with pytest.raises(DeliveryError, match="your role is auditor now") as raised:
        send(fra, draft(text(TO_USA), to=["USA"]))
    assert raised.value.code == "NOT_AUTHORISED"
    assert rows(fra, BULLETIN) == []
    fra.do(revoke_user, user("FRA", "o"), user("FRA", "a"))
    for role in Role:
        with pytest.raises(DeliveryError) as raised:
            fra.store.ask_now(lambda view, role=role: user_row_of(view, actor("FRA", "a", role)))
        assert raised.value.code == "NOT_AUTHORISED"


def test_a_preview_changes_nothing() -> None:
    fra = met(("FRA", "USA"))["FRA"]
    bulletin = send(fra, draft(text(TO_USA), to=["USA"])).bulletin.hex()
    commits = fra.store.commits
    backend = MemberBackend(fra)
    request = pb.RecallRequest(id=bulletin, reason="wrong", dry_run=True)
    planned: Any = asyncio.run(answer(backend, ROWS["Bulletins/Recall"], actor("FRA", "a"), request))
    assert [(pair.recipient, pair.effect) for pair in planned.pairs] == [("USA", "stopped")]
    assert fra.store.commits == commits
    request.dry_run = False
    done: Any = asyncio.run(answer(backend, ROWS["Bulletins/Recall"], actor("FRA", "a"), request))
    assert [pair.effect for pair in done.pairs] == ["stopped"]
    assert fra.store.commits == commits + 1


def test_whoever_gets_something_is_woken() -> None:
    fra = met(("FRA", "USA"))["FRA"]
    backend = MemberBackend(fra)
    portion = pb.Portion(kind=1, label=TO_USA, category="cyber", media="text/plain", content=b"x")
    request = pb.SubmitRequest(key=bytes(16), to=["USA"], precedence=1, portions=[portion])
    asyncio.run(answer(backend, ROWS["Bulletins/Submit"], actor("FRA", "a"), request))
    assert backend.woken == ["USA"]
    asyncio.run(answer(backend, ROWS["Bulletins/DryRun"], actor("FRA", "a"), request))
    assert backend.woken == ["USA"]


def test_a_node_that_is_drained_takes_no_bulletin_and_answers_everything_else() -> None:
    fra = met(("FRA", "USA"))["FRA"]
    backend = MemberBackend(fra)
    operator, author = actor("FRA", "o", Role.OPERATOR), actor("FRA", "a")
    send(fra, draft(text(TO_USA), to=["USA"]))
    backend.replica = "b"
    drains = ROWS["Operations/Drain"]
    left: Any = asyncio.run(answer(backend, drains, operator, pb.DrainRequest()))
    assert (left.queued, left.unacknowledged, left.replica) == (1, 0, "b")
    # A balancer may lead elsewhere than to the replica that is meant.
    left = asyncio.run(answer(backend, drains, operator, pb.DrainRequest(undo=True, replica="a")))
    assert (left.queued, left.replica) == (1, "b")
    portion = pb.Portion(kind=1, label=TO_USA, category="cyber", media="text/plain", content=b"x")
    request = pb.SubmitRequest(key=bytes(16), to=["USA"], precedence=1, portions=[portion])
    with pytest.raises(DeliveryError) as raised:
        asyncio.run(answer(backend, ROWS["Bulletins/Submit"], author, request))
    assert raised.value.code == "DRAINING"
    for name in ("Bulletins/SubmitMany", "Files/Upload"):
        with pytest.raises(DeliveryError):
            stream(backend, ROWS[name], author, iter(()))
    asyncio.run(answer(backend, ROWS["Bulletins/Outbox"], author, pb.OutboxRequest()))
    asyncio.run(answer(backend, drains, operator, pb.DrainRequest(replica="b")))
    assert backend.orders == ["drained"]  # whoever waits asks again and again
    asyncio.run(answer(backend, drains, operator, pb.DrainRequest(undo=True, replica="b")))
    asyncio.run(answer(backend, ROWS["Bulletins/Submit"], author, request))


def test_queues_are_by_recipient_and_precedence() -> None:
    fra = met(("FRA", "USA"))["FRA"]
    backend, operator = MemberBackend(fra), actor("FRA", "o", Role.OPERATOR)
    send(fra, draft(text(TO_USA), to=["USA"]))
    asked: Any = asyncio.run(answer(backend, ROWS["Operations/Queues"], operator, pb.QueuesRequest()))
    (one,) = asked.queues
    assert (one.member, one.queued, one.oldest_queued, one.unacknowledged) == ("USA", 1, NOW, 0)
    hand_over(fra, "USA")
    asked = asyncio.run(answer(backend, ROWS["Operations/Queues"], operator, pb.QueuesRequest()))
    assert [(row.queued, row.unacknowledged) for row in asked.queues] == [(0, 1)]
    assert asked.queues[0].bytes_unacknowledged > 0


def test_a_loss_of_memory_is_shown_until_an_operator_has_settled_it() -> None:
    """A link goes on saying what its hello said."""
    fra = met(("FRA", "USA"))["FRA"]
    backend, operator = MemberBackend(fra), actor("FRA", "o", Role.OPERATOR)
    backend.linked = LinkFacts(LinkWord.LINKED, "", NOW, 0, forgot=3, peer_forgot=4)
    (uri,) = [listed.uri for listed in fra.node.trust.members[MemberCode("USA")].directory.nodes]

    def shown() -> tuple[int, int]:
        found: Any = asyncio.run(answer(backend, ROWS["Operations/Status"], operator, pb.StatusRequest()))
        (peer,) = found.peers
        return peer.forgot, peer.peer_forgot

    def contradicts(member: str, key: bytes) -> str:
        def step(node: Any, view: Any, now: Instant, random: Any) -> Any:
            tx = Transaction(node, view, now, random)
            contradict(tx, MemberCode(member), "LOG_FORGOT", exhibit_of((), raw=b"a loss"), key)
            return tx.plan(None)

        fra.do(step)
        return identity_of("LOG_FORGOT", exhibit_of(()), key).hex()

    def settled(evidence: str) -> None:
        asked = pb.SettleEvidenceRequest(id=evidence)
        asyncio.run(answer(backend, ROWS["Audit/SettleEvidence"], operator, asked))

    first, second = contradicts("USA", b"one"), contradicts("USA", b"two")
    own = contradicts("FRA", lost_here(uri, fra.node.incarnation))
    settled(first)
    assert shown() == (3, 4)
    settled(second)
    assert shown() == (3, 0)
    settled(own)
    assert shown() == (0, 0)


def test_what_was_brought_back_is_written_again_unasked_and_never_offered_to_be_given_up() -> None:
    backend, operator = MemberBackend(met(("FRA", "USA"))["FRA"]), actor("FRA", "o", Role.OPERATOR)
    backend.rotten = (Record("chunk", (3,), repaired=True), Record("reader", ("somebody", bytes(32))))
    found: Any = asyncio.run(answer(backend, ROWS["Operations/Repair"], operator, pb.RepairRequest()))
    assert [(one.table, one.state, bool(one.remedy)) for one in found.records] == [
        ("chunk", "whole", False),
        ("reader", "damaged", True),
    ]


def test_any_number_of_damaged_records_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, operator = MemberBackend(met(("FRA", "USA"))["FRA"]), actor("FRA", "o", Role.OPERATOR)
    backend.rotten = tuple([Record("reader", ("somebody", place)) for place in range(MAX_MENDED + 1)])
    given: list[Record] = []

    async def perform(_: object, command: DropCommand, **__: object) -> MendResult:
        assert len(command.records) <= MAX_MENDED
        assert command.handed_over is not None, "all logs are read before the step"
        given.extend(command.records)
        return MendResult((), Effects())

    monkeypatch.setattr(backend, "perform", perform)
    found: Any = asyncio.run(answer(backend, ROWS["Operations/Repair"], operator, pb.RepairRequest()))
    request = pb.RepairRequest(drop=[one.id for one in found.records], reason="a bad disk")
    asyncio.run(answer(backend, ROWS["Operations/Repair"], operator, request))
    assert given == list(backend.rotten)


def test_no_act_key_or_authority_is_made_while_the_clock_is_wrong() -> None:
    """Of a clock that is ahead nobody would take it before that time has come."""
    backend = MemberBackend(met(("FRA", "USA"))["FRA"])
    backend.wrong_clock = True
    key = backend.node.signer.key_id.hex()
    for name, request in (
        ("Treaties/Act", pb.ActRequest(treaty="demo-climate", kind="withdraw")),
        ("Treaties/ResumeActs", pb.ResumeActsRequest(member="USA")),
        ("Operations/RotateKeys", pb.RotateKeysRequest()),
        ("Operations/RevokeKey", pb.RevokeKeyRequest(key=key, dry_run=True)),
        ("Operations/ProposeRoot", pb.ProposeRootRequest(new_directory_key=True)),
        ("Operations/RotateAuthorities", pb.RotateAuthoritiesRequest()),
    ):
        with pytest.raises(DeliveryError) as raised:
            asyncio.run(answer(backend, ROWS[name], actor("FRA", "o"), request))
        assert raised.value.code == "CLOCK", name
    stolen = pb.RevokeKeyRequest(key=key, compromised=True, dry_run=True)
    asyncio.run(answer(backend, ROWS["Operations/RevokeKey"], actor("FRA", "o"), stolen))


# Every field of every request is read


class Recording:
    """A message that remembers which of its fields were read."""

    def __init__(self, message: Message, read: set[str], prefix: str = "") -> None:
        self._message, self._read, self._prefix = message, read, prefix

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._message, name)
        field = self._message.DESCRIPTOR.fields_by_name.get(name)
        if field is None:
            return value
        path = self._prefix + name
        self._read.add(path)
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            return value
        if field.is_repeated:
            return [Recording(one, self._read, f"{path}.") for one in value]
        return Recording(value, self._read, f"{path}.")


def fields_of(descriptor: Descriptor, prefix: str = "") -> Iterator[str]:
    """Every field of a message, and of the messages in it."""
    for field in descriptor.fields:
        yield prefix + field.name
        if field.message_type is not None:
            yield from fields_of(field.message_type, f"{prefix}{field.name}.")


class World:
    """FRA, with what requests may be about."""

    def __init__(self) -> None:
        self.fra = met(("FRA", "USA"))["FRA"]
        self.bulletin = send(self.fra, draft(text(TO_USA), to=["USA"])).bulletin.hex()
        does(self.fra, ActKind.GIVE_NOTICE)
        self.fra.do(note_certificates, (CERTIFICATE,), ())
        self.backend = MemberBackend(self.fra)
        self.actor = actor("FRA", "a")

    def samples(self, name: str) -> Iterable[Message]:
        """Requests of a method that lead its handler through all that it reads."""
        portion = pb.Portion(
            kind=1, label=TO_USA, category="cyber", flags=["x"], grade="B2", media="text/plain", content=b"x"
        )
        submit = pb.SubmitRequest(
            key=bytes(16), to=["USA"], precedence=1, valid_until=LATEST, deliver_by=LATEST,
            portions=[portion], supersedes=self.bulletin, in_reply_to=self.bulletin, in_reply_to_from="FRA",
        )  # fmt: skip
        reservation = pb.Reservation(
            categories=["cyber"], level_at_least="R1", counterparties=["USA"], until=2, **{"from": 1}
        )
        act = pb.ActRequest(treaty="demo-climate", kind="reserve", effective=1, reservation=reservation, n=1)
        cursor = cursor_text(self.fra.node, self.actor, Cursor(self.fra.node.incarnation, 0), bytes)
        place = seal_cursor(self.fra.node, self.actor.user, "search", bytes(33), bytes)
        search = pb.SearchRequest(query="text", where=2)
        chosen: dict[str, Iterable[Message]] = {
            "Bulletins/Submit": (submit,),
            "Bulletins/DryRun": (submit,),
            "Bulletins/SubmitMany": (pb.SubmitManyRequest(drafts=[submit]),),
            "Files/Upload": (pb.UploadRequest(id=bytes(16), size=3, data=b"abc"),),
            "Bulletins/Recall": (pb.RecallRequest(id=self.bulletin, reason="x", dry_run=True),),
            "Bulletins/Watch": (pb.WatchRequest(cursor=cursor, once=True),),
            "Bulletins/Search": (search, pb.SearchRequest(where=2, before=pb.SearchPlace(md=place))),
            "Gateways/Follow": (pb.FollowRequest(cursor=cursor, once=True, consumers=[CONSUMER]),),
            "Gateways/Export": (
                pb.ExportRequest(
                    consumer=CONSUMER, bulletins=[pb.NamedBulletin(originator="USA", bulletin=bytes(16))]
                ),
            ),
            "Treaties/ListTreaties": (pb.ListTreatiesRequest(treaty="demo-climate", files=True),),
            "Treaties/ListActs": (pb.ListActsRequest(member="FRA", treaty="demo-climate"),),
            "Treaties/PreviewAct": (act,),
            "Treaties/Act": (act,),
            "Operations/ImportMember": (
                pb.ImportMemberRequest(
                    text=write_member_file(self.fra.node.trust.members[MemberCode("USA")]), fingerprint="x"
                ),
            ),
            "Operations/ProposeRoot": (
                pb.ProposeRootRequest(
                    add=[write_root_key(ROOT_KEY.record)], drop=["ab"], threshold=1, new_directory_key=True
                ),
                pb.ProposeRootRequest(threshold=1, new_directory_key=True),
            ),
            "Operations/RevokeKey": (
                pb.RevokeKeyRequest(key=self.fra.node.signer.key_id.hex(), compromised=True, since=1),
            ),
            "Operations/RevokeCertificate": (
                pb.RevokeCertificateRequest(serial=CERTIFICATE.serial, reason="lost"),
                pb.RevokeCertificateRequest(user="nobody", dry_run=True),
            ),
            "Operations/RotateAuthorities": (
                pb.RotateAuthoritiesRequest(finish=True),
                pb.RotateAuthoritiesRequest(dry_run=True),
            ),
            "Operations/Drain": (pb.DrainRequest(undo=True), pb.DrainRequest(replica="another")),
            "Operations/ConfirmAccess": (
                pb.ConfirmAccessRequest(users=["a"], members=["USA"], reason="asked"),
                pb.ConfirmAccessRequest(dry_run=True),
            ),
            "Operations/AddUser": (pb.AddUserRequest(user=NEW_USER, request=b"x"),),
            "Operations/ChangeUser": (pb.ChangeUserRequest(user=NEW_USER),),
        }
        return chosen.get(name) or (filled(GetMessageClass(METHODS[name].input_type)()),)


def filled(message: Message) -> Message:
    """Something in every field."""
    for field in message.DESCRIPTOR.fields:
        value: Any = {
            FieldDescriptor.CPPTYPE_STRING: b"0011" if field.type == FieldDescriptor.TYPE_BYTES else "0011",
            FieldDescriptor.CPPTYPE_BOOL: True,
        }.get(field.cpp_type, 1)
        if field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


async def run_handler(world: World, name: str, row: Rpc, request: Recording) -> None:
    """Let the handler do what it does with this request; that it may refuse it is its own affair."""
    try:
        if isinstance(row.run, StreamCall):
            streaming = METHODS[name].client_streaming
            given: Any = each(request) if streaming else request
            async for _ in stream(world.backend, row, world.actor, given):
                pass
        else:
            await answer(world.backend, row, world.actor, request)
    except IntelshareError:
        return


async def each(request: Recording) -> AsyncIterator[Recording]:
    """Twice, for an upload says something else in its first request than in the others."""
    yield request
    yield request


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.input_type.fields])
def test_every_field_of_a_request_is_read_by_its_handler(name: str) -> None:
    world, row = World(), ROWS[name]
    world.actor = authorised(world.actor.user, sorted(row.roles)[0]) if name not in WRITING else world.actor
    read: set[str] = set()
    for sample in world.samples(name):
        asyncio.run(run_handler(world, name, row, Recording(sample, read)))
    assert set(fields_of(METHODS[name].input_type)) - read == set()


CERTIFICATE = CertificateRow(Digest(bytes(32)), "a node", "5a0c", Instant(0), NEVER)
CONSUMER = pb.Consumer(name="opencti", clearance="R1", nationality="FRA", categories=["*"])
NEW_USER = pb.NewUser(
    name="x",
    role="analyst",
    clearance="R1",
    nationality="FRA",
    categories=["*"],
    subject="email:x@fra.example",
)

WRITING = {name for name, row in ROWS.items() if Role.ANALYST in row.roles}
"""Their actor is the analyst of ``World``; for the others any role of the row will do."""


def test_a_field_that_is_not_read_is_found() -> None:
    read: set[str] = set()
    request = Recording(pb.ReadRequest(id="3f9a1c22", originator="USA"), read)
    assert request.id == "3f9a1c22"
    assert set(fields_of(pb.ReadRequest.DESCRIPTOR)) - read == {"originator"}
    assert "portions.content" in set(fields_of(pb.SubmitRequest.DESCRIPTOR))


def test_now_is_the_time_of_the_backend() -> None:
    assert MemberBackend(met(("FRA",))["FRA"]).now() == NOW


@pytest.mark.parametrize("command", [inbox, outbox])
def test_a_list_may_be_as_long_as_its_command_says(command: click.Command) -> None:
    (limit,) = (option.type for option in command.params if option.name == "limit")
    assert isinstance(limit, click.IntRange)
    assert limit.max == MAX_LISTED


def test_a_replica_that_does_not_lead_serves_neither_keys_nor_members_nor_files() -> None:
    rows = [(service, row) for service, of_one in SERVICES.items() for row in of_one.values()]
    for_the_leader = {f"{service}/{row.method}" for service, row in rows if row not in BESIDE}
    assert for_the_leader >= {
        "Files/Upload", "Courier/Import", "Treaties/Act", "Operations/RotateKeys", "Operations/SuspendMember",
        "Operations/RevokeUser", "Operations/ImportMember", "Operations/Clock", "Audit/SettleEvidence",
    }  # fmt: skip
    assert {service for service, row in rows if row not in BESIDE}.isdisjoint(
        ("Bulletins", "Gateways", "Consents", "Tasks")
    )
