"""Hello: both sides prove their node over this very connection (rows 23, 95 of attacks.md)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from envelope_world import stream_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import KeyUse
from intelshare.crypto.suites import SUITE_1
from intelshare.errors import IntelshareError
from intelshare.ids import Incarnation
from intelshare.instant import DAY, SECOND, Instant
from intelshare.trust import (
    Channel,
    DocumentVersions,
    HelloPayload,
    Pending,
    TrustView,
    answer_hello,
    check_answer,
    check_confirmation,
    confirm_hello,
    new_key,
    open_hello,
    sign_directory,
)
from intelshare.trust.documents import Revocation, Revoked, Why
from intelshare.trust.hello import Proof
from trust_world import NOW, TestMember, member, signer, view_of

FRA, DEU, ITA = member("FRA"), member("DEU"), member("ITA")


@dataclass(frozen=True)
class Side:
    of: TestMember
    view: TrustView

    @property
    def payload(self) -> HelloPayload:
        return HelloPayload(
            time=NOW,
            suites=(1,),
            documents=(DocumentVersions(self.of.code, 1, 1),),
            incarnation=Incarnation(5),
            heads=(),
            checkpoint=(),
        )


A = Side(FRA, view_of(FRA, DEU, ITA))
B = Side(DEU, view_of(DEU, FRA, ITA))
CHANNEL = Channel(FRA.founded.node.uri, DEU.founded.node.uri, bytes(range(32)))


def signing(of: TestMember):  # type: ignore[no-untyped-def]
    return of.signer(KeyUse.SIGNING)


def greet(seed: str = "1", channel: Channel = CHANNEL) -> tuple[bytes, bytes, Pending]:
    """Nonce A, the acceptor's answer, and what the acceptor waits with."""
    opening, nonce = open_hello(stream_of(f"dialler {seed}"))
    answer, pending = answer_hello(
        opening, channel, signing(B.of), B.payload, random=stream_of(f"acceptor {seed}")
    )
    return nonce, answer, pending


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(IntelshareError) as error:
        act()
    return error.value.code


def test_three_messages_and_each_knows_who_the_other_is() -> None:
    nonce, answer, waiting = greet()
    acceptor, pending = check_answer(answer, CHANNEL, nonce, NOW, view=A.view)
    assert (acceptor.member, acceptor.node, acceptor.payload) == ("DEU", DEU.founded.node.uri, B.payload)
    confirmation = confirm_hello(pending, signing(A.of), A.payload)
    dialler = check_confirmation(confirmation, waiting, Instant(NOW - 3 * SECOND), view=B.view)
    assert (dialler.member, dialler.offset) == ("FRA", 3 * SECOND)
    assert dialler.payload == A.payload


def test_row_95_a_hello_reflected_to_its_sender_is_not_the_peer() -> None:
    nonce, _, _ = greet()
    own = confirm_hello(Pending(CHANNEL, nonce, bytes(32)), signing(A.of), A.payload)
    assert refused(lambda: check_answer(own, CHANNEL, nonce, NOW, view=A.view)) == "PEER_IDENTITY_MISMATCH"
    _, answer, waiting = greet()
    assert refused(lambda: check_confirmation(answer, waiting, NOW, view=B.view)) in (
        "PEER_IDENTITY_MISMATCH",
        "SIGNATURE_INVALID",
    )
    # Even with the nonce that the acceptor expects, the key is its own.
    turned = encode(Proof, replace(decode(Proof, answer), nonce=waiting.nonce_a))
    assert refused(lambda: check_confirmation(turned, waiting, NOW, view=B.view)) == "PEER_IDENTITY_MISMATCH"


def test_row_95_a_hello_of_an_earlier_connection_does_not_hold() -> None:
    nonce_1, answer_1, waiting_1 = greet("1")
    nonce_2, _, waiting_2 = greet("2")
    _, pending = check_answer(answer_1, CHANNEL, nonce_1, NOW, view=A.view)
    confirmation = confirm_hello(pending, signing(A.of), A.payload)
    assert refused(lambda: check_answer(answer_1, CHANNEL, nonce_2, NOW, view=A.view)) == "SIGNATURE_INVALID"
    assert (
        refused(lambda: check_confirmation(confirmation, waiting_2, NOW, view=B.view)) == "SIGNATURE_INVALID"
    )
    renonced = encode(Proof, replace(decode(Proof, confirmation), nonce=waiting_2.nonce_a))
    assert refused(lambda: check_confirmation(renonced, waiting_2, NOW, view=B.view)) == "SIGNATURE_INVALID"
    check_confirmation(confirmation, waiting_1, NOW, view=B.view)


def test_row_95_a_hello_under_another_tls_leaf_does_not_hold() -> None:
    nonce, answer, waiting = greet()
    elsewhere = replace(CHANNEL, leaf=bytes(32))
    assert refused(lambda: check_answer(answer, elsewhere, nonce, NOW, view=A.view)) == "SIGNATURE_INVALID"
    _, pending = check_answer(answer, CHANNEL, nonce, NOW, view=A.view)
    confirmation = confirm_hello(replace(pending, channel=elsewhere), signing(A.of), A.payload)
    assert refused(lambda: check_confirmation(confirmation, waiting, NOW, view=B.view)) == "SIGNATURE_INVALID"


def test_row_23_a_hello_of_another_member_than_tls_says_is_a_mismatch() -> None:
    nonce, answer, _ = greet()
    dialled_italy = replace(CHANNEL, acceptor=ITA.founded.node.uri)
    act = lambda: check_answer(answer, dialled_italy, nonce, NOW, view=A.view)  # noqa: E731
    assert refused(act) == "PEER_IDENTITY_MISMATCH"


def test_no_member_can_list_a_key_that_claims_the_node_of_another() -> None:
    thief = new_key(SUITE_1, KeyUse.SIGNING, ITA.code, NOW, stream_of("thief"), node=DEU.founded.node.uri)
    claims = ITA.renewed(NOW, add_keys=[thief.record])
    assert refused(lambda: A.view.with_document(claims, NOW)) == "NOT_AUTHORISED"
    opening, nonce = open_hello(stream_of("x"))
    answer, _ = answer_hello(opening, CHANNEL, signer(thief), B.payload, random=stream_of("y"))
    assert refused(lambda: check_answer(answer, CHANNEL, nonce, NOW, view=A.view)) == "SIGNER_UNKNOWN"


def test_every_flipped_bit_of_the_proof_is_noticed() -> None:
    nonce, answer, _ = greet()
    for place in (33, 64, 70, len(answer) // 2, len(answer) - 1):
        bad = answer[:place] + bytes([answer[place] ^ 1]) + answer[place + 1 :]
        act = lambda b=bad: check_answer(b, CHANNEL, nonce, NOW, view=A.view)  # noqa: E731
        assert refused(act) in ("SIGNATURE_INVALID", "ENVELOPE_MALFORMED")
    unknown = bytes([answer[0] ^ 1]) + answer[1:]
    assert refused(lambda: check_answer(unknown, CHANNEL, nonce, NOW, view=A.view)) == "SIGNER_UNKNOWN"
    assert (
        refused(lambda: check_answer(answer + b"x", CHANNEL, nonce, NOW, view=A.view)) == "ENVELOPE_MALFORMED"
    )
    assert refused(lambda: answer_hello(b"x", CHANNEL, signing(B.of), B.payload, random=stream_of("z"))) == (
        "ENVELOPE_MALFORMED"
    )


def test_keys_of_another_use_out_of_time_revoked_or_below_the_floor_do_not_greet() -> None:
    nonce, answer, _ = greet()

    def seen_by(view: TrustView, at: Instant = NOW, message: bytes = answer) -> str:
        return refused(lambda: check_answer(message, CHANNEL, nonce, at, view=view))

    assert seen_by(A.view, Instant(NOW + 400 * DAY)) == "SIGNER_NOT_VALID"
    key = DEU.key(KeyUse.SIGNING).key_id
    revoked = DEU.renewed(NOW, revoke=[Revocation(Revoked.KEY, key, Why.COMPROMISED, NOW)])
    assert seen_by(A.view.with_document(revoked, NOW).view) == "SIGNER_REVOKED"
    strict = sign_directory(
        replace(FRA.directory, version=2, suites=(1, 2), floor=2), FRA.signer(KeyUse.DIRECTORY)
    )
    assert seen_by(A.view.with_document(strict, NOW).view) == "SUITE_BELOW_FLOOR"


def test_a_directory_key_does_not_greet() -> None:
    opening, nonce = open_hello(stream_of("x"))
    answer, _ = answer_hello(opening, CHANNEL, DEU.signer(KeyUse.DIRECTORY), B.payload, random=stream_of("y"))
    # Directory keys belong to no node, so they cannot even claim one.
    assert refused(lambda: check_answer(answer, CHANNEL, nonce, NOW, view=A.view)) == "PEER_IDENTITY_MISMATCH"


def test_an_expired_directory_does_not_stop_a_hello() -> None:
    nonce, answer, _ = greet()
    late = Instant(NOW + 20 * DAY)
    assert not A.view.directory_fresh(DEU.code, late)
    assert check_answer(answer, CHANNEL, nonce, late, view=A.view)[0].member == "DEU"
