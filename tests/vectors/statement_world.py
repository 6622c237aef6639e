"""Two founded members whose signatures are kept, for the vectors of statements.json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from envelope_world import stream_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import sha256
from intelshare.crypto.records import (
    Batch,
    KeyUse,
    Kind,
    Trust,
)
from intelshare.crypto.suites import SUITE_1, Context, Signer, SigningKey, load_signer, verify_signature
from intelshare.errors import IntelshareError
from intelshare.ids import Incarnation, MemberCode
from intelshare.instant import DAY, Instant
from intelshare.statement import KINDS, Leaf, leaf_id
from intelshare.trust import (
    DirectoryDocument,
    Ratified,
    sign_directory,
    sign_root,
)
from intelshare.trust.documents import DIRECTORY_LIFETIME
from intelshare.trust.hello import Proof
from intelshare.trust.keys import SecretKey
from trust_world import NOW, TestMember, member

SEED = "statements"
FRA, USA, DEU = (MemberCode(code) for code in ("FRA", "USA", "DEU"))
INCARNATION = Incarnation(0x1122334455667788)
LATER = Instant(NOW + 30 * DAY)
SUITES = {1: SUITE_1}


def h(label: str) -> Any:
    """A digest of nothing in particular."""
    return sha256(f"{SEED}/{label}".encode())


def flip(data: bytes, place: int) -> bytes:
    """The same bytes but for the lowest bit of one."""
    place %= len(data)
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


# --- signatures that are kept ----------------------------------------------------------------------


def signatures_in(value: Any) -> Iterator[bytes]:
    """Every signature of a vector file."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from signatures_in(item)
    elif isinstance(value, str) and len(value) > 2 * SUITE_1.signature:
        for kind in (Batch, Trust, Proof):
            try:
                found: Any = decode(kind, bytes.fromhex(value))
            except (ValueError, IntelshareError):
                continue
            yield from (one.signature for one in getattr(found, "signatures", (found,)))


@dataclass(frozen=True)
class KeptKey:
    """Signs as it signed before, where it did."""

    public: bytes
    key: SigningKey
    pool: Sequence[bytes]

    def sign(self, message: bytes, context: Context) -> bytes:
        for signature in self.pool:
            try:
                verify_signature(SUITE_1, self.public, context, message, signature)
            except IntelshareError:
                continue
            return signature
        return self.key.sign(message, context)


@dataclass(frozen=True)
class World:
    """Two founded members, and whatever signatures there are."""

    fra: TestMember
    usa: TestMember
    pool: Sequence[bytes]

    def signer(self, key: SecretKey) -> Signer:
        loaded = load_signer(SUITE_1, key.record, key.key_id, key.secret)
        return replace(loaded, key=KeptKey(key.record.public, loaded.key, self.pool))

    def of(self, who: TestMember, use: KeyUse) -> Signer:
        return self.signer(
            next(key for key in (*who.founded.root_keys, *who.founded.keys) if key.record.use is use)
        )


def make_world(old: Any) -> World:
    """FRA and USA, founded; their documents signed as before."""
    pool = list(dict.fromkeys(signatures_in(old)))
    bare = World(member(FRA), member(USA), pool)

    def again(who: TestMember) -> TestMember:
        root = sign_root(who.root, [bare.of(who, KeyUse.ROOT)])
        ratified = [Ratified("gsa-fra-usa", h("treaty text"))]
        directory = next_directory(who.directory, bare.of(who, KeyUse.DIRECTORY), ratified=tuple(ratified))
        return TestMember(replace(who.founded, root=root, directory=directory))

    return World(again(bare.fra), again(bare.usa), pool)


def next_directory(held: DirectoryDocument, by: Signer, **changes: Any) -> Trust:
    """The directory after the one held, under the version after it: any that is higher may follow."""
    dated = replace(held, version=held.version + 1, issued=NOW, expires=Instant(NOW + DIRECTORY_LIFETIME))
    return sign_directory(replace(dated, **changes), by)


# --- what is said ----------------------------------------------------------------------------------


def leaf(kind: Kind, record: Any, label: str) -> Leaf:
    data = record if isinstance(record, bytes) else encode(KINDS[kind].record, record)
    return Leaf(kind, stream_of(f"{SEED}/nonce/{label}")(16), data)


def id_of(one: Leaf) -> Any:
    return leaf_id(one.kind, one.nonce, one.data)
