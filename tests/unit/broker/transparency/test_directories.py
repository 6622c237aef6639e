"""Two directories of one member under one version: kept whoever shows them, and proved to others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, actor, seeded
from intelshare.audit.exhibit import Exhibit, describe
from intelshare.audit.portable import EVIDENCE_SCHEMA, EvidenceFile, wrap, write
from intelshare.broker.kernel.frame import Carried, Frame
from intelshare.broker.line.receive import Arrival, receive
from intelshare.broker.transparency.directories import judge_directory
from intelshare.broker.transparency.evidence import alarms
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import KeyUse, Kind, Trust
from intelshare.crypto.suites import SUITE_1, Signer, load_signer
from intelshare.errors import IntelshareError
from intelshare.ids import MemberCode
from intelshare.services.audit import export_evidence, list_evidence
from intelshare.services.rpc import CallContext
from intelshare.statement import Leaf, sign_batch
from intelshare.trust import (
    DirectoryDocument,
    ForkedDirectories,
    Founding,
    create_member,
    documents_of,
    held_of,
    otherwise,
    sign_directory,
)
from intelshare.verifier import check_evidence
from intelshare.wire.v1 import user_pb2 as pb
from line_world import met
from services_world import MemberBackend

USA, KEN = MemberCode("USA"), MemberCode("KEN")


@pytest.fixture
def members() -> Any:
    return met(("FRA", "USA", "KEN"))


def directory_of(members: Any, code: MemberCode) -> DirectoryDocument:
    return decode(DirectoryDocument, signed_of(members, code).document)


def signed_of(members: Any, code: MemberCode) -> Trust:
    found = members["FRA"].node.trust.members[code].directory_signed
    assert found is not None
    return found


def directory_signer(code: MemberCode) -> Signer:
    """The key with which ``builders.federation`` founds a member."""
    made = create_member(Founding(code, code.title(), "one"), NOW, seeded(code), SUITE_1)
    key = next(key for key in made.keys if key.record.use is KeyUse.DIRECTORY)
    return load_signer(SUITE_1, key.record, key.key_id, key.secret)


def forked(members: Any, code: MemberCode = KEN, by: MemberCode = KEN, **changes: Any) -> Trust:
    """Another directory of a member, as a directory key of ``by`` signs it."""
    directory = directory_of(members, code)
    return sign_directory(
        replace(directory, **(changes or {"expires": directory.expires - 1})), directory_signer(by)
    )


def judge(members: Any, shown: Trust) -> MemberCode | None:
    found: MemberCode | None = members["FRA"].do(judge_directory, USA, shown).forked
    return found


def kept(members: Any) -> list[Any]:
    found: list[Any] = members["FRA"].store.ask_now(alarms)
    return found


def test_two_directories_under_one_version_are_kept_once_against_who_signed_them(members: Any) -> None:
    shown = forked(members)
    assert judge(members, shown) == KEN
    assert judge(members, shown) is None, "known"
    (row,) = kept(members)
    assert (row.member, row.code) == (KEN, "TRUST_FORK")
    assert describe(row.code, decode(Exhibit, row.exhibit)) == "two directories 2"
    assert members["FRA"].node.trust.members[KEN].directory_signed == signed_of(members, KEN), (
        "the first stays"
    )


def test_what_proves_nothing_is_not_kept(members: Any) -> None:
    version = directory_of(members, KEN).version
    shown = [
        signed_of(members, KEN),
        forked(members, by=USA),
        forked(members, version=version + 1),
        replace(forked(members), signatures=()),
        replace(forked(members), document=b"junk"),
        members["FRA"].node.trust.members[KEN].roots[0],
    ]
    assert [judge(members, one) for one in shown] == [None] * len(shown)
    assert kept(members) == []


def test_a_directory_in_the_own_name_that_this_node_never_signed_is_an_alarm(members: Any) -> None:
    fra = MemberCode("FRA")
    assert judge(members, forked(members, fra, fra)) == fra


def test_digests_tell_of_which_directories_two_nodes_hold_other_contents(members: Any) -> None:
    trust = members["FRA"].node.trust
    told = held_of(trust, sorted(trust.members))
    assert [row.member for row in told] == ["FRA", "KEN", "USA"]
    assert otherwise(trust, told) == []
    other = [replace(row, digest=bytes(32)) if row.member == KEN else row for row in told]
    assert otherwise(trust, other) == [signed_of(members, KEN)]
    later = [replace(row, version=9, digest=bytes(32)) for row in told]
    assert otherwise(trust, later) == [], "another version is another question"
    assert otherwise(trust, [replace(told[0], member=MemberCode("ZZZ"))]) == []


def evidence(members: Any, first: Trust, second: Trust) -> bytes:
    raw = encode(ForkedDirectories, ForkedDirectories(first, second))
    documents = {KEN: documents_of(members["FRA"].node.trust.members[KEN])}
    return write(
        EvidenceFile(
            EVIDENCE_SCHEMA,
            "TRUST_FORK",
            KEN,
            "FRA",
            NOW,
            "",
            wrap(Exhibit, Exhibit((), (), raw)),
            [],
            documents,
        )
    ).encode()


def test_a_third_party_is_shown_that_the_member_signed_both(members: Any) -> None:
    found = check_evidence(evidence(members, signed_of(members, KEN), forked(members)), "file")
    assert (found.member, found.code, found.what) == (KEN, "TRUST_FORK", "two directories 2")
    assert [one.kind for one in found.convicting] == ["DIRECTORY", "DIRECTORY"]


@pytest.mark.parametrize("what", ["same", "foreign", "version", "unsigned"])
def test_a_third_party_is_shown_nothing_else(members: Any, what: str) -> None:
    own = signed_of(members, KEN)
    second = {
        "same": own,
        "foreign": forked(members, by=USA),
        "version": forked(members, version=directory_of(members, KEN).version + 1),
        "unsigned": replace(forked(members), signatures=()),
    }[what]
    with pytest.raises(IntelshareError) as refused:
        check_evidence(evidence(members, own, second), "file")
    assert refused.value.code == {"same": "EVIDENCE_INCONCLUSIVE", "version": "EVIDENCE_INCONCLUSIVE"}.get(
        what, "TRUST_THRESHOLD"
    )


def test_a_second_directory_that_comes_from_its_member_is_kept_beside_the_first(members: Any) -> None:
    fra, ken = members["FRA"], members["KEN"]
    frame = said_by(ken, Kind.TRUST, encode(Trust, forked(members)))
    taken = fra.do(receive, Arrival(KEN, ken.node.uri, frame))
    assert [ack.code for ack in taken.acks] == ["TRUST_FORK"]
    assert [row.code for row in kept(members)] == ["TRUST_FORK"]


def said_by(member: Any, kind: Kind, data: bytes) -> Frame:
    signed = sign_batch([Leaf(kind, bytes(16), data)], member.node.signer, NOW, seeded("said"))
    (one,) = signed.statements
    return Frame(signed.batch, b"", (Carried(one.kind, one.nonce, one.data, one.proof),))


async def test_the_file_that_an_operator_exports_is_checked_by_others(members: Any) -> None:
    judge(members, forked(members))
    (row,) = kept(members)
    asked = pb.ExportEvidenceRequest(id=row.evidence.hex()[:8])
    file = await export_evidence(MemberBackend(members["FRA"]), actor("FRA", "o"), asked)
    found = check_evidence(file.text.encode(), "file")
    assert (found.member, found.code, found.node) == (
        KEN,
        "TRUST_FORK",
        "intelshare://ken.intelshare.internal/",
    )
    (shown,) = list_evidence(CallContext(*_context(members)), pb.ListEvidenceRequest()).alarms
    assert (shown.member, shown.code, shown.what) == (KEN, "TRUST_FORK", "two directories 2")


def _context(members: Any) -> tuple[Any, ...]:
    fra = members["FRA"]
    return fra.node, fra.store, actor("FRA", "o"), NOW
