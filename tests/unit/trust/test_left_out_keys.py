"""Signing keys that a newer directory leaves out end, and what they signed is still judged (decision 81)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from envelope_world import stream_of
from intelshare.crypto.codec import encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse, Trust
from intelshare.crypto.suites import SUITE_1, SUITES
from intelshare.errors import EnvelopeError, TrustError
from intelshare.ids import KeyId
from intelshare.instant import DAY, Instant
from intelshare.trust import (
    MemberTrust,
    Revocation,
    Revoked,
    SecretKey,
    TrustView,
    Why,
    new_key,
    next_directory,
    renew_root,
    sign_directory,
)
from intelshare.trust.former import MAX_FORMER
from intelshare.trust.rules import learn_directory
from trust_world import NOW, TestMember, documents, member, signer, view_of


@pytest.fixture
def fra() -> TestMember:
    return member("FRA")


@pytest.fixture
def deu() -> TestMember:
    return member("DEU")


def fresh(deu: TestMember, number: int, use: KeyUse = KeyUse.SIGNING) -> SecretKey:
    at = Instant(NOW + number)
    node = deu.founded.node.uri
    return new_key(SUITE_1, use, deu.code, at, stream_of(f"fresh {number}"), node=node)


def directory(deu: TestMember, version: int, *more: SecretKey, by: Any = None, **changes: Any) -> Trust:
    """The first directory under another version, with these keys too."""
    keys = deu.directory.keys + tuple(key.record for key in more)
    return directory_of(deu, version, keys, by, **changes)


def directory_of(
    deu: TestMember, version: int, keys: tuple[KeyRecord, ...], by: Any = None, **changes: Any
) -> Trust:
    """The first directory under another version, with these keys instead."""
    issued = Instant(NOW + version)
    said = replace(deu.directory, version=version, issued=issued, keys=keys, **changes)
    return sign_directory(said, by or deu.signer(KeyUse.DIRECTORY))


def held(view: TrustView, deu: TestMember) -> MemberTrust:
    return view.members[deu.code]


def loaded(view: TrustView, fra: TestMember, deu: TestMember) -> TrustView:
    """What a start makes of what is stored."""
    theirs = held(view, deu)
    stored = [encode(Trust, one) for one in (*theirs.roots, *theirs.directories)]
    revoked = {deu.code: theirs.lasting_revocations}
    return TrustView.load(fra.code, documents(fra) + stored[::-1], SUITES, {}, revoked)


def test_a_key_that_is_left_out_ends_with_the_issue_of_the_directory_that_does_it(
    fra: TestMember, deu: TestMember
) -> None:
    key, at = fresh(deu, 1), Instant(NOW + DAY)
    view = view_of(fra, deu).with_document(directory(deu, 2, key), at).view
    assert view.revocation(key.key_id) is None
    view = view.with_document(directory(deu, 3), at).view
    ended = Revocation(Revoked.KEY, key.key_id, Why.ROTATED, Instant(NOW + 3))
    assert view.key_record(key.key_id) == key.record
    assert view.revocation(key.key_id) == ended
    assert [one.directory.version for one in held(view, deu).former] == [2]
    assert loaded(view, fra, deu).members[deu.code] == held(view, deu)
    # Later directories that leave it out too keep the same one, and change nothing of when it ended.
    view = view.with_document(directory(deu, 4, fresh(deu, 2)), at).view
    assert [one.directory.version for one in held(view, deu).former] == [2]
    assert view.revocation(key.key_id) == ended
    # Once it is listed again nothing must be kept. Its end stays.
    view = view.with_document(directory(deu, 5, key, fresh(deu, 2)), at).view
    assert held(view, deu).former == ()
    assert view.revocation(key.key_id) == ended
    assert loaded(view, fra, deu).members[deu.code] == held(view, deu)


def test_a_key_of_a_clock_that_was_ahead_leaves_nothing(fra: TestMember, deu: TestMember) -> None:
    ahead = fresh(deu, 100 * DAY)
    view = view_of(fra, deu).with_document(directory(deu, 2, ahead), Instant(NOW + DAY)).view
    view = view.with_document(directory(deu, 3), Instant(NOW + DAY)).view
    assert held(view, deu).former == ()
    assert view.key_record(ahead.key_id) is None


def test_a_member_learns_what_it_has_forgotten_and_nothing_else(fra: TestMember, deu: TestMember) -> None:
    key, old = fresh(deu, 1), deu.key(KeyUse.SIGNING)
    stolen = Revocation(Revoked.KEY, old.key_id, Why.COMPROMISED, NOW)
    shown = directory(deu, 2, key, revocations=(stolen,))
    mine = held(view_of(deu), deu)
    after = learn_directory(mine, shown, SUITES)
    assert (after.directory_signed, after.remembered) == (shown, ()), "a newer one is the present one"
    mine = held(view_of(deu).with_document(directory(deu, 9), Instant(NOW + DAY)).view, deu)
    after = learn_directory(mine, shown, SUITES)
    assert after.directory_signed == mine.directory_signed
    assert after.left_out == (key.record,)
    assert [row.subject for row in after.remembered] == sorted(
        [old.key_id, key.key_id], key=lambda one: (Revoked.KEY, one)
    )
    assert learn_directory(after, shown, SUITES) is after
    assert learn_directory(after, directory(deu, 3), SUITES) is after
    with pytest.raises(TrustError) as refused:
        learn_directory(mine, directory(deu, 2, by=signer(deu.key(KeyUse.SIGNING))), SUITES)
    assert refused.value.code == "TRUST_THRESHOLD"
    with pytest.raises(TrustError):
        learn_directory(mine, directory(fra, 2), SUITES)


def test_a_member_is_shown_that_a_key_which_it_lists_again_was_revoked(
    fra: TestMember, deu: TestMember
) -> None:
    """A folder that was put back whole names the sealing key of its time, to which nobody seals any more."""
    at, old = Instant(NOW + DAY), deu.key(KeyUse.SEALING)
    stolen = Revocation(Revoked.KEY, old.key_id, Why.COMPROMISED, NOW)
    without = tuple(key for key in deu.directory.keys if key != old.record)
    shown = directory_of(deu, 2, without, revocations=(stolen,))
    view = view_of(fra, deu).with_document(shown, at).view
    assert held(view, deu).former == ()
    view = view.with_document(directory(deu, 9), at).view
    assert [one.directory.version for one in held(view, deu).former] == [2]
    assert view.revocation(old.key_id) == stolen
    assert loaded(view, fra, deu).members[deu.code] == held(view, deu)
    mine = held(view_of(deu).with_document(directory(deu, 9), at).view, deu)
    after = learn_directory(mine, held(view, deu).directories[0], SUITES)
    assert after.remembered == (stolen,)
    # Once it says so itself nothing must be kept, nor once it no longer lists the key.
    for later in (directory(deu, 10, revocations=(stolen,)), directory_of(deu, 10, without)):
        assert held(view.with_document(later, at).view, deu).former == ()


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_sealing_key_that_was_stolen_is_named_no_longer_whatever_the_clock(
    fra: TestMember, deu: TestMember, confirmed: bool
) -> None:
    old, at = deu.key(KeyUse.SEALING), Instant(NOW + DAY)
    stolen = Revocation(Revoked.KEY, old.key_id, Why.COMPROMISED, NOW)
    without = tuple(key for key in deu.directory.keys if key != old.record)
    shown = directory_of(deu, 2, without, revocations=(stolen,))
    mine = held(view_of(deu).with_document(directory(deu, 9), at).view, deu)
    learned = learn_directory(mine, shown, SUITES)
    vault = [key_id(key) for key in deu.directory.keys]
    following = next_directory(learned, deu.founded.node.uri, vault, at, suite=1, confirmed=confirmed)
    assert following.due
    assert KeyUse.SEALING in following.make
    assert old.key_id in following.drop


def test_what_is_kept_of_earlier_directories_has_a_bound_and_ends_with_the_directory_key(
    fra: TestMember, deu: TestMember
) -> None:
    view, at = view_of(fra, deu), Instant(NOW + DAY)
    for number in range(MAX_FORMER + 1):
        view = view.with_document(directory(deu, 2 + number, fresh(deu, number)), at).view
    assert len(held(view, deu).former) == MAX_FORMER
    with pytest.raises(EnvelopeError, match="ENVELOPE_MALFORMED"):
        view.with_document(directory(deu, 90), at)
    # A thief of the directory key has done that: the root is the remedy.
    other = new_key(SUITE_1, KeyUse.DIRECTORY, deu.code, NOW, stream_of("other"))
    root = renew_root(deu.root, [signer(key) for key in deu.founded.root_keys], directory=[other.record])
    view = view.with_document(root, at).view.with_document(directory(deu, 2, by=signer(other)), at).view
    assert held(view, deu).former == ()
    assert view.key_record(KeyId(fresh(deu, 1).key_id)) is None
