"""The next root on its way between holders: what may be signed, how many must, and what a peer takes in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from envelope_world import stream_of
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyUse, Trust
from intelshare.crypto.suites import SUITE_1, SUITES
from intelshare.errors import IntelshareError
from intelshare.instant import DAY, HOUR, MAX_AHEAD, Instant
from intelshare.trust import (
    RootProposal,
    SecretKey,
    new_key,
    propose_root,
    read_proposal,
    read_root_key,
    renew_directory,
    sign_proposal,
    write_proposal,
    write_root_key,
)
from trust_world import NOW, TestMember, member, signer, view_of


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(IntelshareError) as raised:
        act()
    return raised.value.code


@pytest.fixture(scope="module", name="deu")
def _deu() -> TestMember:
    return member("DEU", root_keys=3, threshold=2)


@pytest.fixture(scope="module", name="fra")
def _fra() -> TestMember:
    return member("FRA")


def made(deu: TestMember, use: KeyUse, seed: str, at: Instant = NOW) -> SecretKey:
    return new_key(SUITE_1, use, deu.code, at, stream_of(seed))


def holders(deu: TestMember, *places: int) -> list[SecretKey]:
    return [deu.founded.root_keys[place] for place in places]


def signed(proposal: RootProposal, *keys: SecretKey) -> RootProposal:
    for key in keys:
        proposal = sign_proposal(
            read_proposal(write_proposal(proposal).encode(), "file", SUITES), signer(key)
        )
    return proposal


def next_root(deu: TestMember, seed: str = "new") -> tuple[RootProposal, SecretKey, SecretKey]:
    """One holder gives way to another, and a new key signs directories."""
    fresh, directory = made(deu, KeyUse.ROOT, seed), made(deu, KeyUse.DIRECTORY, f"{seed} directory")
    proposal = propose_root(
        deu.founded.root,
        SUITES,
        add=[fresh.record],
        drop=[deu.founded.root_keys[0].key_id],
        directory=[directory.record],
    )
    return proposal, fresh, directory


def test_two_of_three_sign_by_file_and_every_peer_follows(fra: TestMember, deu: TestMember) -> None:
    proposal, fresh, directory = next_root(deu)
    assert proposal.missing(SUITES) == (2, 2)
    proposal = signed(proposal, *holders(deu, 1))
    assert proposal.missing(SUITES) == (1, 1)
    assert signed(proposal, *holders(deu, 1)).missing(SUITES) == (1, 1), "twice the same is once"
    proposal = signed(proposal, *holders(deu, 2))
    assert proposal.missing(SUITES) == (0, 0)
    view = view_of(fra, deu).with_document(proposal.signed, NOW, deu.code).view
    assert view.members[deu.code].root.version == 2
    assert not view.directory_fresh(deu.code, NOW), "the key that signed its directory is named no more"
    old = renew_directory(deu.directory, deu.signer(KeyUse.DIRECTORY), NOW)
    assert refused(lambda: view.with_document(old, NOW)) == "TRUST_THRESHOLD"
    new = renew_directory(deu.directory, signer(directory), NOW)
    assert view.with_document(new, NOW).view.directory_fresh(deu.code, NOW)
    assert key_id(fresh.record) in {key_id(key) for key in view.members[deu.code].root.keys}


@pytest.mark.parametrize("places", [(), (1,), (0,), (0, 1)])
def test_row_62_a_threshold_of_both_roots_is_needed(
    fra: TestMember, deu: TestMember, places: tuple[int, ...]
) -> None:
    """Holders 0 and 1 are enough for the present root, and not for the next one, in which 0 is no more."""
    proposal = signed(next_root(deu)[0], *holders(deu, *places))
    assert refused(lambda: view_of(fra, deu).with_document(proposal.signed, NOW)) == "TRUST_THRESHOLD"


def test_row_62_the_new_keys_alone_are_not_enough(fra: TestMember, deu: TestMember) -> None:
    first, second = made(deu, KeyUse.ROOT, "one"), made(deu, KeyUse.ROOT, "two")
    drop = [key.key_id for key in deu.founded.root_keys[1:]]
    proposal = propose_root(deu.founded.root, SUITES, add=[first.record, second.record], drop=drop)
    proposal = signed(proposal, first, second)
    assert proposal.missing(SUITES) == (2, 0)
    assert refused(lambda: view_of(fra, deu).with_document(proposal.signed, NOW)) == "TRUST_THRESHOLD"


def test_row_61_an_older_root_is_rolled_back_to_by_nobody_and_two_of_one_version_fork(
    fra: TestMember, deu: TestMember
) -> None:
    one, two = (signed(next_root(deu, seed)[0], *holders(deu, 1, 2)).signed for seed in ("one", "two"))
    view = view_of(fra, deu).with_document(one, NOW).view
    assert refused(lambda: view.with_document(deu.founded.root, NOW)) == "TRUST_ROLLBACK"
    assert refused(lambda: view.with_document(two, NOW)) == "TRUST_FORK"
    assert view.with_document(one, NOW).view is view


def test_a_peer_that_is_kept_at_an_old_root_sees_the_directory_expire(
    fra: TestMember, deu: TestMember
) -> None:
    frozen = view_of(fra, deu)
    assert frozen.directory_fresh(deu.code, Instant(NOW + 7 * DAY - 1))
    assert not frozen.directory_fresh(deu.code, Instant(NOW + 7 * DAY))


def test_a_key_that_does_not_count_yet_brings_no_root(fra: TestMember, deu: TestMember) -> None:
    later = made(deu, KeyUse.ROOT, "later", Instant(NOW + HOUR))
    proposal = propose_root(deu.founded.root, SUITES, add=[later.record])
    trust = signed(proposal, *holders(deu, 0, 1)).signed
    assert refused(lambda: view_of(fra, deu).with_document(trust, NOW)) == "CLOCK_SKEW"
    healed = Instant(later.record.not_before - MAX_AHEAD)
    assert view_of(fra, deu).with_document(trust, healed).changed


def test_a_directory_key_signs_only_what_was_issued_while_it_counts(fra: TestMember, deu: TestMember) -> None:
    late = made(deu, KeyUse.DIRECTORY, "late", Instant(NOW + MAX_AHEAD))
    proposal = propose_root(deu.founded.root, SUITES, directory=[late.record])
    view = view_of(fra, deu).with_document(signed(proposal, *holders(deu, 0, 1)).signed, NOW).view
    counts = late.record.not_before
    early, good = (renew_directory(deu.directory, signer(late), Instant(at)) for at in (counts - 1, counts))
    assert refused(lambda: view.with_document(early, counts)) == "TRUST_THRESHOLD"
    assert view.with_document(good, counts).changed


def test_a_stranger_signs_nothing_and_no_root_can_be_without_enough_keys(deu: TestMember) -> None:
    proposal = next_root(deu)[0]
    assert (
        refused(lambda: sign_proposal(proposal, signer(made(deu, KeyUse.ROOT, "stranger"))))
        == "NOT_AUTHORISED"
    )
    everybody = [key.key_id for key in deu.founded.root_keys]
    assert refused(lambda: propose_root(deu.founded.root, SUITES, drop=everybody[1:])) == "INPUT_INVALID"
    assert refused(lambda: propose_root(deu.founded.root, SUITES, threshold=4)) == "INPUT_INVALID"
    assert refused(lambda: propose_root(deu.founded.root, SUITES, drop=[bytes(32)])) == "INPUT_INVALID"  # type: ignore[list-item]


def test_what_is_no_file_of_a_root_is_refused_and_says_so(deu: TestMember) -> None:
    good = json.loads(write_proposal(next_root(deu)[0]))
    other = next_root(member("FRA", root_keys=2))[0]
    for changes in (
        {"schema": "intelshare/root/2"},
        {"proposed": good["present"]},
        {"proposed": json.loads(write_proposal(other))["proposed"]},
        {"proposed": good["proposed"][:-8]},
        {"another": 1},
    ):
        text = json.dumps(good | changes).encode()
        assert refused(lambda given=text: read_proposal(given, "file", SUITES)) == "INPUT_INVALID"
    assert refused(lambda: read_proposal(b" " * (3 << 20), "file", SUITES)) == "TOO_LARGE"
    public = made(deu, KeyUse.ROOT, "public")
    assert read_root_key(write_root_key(public.record).encode(), "file") == public.record
    signing = replace(public.record, use=KeyUse.SIGNING)
    assert refused(lambda: read_root_key(write_root_key(signing).encode(), "file")) == "INPUT_INVALID"


def test_what_is_in_the_file_for_people_is_never_believed(deu: TestMember) -> None:
    proposal = signed(next_root(deu)[0], *holders(deu, 1))
    text = json.loads(write_proposal(proposal)) | {"fingerprint": "AAAAA", "member": "FRA", "version": 9}
    read = read_proposal(json.dumps(text).encode(), "file", SUITES)
    assert isinstance(read.signed, Trust)
    assert (read.fingerprint, read.following.member) == (proposal.fingerprint, "DEU")
