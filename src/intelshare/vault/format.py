"""The vault file's bytes, without I/O (docs/format.md, "Vault file").

The file ends with its SHA-256, so that damage can be told from a wrong passphrase before any work is done: a
file that does not match its checksum is KEYSTORE_CORRUPT, and an intact file that does not open is
KEYSTORE_PASSWORD. An attacker who changes the file and its checksum fails, because ``seal`` binds the header
and all entries in order under the passphrase's key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Annotated, Final

from intelshare.crypto.codec import (
    B16,
    B32,
    U32,
    U63,
    Bytes16,
    Count,
    Fixed,
    decode,
    encode,
    only,
    record,
)
from intelshare.crypto.pae import sha256
from intelshare.crypto.rest import NONCE_LENGTH, open_at_rest, seal_at_rest
from intelshare.crypto.stretch import (
    CEILING,
    DEVELOPMENT,
    SALT_LENGTH,
    STANDARD,
    Stretching,
    stretch,
)
from intelshare.crypto.suites import Random
from intelshare.errors import CryptoError, EnvelopeError, VaultError

MAX_FILE: Final = 16 * 1024 * 1024
_MAGIC: Final = b"intelshare vault"
_TABLE: Final = "vault"
_SEAL_SLOT: Final = 0
_ENTRY_SLOT: Final = 1


class EntryKind(IntEnum):
    """The kind of an entry's content."""

    KEY = 1
    """A key record and its secret."""
    CERTIFIED = 2
    """A certificate (DER) and its private key (PKCS #8, PEM)."""
    STORAGE = 3
    """The 32 bytes under which everything at rest is encrypted."""
    RETIRED = 4
    """A key record whose secret was destroyed."""
    TOKEN = 5
    """A key record, and the secret of the second half of its signatures: the first half's is in a token."""


@record
class Entry:
    """One secret and its purpose. Never logged: the readable form of an ``Entry`` shows only its kind."""

    kind: EntryKind
    name: B16
    """A key id, or a word such as "node-authority"."""
    public: B32
    secret: B16

    def __repr__(self) -> str:
        return f"Entry({self.kind.name})"


@record
class _Header:
    magic: Bytes16
    version: Annotated[int, only(1, "H")]
    passes: U32
    memory: U32
    salt: Annotated[bytes, Fixed(f"{SALT_LENGTH}s", SALT_LENGTH)]
    state: U63
    """The number of changes of the entries and the passphrase: of two states the later one has more."""


@record
class _SealedEntry:
    id: Bytes16
    sealed: B32


@record
class _Body:
    header: _Header
    seal: B16
    entries: Annotated[tuple[_SealedEntry, ...], Count(0, 4096)]


@record
class _Entries:
    entries: Annotated[tuple[_SealedEntry, ...], Count(0, 4096)]


@dataclass(frozen=True, slots=True)
class Opened:
    """An open vault: the key derived from its passphrase, and its content."""

    header: _Header = field(repr=False)
    key: bytes = field(repr=False)
    entries: tuple[tuple[_SealedEntry, Entry], ...] = field(repr=False)

    @property
    def stretching(self) -> Stretching:
        """The parameters of stretching the passphrase."""
        return Stretching(self.header.passes, self.header.memory)

    @property
    def state(self) -> int:
        """The number of changes since the vault was made, and 1."""
        return self.header.state


def new_vault(
    passphrase: bytes, entries: Iterable[Entry], cost: Stretching, random: Random, *, before: int = 0
) -> tuple[bytes, Opened]:
    """Return the bytes of a new vault, and the vault, open. ``before``: the state of the vault that it
    replaces, under another passphrase.
    """
    header = _Header(_MAGIC, 1, cost.passes, cost.memory, random(SALT_LENGTH), before)
    empty = Opened(header, stretch(passphrase, header.salt, cost), ())
    return changed_vault(empty, entries, random)


def changed_vault(vault: Opened, entries: Iterable[Entry], random: Random) -> tuple[bytes, Opened]:
    """Return the vault in its next state, and its bytes, with exactly these entries.

    Those it already had keep their ciphertext.
    """
    header = replace(vault.header, state=vault.header.state + 1)
    kept = {entry: sealed for sealed, entry in vault.entries}
    after: list[tuple[_SealedEntry, Entry]] = []
    for entry in entries:
        sealed = kept.get(entry)
        if sealed is None:
            identity, nonce = random(16), random(NONCE_LENGTH)
            text = encode(Entry, entry)
            sealed = _SealedEntry(
                identity, seal_at_rest(vault.key, nonce, text, table=_TABLE, row=identity, slot=_ENTRY_SLOT)
            )
        after.append((sealed, entry))
    rows = tuple(sealed for sealed, _ in after)
    seal = seal_at_rest(
        vault.key,
        random(NONCE_LENGTH),
        _digest(rows),
        table=_TABLE,
        row=encode(_Header, header),
        slot=_SEAL_SLOT,
    )
    body = encode(_Body, _Body(header, seal, rows))
    return body + sha256(body), Opened(header, vault.key, tuple(after))


def open_bytes(data: bytes, passphrase: bytes, *, allow_development: bool) -> Opened:
    """Open the vault in these bytes.

    Raises VaultError KEYSTORE_CORRUPT (damaged, or asks for less work than any vault), KEYSTORE_DEVELOPMENT,
    KEYSTORE_PASSWORD.
    """
    body = _read_body(data)
    cost = Stretching(body.header.passes, body.header.memory)
    if not (cost.at_least(DEVELOPMENT) and CEILING.at_least(cost)):
        raise _corrupt("its stretching parameters are not those of any vault")
    if not (allow_development or cost.at_least(STANDARD)):
        raise VaultError(
            "KEYSTORE_DEVELOPMENT",
            "this vault is for development: its passphrase is stretched too little to guard real keys",
            hint="`intelshare vault passwd` turns it into a real one; `node run --dev` runs it as it is",
        )
    return _opened(body, stretch(passphrase, body.header.salt, cost))


def later_state(data: bytes, vault: Opened) -> Opened | None:
    """Return the vault in these bytes, open, if it is a later state of another one: under the same
    passphrase, changed since, with the same storage key, and with all its keys, of which none that was
    destroyed is back.
    """
    try:
        later = _opened(_read_body(data), vault.key)
    except VaultError:
        return None
    if later.header.state <= vault.header.state:  # certificates alone may differ, and tell nothing of it
        return None
    kept = keeps_all([entry for _, entry in later.entries], [entry for _, entry in vault.entries])
    return later if kept else None


def keeps_all(later: Iterable[Entry], entries: Iterable[Entry]) -> bool:
    """Return true if all that these entries hold is in the later ones, but for keys that were destroyed there
    and for certificates; what was destroyed stays so.
    """
    there = set(later)
    for entry in entries:
        if entry.kind is EntryKind.CERTIFIED or entry in there:
            continue
        destroyed = Entry(EntryKind.RETIRED, entry.name, entry.public, b"")
        if entry.kind not in (EntryKind.KEY, EntryKind.TOKEN) or destroyed not in there:
            return False
    return True


def _opened(body: _Body, key: bytes) -> Opened:
    try:
        bound = open_at_rest(key, body.seal, table=_TABLE, row=encode(_Header, body.header), slot=_SEAL_SLOT)
    except CryptoError:
        raise VaultError(
            "KEYSTORE_PASSWORD",
            "the passphrase does not open the vault",
            hint="check which passphrase file or prompt was used; the file itself is intact",
        ) from None
    if bound != _digest(body.entries):
        raise _corrupt("its entries are not those that were written")
    try:
        entries = tuple(
            (row, decode(Entry, open_at_rest(key, row.sealed, table=_TABLE, row=row.id, slot=_ENTRY_SLOT)))
            for row in body.entries
        )
    except (CryptoError, EnvelopeError):
        raise _corrupt("one of its entries does not open") from None
    return Opened(body.header, key, entries)


def stretching_of(data: bytes) -> Stretching:
    """Return the stretching parameters of the vault in these bytes. Raises VaultError KEYSTORE_CORRUPT."""
    header = _read_body(data).header
    return Stretching(header.passes, header.memory)


def check_whole(data: bytes) -> None:
    """Return if these bytes are those that were written, as far as that can be told without a passphrase.

    Raises VaultError KEYSTORE_CORRUPT.
    """
    _read_body(data)


def _read_body(data: bytes) -> _Body:
    body, checksum = data[:-32], data[-32:]
    if sha256(body) != checksum:
        raise _corrupt("it is cut off or damaged")
    try:
        read = decode(_Body, body)
    except EnvelopeError:
        raise _corrupt("it does not have the layout of a vault") from None
    if read.header.magic != _MAGIC:
        raise _corrupt("it is not a vault file")
    return read


def _digest(rows: tuple[_SealedEntry, ...]) -> bytes:
    return sha256(encode(_Entries, _Entries(rows)))


def _corrupt(why: str) -> VaultError:
    return VaultError(
        "KEYSTORE_CORRUPT",
        f"the vault file cannot be used: {why}",
        hint="no key was loaded; restore the folder: `intelshare node restore BACKUP FOLDER --replace`",
    )
