"""The table of fuzz targets: what reads foreign bytes, and what must hold whatever the bytes are.

A check raises nothing for good and for bad bytes alike. Anything that it raises is a finding: an exception
that is no IntelshareError, or an AssertionError of the oracle.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

from fuzz import mutator, seeds
from intelshare.audit.exhibit import Exhibit, contradiction
from intelshare.audit.path import LogPath
from intelshare.builtin import builtin_registry
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import (
    Batch,
    Checkpoint,
    Claims,
    Consent,
    Manifest,
    Portion,
    Recall,
    Receipt,
    Release,
    StreamHead,
    TreatyAct,
    Trust,
    TrustType,
)
from intelshare.crypto.suites import SUITES
from intelshare.crypto.x509 import all_from_pem, inspect, is_authority, to_pem
from intelshare.errors import IntelshareError
from intelshare.instant import Instant
from intelshare.labels import (
    format_banner,
    parse_label,
    read_binding,
    read_bundle,
    read_stanag4774,
    write_bundle,
    write_stanag4774,
)
from intelshare.node.settings_file import read_settings, write_settings
from intelshare.policy.files import parse_overlay, parse_treaty
from intelshare.text import safe_name, visible
from intelshare.trust import HelloPayload, read_directory, read_member_file, read_root
from intelshare.trust.ceremony import read_proposal, read_root_key
from intelshare.trust.hello import Proof
from intelshare.vault import DEVELOPMENT
from intelshare.vault.format import open_bytes, stretching_of
from intelshare.verifier import check_evidence, check_note, check_proof, check_release, read_given
from intelshare.verifier.documents import read_directory as judge_directory
from intelshare.verifier.documents import read_root as judge_root
from intelshare.wire import read_message
from wire_reading import by_protobuf

Check = Callable[[bytes], None]
Mutate = Callable[[bytes, Random, Sequence[bytes]], bytes]

MILLISECONDS = 50
"""Processor time that an input may take."""
MEMORY = 16 << 20
"""Bytes that an input may need at once."""


@dataclass(frozen=True, slots=True)
class Target:
    """One reader of foreign bytes."""

    check: Check
    seeds: Callable[[], list[bytes]]
    nearest: bool = False
    """Whether a peer's bytes reach it: a million inputs instead of 100,000."""
    mutate: Mutate = mutator.mutate
    milliseconds: int = MILLISECONDS


def _read(read: Callable[[], Any]) -> Any:
    """What is read, or the code with which it was refused, as (value, code)."""
    try:
        return read(), ""
    except IntelshareError as error:
        return None, error.code


def _record(kind: type[Any], data: bytes) -> None:
    """What is accepted encodes to the same bytes."""
    value, refused = _read(lambda: decode(kind, data))
    assert refused or encode(kind, value) == data


def _frame(data: bytes) -> None:
    """What the scan accepts protobuf reads alike."""
    message, refused = _read(lambda: read_message(data))
    if not refused:
        assert by_protobuf(data) == message


def _document(kind: TrustType, read: Callable[..., Any], judged: Callable[..., Any], data: bytes) -> None:
    """The node and the judge, who share no reading, accept the same documents."""
    trust = Trust(kind, data, ())
    found, refused = _read(lambda: read(trust, SUITES))
    again, refused_again = _read(lambda: judged(trust))
    assert bool(refused) == bool(refused_again), (refused, refused_again)
    assert refused or (encode(type(found), found) == data and again.member == found.member)


def _exhibit(data: bytes) -> None:
    """Evidence convicts, clears or cannot be read."""
    exhibit, refused = _read(lambda: decode(Exhibit, data))
    if not refused:
        _read(lambda: contradiction(exhibit))
        assert encode(Exhibit, exhibit) == data


def _certificate(data: bytes) -> None:
    """A leaf has one identity or none; an authority goes into PEM and comes back the same."""
    _read(lambda: inspect(data))
    if is_authority(data):
        assert all_from_pem(to_pem([data])) == (data,)


def _pem(data: bytes) -> None:
    found, refused = _read(lambda: all_from_pem(data))
    if not refused:
        for der in found:
            _certificate(der)


def _label(data: bytes) -> None:
    """The banner of what was read is read as the same label."""
    text = data.decode("utf-8", "surrogateescape")
    label, refused = _read(lambda: parse_label(text, _registry()))
    if not refused:
        assert parse_label(format_banner(label, _registry()), _registry()) == label


def _stanag(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    label, refused = _read(lambda: read_stanag4774(text, _registry()))
    if not refused:
        written, _ = _read(lambda: write_stanag4774(label, _registry(), Instant(1_790_000_000_000_000)))
        assert written is None or read_stanag4774(written, _registry()) == label


def _stix(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    found, refused = _read(lambda: read_bundle(text, _registry()))
    for one in () if refused else found:
        _read(lambda one=one: write_bundle(one.label, _registry()))


def _settings(data: bytes) -> None:
    """What is read is written, read and written the same (a usual value that is said stays unsaid)."""
    path = Path(_folder().name) / "node.toml"
    path.write_bytes(data)
    settings, refused = _read(lambda: read_settings(path))
    if not refused:
        written = write_settings(settings)
        path.write_text(written, "utf-8")
        assert write_settings(read_settings(path)) == written


def _vault(data: bytes) -> None:
    """Nothing of a vault that asks for more work than the cheapest one: a run has a million to do."""
    cost, refused = _read(lambda: stretching_of(data))
    if not refused and cost == DEVELOPMENT:
        _read(lambda: open_bytes(data, b"vectors", allow_development=True))


def _shown(data: bytes) -> None:
    """Nothing that is shown acts on a terminal, and what is shown is shown the same again."""
    text = data.decode("utf-8", "surrogateescape")
    for lines in (False, True):
        out = visible(text, lines=lines)
        assert not any(
            (ord(letter) < 32 and not (lines and letter == "\n")) or 0x7F <= ord(letter) < 0xA0
            for letter in out
        )
        assert not any(letter in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" for letter in out)
        assert visible(out, lines=lines) == out
    _read(lambda: safe_name(text, source="fuzz"))


def _text_of(read: Callable[..., Any], *rest: Any) -> Check:
    """A reader of UTF-8 text and of what else it takes."""

    def check(data: bytes) -> None:
        _read(lambda: read(data.decode("utf-8", "replace"), *rest))

    return check


def _bytes_of(read: Callable[..., Any], *rest: Any) -> Check:
    """A reader of bytes and of what else it takes."""

    def check(data: bytes) -> None:
        _read(lambda: read(data, *rest))

    return check


@cache
def _registry() -> Any:
    return builtin_registry()


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Where inputs lie that are read from a file; gone when this process ends."""
    return tempfile.TemporaryDirectory(prefix="intelshare-fuzz-")


def _policy(parse: Callable[..., Any], name: str) -> Check:
    def check(data: bytes) -> None:
        _read(lambda: parse(data.decode("utf-8", "replace"), name, _registry()))

    return check


def _of(kind: type[Any]) -> Target:
    return Target(partial(_record, kind), partial(seeds.records, kind.__name__), nearest=True)


TARGETS: dict[str, Target] = {
    "frame": Target(_frame, seeds.frames, nearest=True),
    "batch": Target(partial(_record, Batch), seeds.batches, nearest=True),
    "release": _of(Release),
    "receipt": _of(Receipt),
    "recall": _of(Recall),
    "stream-head": _of(StreamHead),
    "consent": _of(Consent),
    "act": _of(TreatyAct),
    "checkpoint": _of(Checkpoint),
    "trust": _of(Trust),
    "claims": _of(Claims),
    "manifest": _of(Manifest),
    "portion": _of(Portion),
    "log-path": Target(partial(_record, LogPath), seeds.paths, nearest=True),
    "hello": _of(HelloPayload),
    "hello-proof": Target(partial(_record, Proof), seeds.proofs_of_hellos, nearest=True),
    "root": Target(
        partial(_document, TrustType.ROOT, read_root, judge_root),
        partial(seeds.documents, TrustType.ROOT),
        nearest=True,
    ),
    "directory": Target(
        partial(_document, TrustType.DIRECTORY, read_directory, judge_directory),
        partial(seeds.documents, TrustType.DIRECTORY),
        nearest=True,
    ),
    "evidence": Target(_exhibit, seeds.exhibits, nearest=True),
    "label": Target(_label, seeds.labels),
    "stanag4774": Target(_stanag, partial(seeds.samples, "stanag4774")),
    "stanag4778": Target(
        _text_of(lambda text: read_binding(text, _registry())), partial(seeds.samples, "stanag4778")
    ),
    "stix": Target(_stix, lambda: seeds.samples("stix")[::-1], mutate=mutator.mutate_json),
    "treaty": Target(_policy(parse_treaty, "fuzz.toml"), seeds.treaties, milliseconds=200),
    "overlay": Target(_policy(parse_overlay, "deu.toml"), seeds.overlays, milliseconds=200),
    "settings": Target(_settings, seeds.settings),
    "member-file": Target(
        _bytes_of(read_member_file, "fuzz"),
        partial(seeds.files, "fra.member.json"),
        mutate=mutator.mutate_json,
    ),
    "given-member": Target(
        _bytes_of(read_given, "fuzz"), partial(seeds.files, "fra.member.json"), mutate=mutator.mutate_json
    ),
    "proof-file": Target(
        _bytes_of(check_proof, "fuzz"),
        partial(seeds.files, "proof.json"),
        mutate=mutator.mutate_json,
        milliseconds=400,
    ),
    "evidence-file": Target(
        _bytes_of(check_evidence, "fuzz"),
        partial(seeds.files, "evidence.json"),
        mutate=mutator.mutate_json,
        milliseconds=400,
    ),
    "release-file": Target(
        _bytes_of(check_release, "fuzz"),
        partial(seeds.files, "release.json"),
        mutate=mutator.mutate_json,
        milliseconds=400,
    ),
    "note": Target(_bytes_of(check_note, "fuzz", ()), seeds.notes),
    "root-proposal": Target(
        lambda data: (_bytes_of(read_proposal, "fuzz", SUITES)(data), _bytes_of(read_root_key, "fuzz")(data))[
            0
        ],
        seeds.proposals,
        mutate=mutator.mutate_json,
    ),
    "vault": Target(_vault, seeds.vaults, mutate=mutator.mutate_checked, milliseconds=400),
    "certificate": Target(_certificate, seeds.certificates),
    "certificate-pem": Target(_pem, seeds.pems),
    "shown-text": Target(_shown, seeds.shown),
}
