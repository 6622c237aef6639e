"""Trust documents, hellos and vault files: what is accepted encodes to the same bytes, the rest fails.

Fuzz oracles of attacks.md ("root, directory, key record", "hello", "vault file", "certificate identity"),
replayed here with hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from envelope_world import stream_of
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Cosigned, KeyRecord, KeyUse, StreamHead, Trust, TrustType
from intelshare.crypto.suites import SUITES
from intelshare.crypto.x509 import inspect
from intelshare.errors import IntelshareError
from intelshare.instant import LATEST, NEVER
from intelshare.trust import (
    DirectoryDocument,
    DirectoryNode,
    DocumentVersions,
    Endpoint,
    HelloPayload,
    Ratified,
    Revocation,
    Revoked,
    RootDocument,
    Why,
    read_directory,
    read_root,
)
from intelshare.trust.fingerprint import check_fingerprint, fingerprint
from intelshare.trust.hello import Proof
from intelshare.vault import DEVELOPMENT
from intelshare.vault.format import Entry, EntryKind, new_vault, open_bytes
from trust_world import NOW, member, view_of

T = TypeVar("T")
TEXT = st.text(max_size=20)
U16 = st.integers(0, 2**16 - 1)
U64 = st.integers(0, 2**64 - 1)
U63 = st.integers(0, 2**63 - 1)
TIMES = st.integers(0, LATEST)
BYTES_32 = st.binary(min_size=32, max_size=32)
KEYS = st.builds(
    KeyRecord,
    suite=U16,
    member=TEXT,
    node=TEXT,
    use=st.sampled_from(KeyUse),
    public=st.binary(max_size=40),
    not_before=TIMES,
    not_after=TIMES | st.just(NEVER),
)


def outcome(act: Callable[[], T], *codes: str) -> T | None:
    """What ``act`` gives, or None if it fails with one of these codes; any other error is an error."""
    try:
        return act()
    except IntelshareError as error:
        if error.code not in codes:
            raise
        return None


def tuples(of: st.SearchStrategy[Any], least: int = 0, most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(of, min_size=least, max_size=most).map(tuple)


ROOTS = st.builds(
    RootDocument,
    format=st.just(1),
    member=TEXT,
    version=U63,
    domain=TEXT,
    name=TEXT,
    threshold=st.integers(0, 255),
    keys=tuples(KEYS, 1),
    directory=tuples(KEYS, 1),
)
DIRECTORIES = st.builds(
    DirectoryDocument,
    format=st.just(1),
    member=TEXT,
    version=U63,
    issued=TIMES,
    expires=TIMES,
    nodes=tuples(
        st.builds(DirectoryNode, uri=TEXT, dns=TEXT, endpoints=tuples(st.builds(Endpoint, TEXT, U16)))
    ),
    authorities=tuples(st.binary(max_size=30)),
    keys=tuples(KEYS),
    suites=tuples(U16, 1),
    floor=U16,
    ratified=tuples(st.builds(Ratified, TEXT, BYTES_32)),
    revocations=tuples(
        st.builds(Revocation, st.sampled_from(Revoked), st.binary(max_size=40), st.sampled_from(Why), TIMES)
    ),
)
HELLOS = st.builds(
    HelloPayload,
    time=TIMES,
    suites=tuples(U16, 1),
    documents=tuples(st.builds(DocumentVersions, TEXT, U63, U63)),
    incarnation=U64,
    heads=tuples(
        st.builds(
            StreamHead,
            to=TEXT,
            incarnation=U64,
            previous=U64,
            last=U63,
            head=BYTES_32,
            cancelled=st.just(()),
        )
    ),
    checkpoint=tuples(st.builds(Cosigned, TEXT, U64, U63, BYTES_32), most=1),
)


@given(ROOTS)
def test_roots_round_trip(root: RootDocument) -> None:
    assert decode(RootDocument, encode(RootDocument, root)) == root


@given(DIRECTORIES)
def test_directories_round_trip(directory: DirectoryDocument) -> None:
    assert decode(DirectoryDocument, encode(DirectoryDocument, directory)) == directory


@given(HELLOS)
def test_hello_payloads_round_trip(payload: HelloPayload) -> None:
    assert decode(HelloPayload, encode(HelloPayload, payload)) == payload


@given(st.sampled_from([RootDocument, DirectoryDocument, HelloPayload, Proof]), st.binary(max_size=400))
def test_any_bytes_are_one_value_or_malformed(kind: type[Any], data: bytes) -> None:
    value = outcome(lambda: decode(kind, data), "ENVELOPE_MALFORMED")
    assert value is None or encode(kind, value) == data


FRA = member("FRA")
GENUINE = {
    TrustType.ROOT: FRA.founded.root.document,
    TrustType.DIRECTORY: FRA.founded.directory.document,
}
VIEW = view_of(FRA)


@given(st.sampled_from(TrustType), st.integers(0), st.integers(0, 255), st.integers(0, 8))
def test_a_changed_document_is_refused_with_a_documented_code(
    kind: TrustType, place: int, byte: int, cut: int
) -> None:
    document = bytearray(GENUINE[kind])
    document[place % len(document)] = byte
    changed = bytes(document[: len(document) - cut])
    genuine = FRA.founded.root if kind is TrustType.ROOT else FRA.founded.directory
    change = outcome(
        lambda: VIEW.with_document(Trust(kind, changed, genuine.signatures), NOW),
        "ENVELOPE_MALFORMED",
        "TRUST_FINGERPRINT",
        "TRUST_THRESHOLD",
        "TRUST_ROLLBACK",
    )
    assert (change is not None) is (changed == GENUINE[kind])
    assert change is None or not change.changed


@given(st.one_of(ROOTS, DIRECTORIES))
def test_documents_of_any_content_are_read_or_malformed(document: RootDocument | DirectoryDocument) -> None:
    is_root = isinstance(document, RootDocument)
    trust = Trust(
        TrustType.ROOT if is_root else TrustType.DIRECTORY, encode(type(document), document), signatures=()
    )
    read = read_root if is_root else read_directory
    outcome(lambda: read(trust, SUITES), "ENVELOPE_MALFORMED")


@given(st.binary(max_size=300))
def test_a_fingerprint_is_read_back_however_it_is_grouped(document: bytes) -> None:
    text = fingerprint(document)
    assert set(text) <= set("0123456789ABCDEFGHJKMNPQRSTVWXYZ-")
    assert [len(group) for group in text.split("-")] == [5] * 8
    check_fingerprint(document, text.lower().replace("-", " "))


ENTRIES = tuples(
    st.builds(
        Entry,
        kind=st.sampled_from(EntryKind),
        name=st.binary(max_size=32),
        public=st.binary(max_size=50),
        secret=st.binary(max_size=50),
    ),
    most=4,
)


@settings(max_examples=20)
@given(ENTRIES)
def test_a_vault_gives_back_what_was_put_in(entries: tuple[Entry, ...]) -> None:
    data, _ = new_vault(b"passphrase", entries, DEVELOPMENT, stream_of("vault"))
    opened = open_bytes(data, b"passphrase", allow_development=True)
    assert tuple(entry for _, entry in opened.entries) == entries


@given(st.binary(max_size=300))
def test_any_bytes_are_no_vault(data: bytes) -> None:
    opened = outcome(lambda: open_bytes(data, b"passphrase", allow_development=True), "KEYSTORE_CORRUPT")
    assert opened is None


LEAF = FRA.founded.node_leaf.certificate


@given(st.integers(0, len(LEAF) - 1), st.integers(0, 255))
def test_a_changed_certificate_is_nobody_or_says_what_its_der_says(place: int, byte: int) -> None:
    """The second reading is of the raw DER: the URI stands there as [6], once."""
    changed = LEAF[:place] + bytes([byte]) + LEAF[place + 1 :]
    leaf = outcome(lambda: inspect(changed), "PEER_IDENTITY_INVALID")
    if leaf is None:
        return
    uri = leaf.uri.encode()
    assert changed.count(b"\x86" + bytes([len(uri)]) + uri) == 1
    peer = outcome(lambda: VIEW.identify(changed, NOW), "PEER_IDENTITY_INVALID", "PEER_IDENTITY_MISMATCH")
    assert (peer is not None) is (changed == LEAF)


def test_the_second_reading_agrees_on_the_genuine_leaf() -> None:
    names = x509.load_der_x509_certificate(LEAF).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert inspect(LEAF).uri == names.value.get_values_for_type(x509.UniformResourceIdentifier)[0]
