"""The next root, as a file that the holders of root keys pass on and sign, each on their own machine.

Nothing in the file is secret, and nothing in it is believed: only the root that the node holds and the
signatures count. A holder sees what would change, and a fingerprint of the new document to compare by voice.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import msgspec

from intelshare.crypto.codec import decode, encode
from intelshare.crypto.pae import key_id
from intelshare.crypto.records import KeyRecord, KeyUse, Trust, TrustType
from intelshare.crypto.suites import Signer, Suites
from intelshare.errors import EnvelopeError, Place, TrustError
from intelshare.ids import KeyId
from intelshare.trust.documents import RootDocument, read_root, sign_root, signatures_by
from intelshare.trust.fingerprint import fingerprint
from intelshare.trust.renewal import renew_root

T = TypeVar("T", "_Text", "_KeyText")

SCHEMA: Final = "intelshare/root/1"
KEY_SCHEMA: Final = "intelshare/root-key/1"
MAX_ROOT_FILE: Final = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RootProposal:
    """A root that is to succeed another, with the signatures collected so far."""

    present: RootDocument
    """The present root as the file has it; the publishing node compares it with the one in force."""
    present_signed: Trust
    following: RootDocument
    signed: Trust

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the new document, for people to compare before they sign."""
        return fingerprint(self.signed.document)

    def missing(self, suites: Suites) -> tuple[int, int]:
        """Return how many signatures are missing: of the present root's keys, and of the new root's keys."""
        return (
            max(0, self.present.threshold - signatures_by(self.signed, self.present.keys, suites)),
            max(0, self.following.threshold - signatures_by(self.signed, self.following.keys, suites)),
        )

    def check_signed(self, suites: Suites) -> None:
        """Check that enough of both have signed. Raises TrustError TRUST_THRESHOLD, for whoever publishes."""
        present, own = self.missing(suites)
        if present or own:
            raise TrustError(
                "TRUST_THRESHOLD",
                f"root {self.following.version} of {self.following.member} lacks {present} signatures of the "
                f"current keys, and {own} of the next ones",
                hint="each holder: `intelshare trust root sign FILE --vault VAULT`",
            )


def propose_root(
    present: Trust,
    suites: Suites,
    *,
    add: Iterable[KeyRecord] = (),
    drop: Collection[KeyId] = (),
    threshold: int | None = None,
    directory: Iterable[KeyRecord] | None = None,
) -> RootProposal:
    """Return the next root, unsigned. Raises TrustError INPUT_INVALID if these changes make no valid root."""
    root = read_root(present, suites)
    known = {key_id(key) for key in root.keys}
    if not set(drop) <= known:
        raise TrustError("INPUT_INVALID", "a key to be removed is not a root key of the member")
    keys = (*(key for key in root.keys if key_id(key) not in drop), *add)
    try:
        signed = renew_root(root, (), keys=keys, threshold=threshold, directory=directory)
        following = read_root(signed, suites)
    except EnvelopeError as error:
        raise TrustError(
            "INPUT_INVALID",
            f"these changes make no valid root: {error.message}",
            hint="check the keys and the threshold",
        ) from None
    return RootProposal(root, present, following, signed)


def sign_proposal(proposal: RootProposal, signer: Signer) -> RootProposal:
    """Return the proposal with this key's signature added.

    Raises TrustError NOT_AUTHORISED if it is a root key of neither the present root nor the new one.
    """
    if signer.record not in (*proposal.present.keys, *proposal.following.keys):
        raise TrustError(
            "NOT_AUTHORISED",
            f"{signer.key_id.hex()[:16]} is a root key of neither the present root nor the new one",
            hint="`intelshare trust root show FILE` lists both",
        )
    made = sign_root(proposal.following, (signer,)).signatures[0]
    others = tuple(one for one in proposal.signed.signatures if one.key != signer.key_id)
    return replace(proposal, signed=replace(proposal.signed, signatures=(*others, made)))


class _Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    member: str
    version: int
    fingerprint: str
    present: str
    proposed: str


class _KeyText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: str
    member: str
    key: str


def write_proposal(proposal: RootProposal) -> str:
    """Return the file: JSON with one value per line. The values meant for people are never believed."""
    text = _Text(
        SCHEMA,
        proposal.following.member,
        proposal.following.version,
        proposal.fingerprint,
        _wrap(proposal.present_signed),
        _wrap(proposal.signed),
    )
    return msgspec.json.format(msgspec.json.encode(text), indent=2).decode() + "\n"


def read_proposal(text: bytes, source: str, suites: Suites) -> RootProposal:
    """Read a proposal from a file, without accepting anything. Raises TrustError TOO_LARGE, INPUT_INVALID."""
    read = _read(text, source, _Text, SCHEMA)
    try:
        present, signed = _unwrap(read.present), _unwrap(read.proposed)
        before, after = read_root(present, suites), read_root(signed, suites)
        if (after.member, after.version, after.domain) != (before.member, before.version + 1, before.domain):
            raise ValueError("the new root does not follow the present one")
    except (ValueError, EnvelopeError) as error:
        raise _invalid(source, error) from None
    return RootProposal(before, present, after, signed)


def write_root_key(record: KeyRecord) -> str:
    """Return the public file of a root key, for the person who proposes a root that includes it."""
    text = _KeyText(KEY_SCHEMA, record.member, b64encode(encode(KeyRecord, record)).decode("ascii"))
    return msgspec.json.format(msgspec.json.encode(text), indent=2).decode() + "\n"


def read_root_key(text: bytes, source: str) -> KeyRecord:
    """Read the key from such a file. Raises TrustError TOO_LARGE, INPUT_INVALID."""
    read = _read(text, source, _KeyText, KEY_SCHEMA)
    try:
        record = decode(KeyRecord, b64decode(read.key, validate=True))
        if record.use is not KeyUse.ROOT:
            raise ValueError("it does not hold a root key")
    except (ValueError, EnvelopeError) as error:
        raise _invalid(source, error) from None
    return record


def _read(text: bytes, source: str, kind: type[T], schema: str) -> T:
    if len(text) > MAX_ROOT_FILE:
        raise TrustError(
            "TOO_LARGE", f"this file may have at most {MAX_ROOT_FILE} bytes", place=Place(source)
        )
    try:
        read = msgspec.json.decode(text, type=kind)
        if read.schema != schema:
            raise ValueError(f"its schema is not {schema}")
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise _invalid(source, error) from None
    return read


def _invalid(source: str, error: Exception) -> TrustError:
    return TrustError(
        "INPUT_INVALID",
        f"this is not a root file: {str(error)[:200]}",
        place=Place(source),
        hint="`intelshare trust root new` writes one",
    )


def _wrap(trust: Trust) -> str:
    return b64encode(encode(Trust, trust)).decode("ascii")


def _unwrap(text: str) -> Trust:
    trust = decode(Trust, b64decode(text, validate=True))
    if trust.type is not TrustType.ROOT:
        raise ValueError("it holds a directory where a root is expected")
    return trust
