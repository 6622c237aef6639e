"""What a node keeps of a member's documents: all roots, the newest directory, what earlier ones revoked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from builders import NOW, seeded
from intelshare.broker.kernel.documents import REVOKED, documents, keep_document, remembered
from intelshare.broker.kernel.frame import Carried, Frame
from intelshare.broker.kernel.tables import TRUST
from intelshare.broker.kernel.transaction import Transaction
from intelshare.crypto.codec import encode
from intelshare.crypto.records import KeyUse, Kind, Trust, TrustType
from intelshare.crypto.suites import SUITE_1, Signer, load_signer
from intelshare.ids import MemberCode
from intelshare.instant import Instant
from intelshare.ports import Delete, Plan
from intelshare.statement import Leaf, sign_batch
from intelshare.trust import (
    DirectoryDocument,
    Founding,
    Revocation,
    Revoked,
    SecretKey,
    TrustView,
    Why,
    create_member,
    new_key,
    renew_root,
    sign_directory,
)
from line_world import arrive, codes, met, released, rows
from rotten_view import Rotten

FRA = MemberCode("FRA")
MADE = create_member(Founding(FRA, "Fra", "one"), NOW, seeded("FRA"), SUITE_1)


@pytest.fixture(name="members")
def _members() -> Any:
    return met(("FRA", "USA"))


def signer(key: SecretKey) -> Signer:
    return load_signer(SUITE_1, key.record, key.key_id, key.secret)


def directory(members: Any, version: int, *revoked: Revocation, by: SecretKey | None = None) -> Trust:
    """FRA's next directories: the one that all hold, with these revocations and no others."""
    held: DirectoryDocument = members["FRA"].node.trust.members[FRA].directory
    (key,) = [key for key in MADE.keys if key.record.use is KeyUse.DIRECTORY]
    issued = Instant(NOW + version)
    changed = replace(held, version=held.version + version, issued=issued, revocations=revoked)
    return sign_directory(changed, signer(by or key))


def told(members: Any, *given: Trust) -> None:
    """USA takes these documents of FRA from one frame, and starts again on what it has stored."""
    fra, usa = members["FRA"], members["USA"]
    random = seeded(str(given))
    leaves = [Leaf(Kind.TRUST, random(16), encode(Trust, one)) for one in given]
    batch = sign_batch(leaves, fra.node.signer, NOW, random)
    carried = tuple(Carried(one.kind, one.nonce, one.data, one.proof) for one in batch.statements)
    assert codes(arrive(usa, fra, Frame(batch.batch, b"", carried))) == [""] * len(given)
    before = usa.node.trust
    starts_again(members)
    assert usa.node.trust.members == before.members


def starts_again(members: Any) -> None:
    """USA knows what it was founded with, which is not in this store, and what it has stored since."""
    usa = members["USA"]
    stored, revoked = usa.ask(lambda _, view: (documents(view), remembered(view)))
    mine, theirs = (usa.node.trust.members[code] for code in (usa.node.member, FRA))
    founded = [*mine.roots, mine.directory_signed, *theirs.roots]
    begun = [encode(Trust, one) for one in founded if one is not None]
    trust = TrustView.load(usa.node.member, begun + stored, usa.node.suites, {}, revoked)
    usa.node = replace(usa.node, trust=trust)


def stolen(members: Any) -> Revocation:
    return Revocation(Revoked.KEY, members["FRA"].node.signer.key_id, Why.COMPROMISED, NOW)


@pytest.mark.parametrize("together", [True, False])
def test_row_7_a_stolen_key_signs_nothing_after_a_directory_that_forgot_it_and_a_start(
    together: bool, members: Any
) -> None:
    frame = released(members)
    given = [directory(members, 1, stolen(members)), directory(members, 2), directory(members, 3)]
    for some in [given] if together else [[one] for one in given]:
        told(members, *some)
    assert codes(arrive(members["USA"], members["FRA"], frame)) == ["SIGNER_REVOKED"]
    kept = rows(members["USA"], TRUST, "key", FRA, TrustType.DIRECTORY)
    # The one that revoked the key is there to be shown to its member, which lists it again.
    assert [row.record for row in kept] == [encode(Trust, given[0]), encode(Trust, given[-1])]


@pytest.mark.parametrize("together", [True, False])
def test_a_root_that_drops_the_directory_key_ends_what_is_remembered_in_the_store_too(
    together: bool, members: Any
) -> None:
    frame = released(members)
    fresh = new_key(SUITE_1, KeyUse.DIRECTORY, FRA, NOW, seeded("fresh"))
    root = members["FRA"].node.trust.members[FRA].root
    second = renew_root(root, [signer(key) for key in MADE.root_keys], directory=[fresh.record])
    told(members, directory(members, 1, stolen(members)))
    told(members, directory(members, 2))
    anew = directory(members, 3, by=fresh)
    for some in [[second, anew]] if together else [[second], [anew]]:
        told(members, *some)
    assert codes(arrive(members["USA"], members["FRA"], frame)) == [""]


@pytest.mark.parametrize("damaged", ["the directory", "what is revoked"])
def test_a_damaged_row_brings_no_revoked_key_back(damaged: str, members: Any) -> None:
    """Either row is read at the start, and the next directory says nothing of the key."""
    frame = released(members)
    told(members, directory(members, 1, stolen(members)))
    told(members, directory(members, 2))
    usa = members["USA"]
    lost = TrustType.DIRECTORY if damaged == "the directory" else REVOKED
    for row in rows(usa, TRUST, "key", FRA, lost):
        usa.store.apply(Plan((Delete(TRUST, TRUST.key_of(row)),), None))
    starts_again(members)
    assert (usa.node.trust.members[FRA].directory is None) == (damaged == "the directory")
    told(members, directory(members, 3))
    assert codes(arrive(usa, members["FRA"], frame)) == ["SIGNER_REVOKED"]


def test_a_damaged_directory_goes_when_a_newer_one_replaces_it(members: Any) -> None:
    """It would be called damaged for ever, and with what is revoked make its member unknown."""
    told(members, directory(members, 1))
    usa, newer = members["USA"], directory(members, 2)
    (lost,) = rows(usa, TRUST, "key", FRA, TrustType.DIRECTORY)
    view = Rotten(usa.store, (TRUST, TRUST.key_of(lost)))
    tx = Transaction(usa.node, view, NOW, seeded("newer"))
    keep_document(tx, FRA, newer, usa.node.trust.with_document(newer, NOW))
    usa.store.apply(tx.plan(None))
    (left,) = rows(usa, TRUST, "key", FRA, TrustType.DIRECTORY)
    assert left.record == encode(Trust, newer)
