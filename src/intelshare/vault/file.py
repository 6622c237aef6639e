"""The vault as one file: a 0600 file in a 0700 folder, opened with a passphrase, rewritten whole.

The vault of a node has a copy beside it (decision 91): one flipped bit would otherwise cost all that the node
holds. It is read only if the file is damaged or missing, and written before it, so that what is destroyed is
in neither once a method returns.

Secrets are decrypted once, at the start, and live in this object and in the keys it has made. Destroying a
key removes it from the file; erasure below the file system is best effort.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.crypto.stretch import STANDARD, Stretching
from intelshare.crypto.suites import NoteKey, Random, Signer, Suites, load_note_key, load_signer
from intelshare.crypto.x509 import CertifiedKey
from intelshare.envelope import SealingKeyHeld
from intelshare.errors import Place, StoreError, VaultError
from intelshare.ids import KeyId
from intelshare.private_files import (
    make_private_folder,
    replace_secrets,
    write_private,
)
from intelshare.trust import SecretKey
from intelshare.vault.copies import copy_of, read_both, read_by_a_start, read_whole
from intelshare.vault.format import (
    Entry,
    EntryKind,
    Opened,
    changed_vault,
    later_state,
    new_vault,
    open_bytes,
    stretching_of,
)
from intelshare.vault.passphrase import MIN_PASSPHRASE
from intelshare.vault.token import Token

NODE_AUTHORITY = "node-authority"
USER_AUTHORITY = "user-authority"
NODE_LEAF = "node-leaf"
FORMER_NODE_AUTHORITY = "former-node-authority"
FORMER_USER_AUTHORITY = "former-user-authority"
"""Believed while what they issued has not ended. Their keys are gone: these entries hold none."""
NODE_BRIDGE = "node-bridge"
"""By which the former authority of nodes vouches for the present one; no key."""


_SECRETS = (EntryKind.KEY, EntryKind.TOKEN)
"""The entries that hold a secret of a key."""


@dataclass(frozen=True, slots=True)
class HeldKey:
    """The facts about a key that `vault status` may show."""

    key_id: KeyId
    record: KeyRecord
    retired: bool
    """True if the secret is destroyed; the id is kept, to answer KEM_KEY_RETIRED instead of UNKNOWN."""


class FileVault:
    """An open vault file. Changes are durable when their method returns.

    Signing and opening may run in any thread; only one may call ``put``, ``retire`` and
    ``change_passphrase``. ``look``, ``follow`` and ``write_again`` may run beside it.
    """

    def __init__(
        self,
        path: Path,
        data: bytes,
        opened: Opened,
        suites: Suites,
        random: Random,
        token: Token | None = None,
    ) -> None:
        """``data``: the file, of which ``opened`` was read.

        ``token``: where the first halves of signing keys are that are not in the file.
        """
        self._path = path
        self._token = token
        self._suites = suites
        self._random = random
        self._take(opened)
        self._data = data
        self._writing = threading.Lock()

    def follow(self) -> bool:
        """Take over what another replica of this node has written since; return true if there was anything.
        Any thread.

        Raises StoreError DATA_LOCKED for any vault but a later state of this one; VaultError TOKEN_FAILED,
        NOT_FOUND (the token does not have such a key).
        """
        with self._writing:
            found = read_both(self._path)
            path = read_by_a_start(self._path, found)
            data = found[path] if path is not None else None
            if path is None or data is None or data == self._data:
                return False
            later = later_state(data, self._opened)
            if later is None:
                raise self._another(path, found)
            self._take(later)
            self._data = data
            return True

    def look(self, *, mend: bool) -> tuple[Path, ...]:
        """Find out if the next start can read the vault. ``mend``: write the file and its copy again where
        they are damaged or missing, and return those. Any thread.

        Raises VaultError KEYSTORE_CORRUPT if neither can be read: their disk may be away, and nothing is
        written. Mending raises what ``write_private`` raises, and StoreError DATA_LOCKED if the file, or its
        copy if the file is damaged, is another intact vault than the one that was read, or written last.
        """
        with self._writing:
            found = read_both(self._path)
            self._check_there(found)
            if not mend:
                return ()
            self._check_current(found)
            bad = tuple(path for path, data in found.items() if data != self._data)
            for path in bad:
                replace_secrets(path, self._data)
            return bad

    def write_again(self) -> None:
        """Write the file and its copy if both are gone: an operator says that they were deleted. Raises what
        ``write_private`` raises.
        """
        with self._writing:
            if not any(read_both(self._path).values()):
                make_private_folder(self._path.parent)
                for path in (copy_of(self._path), self._path):
                    write_private(path, self._data)

    def _check_there(self, found: Mapping[Path, bytes | None]) -> None:
        if all(data is None for data in found.values()):
            raise VaultError(
                "KEYSTORE_CORRUPT",
                "the vault is gone beneath the running node",
                place=Place(str(self._path)),
                hint="do not stop the node; mount the disk again. If the files were deleted, `intelshare "
                "vault rotate` writes them again",
            )

    def _check_current(self, found: Mapping[Path, bytes | None]) -> None:
        path = read_by_a_start(self._path, found)
        if path is not None and found[path] != self._data:
            raise self._another(path, found)

    def _another(self, path: Path, found: Mapping[Path, bytes | None]) -> StoreError:
        ours = [str(one) for one, data in found.items() if data == self._data]
        return StoreError(
            "DATA_LOCKED",
            "the vault has other keys since this node opened it",
            place=Place(str(path)),
            hint="the node stops and writes nothing over them. A replica just starts again; if nobody meant "
            f"this, put the right file back{f': {ours[0]} has the keys that the node had' if ours else ''}",
        )

    def first_signer(self, key_ids: Sequence[KeyId]) -> Signer:
        """Return the signer of the first of these keys that is here: a vault from before the last rotation
        goes on with the key that still overlaps, until the next directory names another.

        Raises VaultError NOT_FOUND if none is.
        """
        held = {key.key_id for key in self.held_keys() if not key.retired}
        return self.signer(next((one for one in key_ids if one in held), key_ids[0]))

    def signer(self, key_id: KeyId) -> Signer:
        """Return the signer of a signing, directory or root key. Raises VaultError NOT_FOUND."""
        found = self._signers.get(key_id)
        if found is None:
            raise VaultError(
                "NOT_FOUND",
                f"the vault has no signing key {key_id.hex()[:16]}",
                hint="the vault is older than the directory that names the key, or node.toml names no token: "
                "put the newest vault back; if it is lost, `intelshare node restore BACKUP FOLDER --replace`",
            )
        return found

    def first_half(self, suite: int) -> bytes:
        """Make the first half of a signing key in the token, and return its public key; empty: there is none.

        Raises VaultError TOKEN_FAILED.
        """
        return self._token.make(suite) if self._token is not None else b""

    def follow_token(self, tell: Callable[[str], None]) -> None:
        """Call this in any thread with TOKEN_FAILED when the token stops signing, and with "" when it signs
        again.
        """
        if self._token is not None:
            self._token.tell = tell

    def try_token(self) -> None:
        """Try a token again that did not sign. Raises VaultError TOKEN_FAILED."""
        if self._token is not None:
            self._token.try_again()

    def note_key(self, key_id: KeyId) -> NoteKey:
        """Return a note key. Raises VaultError NOT_FOUND."""
        found = self._notes.get(key_id)
        if found is None:
            raise VaultError(
                "NOT_FOUND",
                f"the vault has no note key {key_id.hex()[:16]}",
                hint="vault and trust documents are out of step: restore both from one backup",
            )
        return found

    def sealing_keys(self) -> Mapping[KeyId, SealingKeyHeld]:
        """Return all sealing keys that can still open, for ``envelope.Opener``."""
        return self._sealing

    def retired(self) -> Collection[KeyId]:
        """Return the ids of this member's sealing keys that were destroyed."""
        return self._retired

    def storage_key(self) -> bytes:
        """Return the 32 bytes for ``crypto.rest``.

        Raises VaultError NOT_FOUND (a vault of root keys has none).
        """
        for entry in self._entries:
            if entry.kind is EntryKind.STORAGE:
                return entry.secret
        raise VaultError("NOT_FOUND", "the vault has no storage key", place=Place(str(self._path)))

    def certified(self, name: str) -> CertifiedKey:
        """Return NODE_AUTHORITY, USER_AUTHORITY or NODE_LEAF. Raises VaultError NOT_FOUND."""
        entry = self._certified(name)
        if entry is None:
            raise VaultError("NOT_FOUND", f"the vault has no {name}", place=Place(str(self._path)))
        return CertifiedKey(entry.public, entry.secret)

    def certificate(self, name: str) -> bytes:
        """DER of a certificate that need not be there: of what is former; empty if it is not."""
        entry = self._certified(name)
        return entry.public if entry is not None else b""

    def _certified(self, name: str) -> Entry | None:
        of = (EntryKind.CERTIFIED, name.encode())
        return next((entry for entry in self._entries if (entry.kind, entry.name) == of), None)

    def held_keys(self) -> tuple[HeldKey, ...]:
        """Return every key of the vault without its secret."""
        return tuple(
            HeldKey(KeyId(entry.name), decode(KeyRecord, entry.public), entry.kind is EntryKind.RETIRED)
            for entry in self._entries
            if entry.kind in (EntryKind.KEY, EntryKind.TOKEN, EntryKind.RETIRED)
        )

    @property
    def state(self) -> int:
        """The number of changes since the vault was made, and 1: a lower one is an older vault."""
        return self._opened.state

    def later_copy(self) -> Path | None:
        """Return the copy beside the file if it is a later state than what was opened: somebody has put the
        file alone back.
        """
        copy = copy_of(self._path)
        data = read_both(self._path)[copy]
        return copy if data is not None and later_state(data, self._opened) is not None else None

    @property
    def stretching(self) -> Stretching:
        """The cost of one guess of the passphrase."""
        return self._opened.stretching

    def put(
        self,
        keys: Iterable[SecretKey] = (),
        certified: Mapping[str, CertifiedKey] | None = None,
        drop: Iterable[str] = (),
    ) -> None:
        """Add keys, add or replace certified keys, and remove those named in ``drop``. Durable once this
        returns: publish them only then.
        """
        added = _entries(keys, certified or {}, None)
        names = {(entry.kind, entry.name) for entry in added}
        names |= {(EntryKind.CERTIFIED, name.encode()) for name in drop}
        self._write([e for e in self._entries if (e.kind, e.name) not in names] + added)

    def retire(self, key_ids: Collection[KeyId]) -> None:
        """Destroy the secrets of these keys for ever; their records are kept. Unknown ids are ignored."""
        over = [entry for entry in self._entries if entry.name in key_ids and entry.kind in _SECRETS]
        self._write(
            Entry(EntryKind.RETIRED, entry.name, entry.public, b"") if entry in over else entry
            for entry in self._entries
        )
        for entry in over:
            if entry.kind is EntryKind.TOKEN and self._token is not None:
                self._token.destroy(self._first_of(decode(KeyRecord, entry.public)))

    def without_sealing_keys(self) -> bytes:
        """Return the bytes of this vault for backups: under the same passphrase, but with the secrets of all
        sealing keys destroyed. What is in a backup cannot be opened with it.
        """
        entries = [
            Entry(EntryKind.RETIRED, entry.name, entry.public, b"")
            if entry.kind is EntryKind.KEY and decode(KeyRecord, entry.public).use is KeyUse.SEALING
            else entry
            for entry in self._entries
        ]
        return changed_vault(self._opened, entries, self._random)[0]

    def change_passphrase(self, passphrase: bytes, cost: Stretching = STANDARD) -> None:
        """Encrypt everything again under another passphrase. Raises VaultError KEYSTORE_PASSWORD."""
        _check_new(passphrase, cost)
        before = self._opened.state
        data, opened = new_vault(passphrase, self._entries, cost, self._random, before=before)
        self._replace(data, opened)

    def _first_of(self, record: KeyRecord) -> bytes:
        return self._suites[record.suite].components(record.use, record.public)[0]

    def _write(self, entries: Iterable[Entry]) -> None:
        data, opened = changed_vault(self._opened, entries, self._random)
        self._replace(data, opened)

    def _replace(self, data: bytes, opened: Opened) -> None:
        with self._writing:
            if _has_copy(self._entries):
                # Beneath the place where the disk was mounted nobody would find it again.
                self._check_there(read_both(self._path))
                replace_secrets(copy_of(self._path), data)
            replace_secrets(self._path, data)
            self._data = data
            self._take(opened)

    def _take(self, opened: Opened) -> None:
        entries = tuple(entry for _, entry in opened.entries)
        signers: dict[KeyId, Signer] = {}
        sealing: dict[KeyId, SealingKeyHeld] = {}
        notes: dict[KeyId, NoteKey] = {}
        for entry in entries:
            if entry.kind not in _SECRETS:
                continue
            key_id, record = KeyId(entry.name), decode(KeyRecord, entry.public)
            suite = self._suites.get(record.suite)
            if suite is None:
                continue
            if entry.kind is EntryKind.TOKEN:
                if self._token is not None and suite.second is not None:
                    first = self._token.signing(record.suite, self._first_of(record))
                    key = suite.second.load(first, entry.secret)
                    signers[key_id] = Signer(suite, record, key_id, key)
            elif record.use is KeyUse.SEALING:
                sealing[key_id] = SealingKeyHeld(record, suite.load_sealing(entry.secret))
            elif record.use is KeyUse.NOTE:
                notes[key_id] = load_note_key(record, entry.secret)
            else:
                signers[key_id] = load_signer(suite, record, key_id, entry.secret)
        self._opened, self._entries = opened, entries
        self._signers: Mapping[KeyId, Signer] = MappingProxyType(signers)
        self._sealing: Mapping[KeyId, SealingKeyHeld] = MappingProxyType(sealing)
        self._notes: Mapping[KeyId, NoteKey] = MappingProxyType(notes)
        self._retired = frozenset(
            KeyId(entry.name)
            for entry in self._entries
            if entry.kind is EntryKind.RETIRED and decode(KeyRecord, entry.public).use is KeyUse.SEALING
        )


def create_vault(
    path: Path,
    passphrase: bytes,
    *,
    keys: Iterable[SecretKey],
    certified: Mapping[str, CertifiedKey],
    storage_key: bytes | None,
    suites: Suites,
    random: Random,
    cost: Stretching = STANDARD,
) -> FileVault:
    """Make a vault file, and its folder (0700), and return it open.

    Raises VaultError KEYSTORE_PASSWORD for a passphrase that is too short, ID_CONFLICT if there is a vault
    already.
    """
    _check_new(passphrase, cost)
    for there in (path, copy_of(path)):
        if there.exists() or there.is_symlink():
            raise VaultError("ID_CONFLICT", "a vault already exists", place=Place(str(there)))
    make_private_folder(path.parent)
    entries = _entries(keys, certified, storage_key)
    data, opened = new_vault(passphrase, entries, cost, random)
    if _has_copy(entries):
        write_private(copy_of(path), data)
    write_private(path, data)
    return FileVault(path, data, opened, suites, random)


def open_vault(
    path: Path,
    passphrase: bytes,
    *,
    suites: Suites,
    random: Random,
    allow_development: bool = False,
    token: Token | None = None,
) -> FileVault:
    """Open a vault file, or its copy if the file is damaged or missing; this takes 0.4 s and 256 MiB, or 5 ms
    for a development vault.

    Without its ``token`` it has no signer of a key that is there.
    Raises VaultError KEYSTORE_PERMISSIONS, KEYSTORE_CORRUPT, KEYSTORE_PASSWORD, in this order; NOT_FOUND.
    """
    data = read_whole(path)
    opened = open_bytes(data, passphrase, allow_development=allow_development)
    return FileVault(path, data, opened, suites, random, token)


def is_development(path: Path) -> bool:
    """Return True if a vault's passphrase is stretched too little for real keys; needs no passphrase.

    Raises VaultError KEYSTORE_PERMISSIONS, KEYSTORE_CORRUPT, NOT_FOUND.
    """
    return not stretching_of(read_whole(path)).at_least(STANDARD)


def _has_copy(entries: Iterable[Entry]) -> bool:
    """Return true for the vault of a node. One of root keys has none: it is moved off the machine as one
    file, and a copy would stay.
    """
    return any(entry.kind is EntryKind.STORAGE for entry in entries)


def _entries(
    keys: Iterable[SecretKey], certified: Mapping[str, CertifiedKey], storage_key: bytes | None
) -> list[Entry]:
    rows = [
        Entry(
            EntryKind.TOKEN if key.in_token else EntryKind.KEY,
            key.key_id,
            encode(KeyRecord, key.record),
            key.secret,
        )
        for key in keys
    ] + [
        Entry(EntryKind.CERTIFIED, name.encode(), both.certificate, both.key)
        for name, both in certified.items()
    ]
    if storage_key is not None:
        rows.append(Entry(EntryKind.STORAGE, b"", b"", storage_key))
    return rows


def _check_new(passphrase: bytes, cost: Stretching) -> None:
    if cost.at_least(STANDARD) and len(passphrase) < MIN_PASSPHRASE:
        raise VaultError(
            "KEYSTORE_PASSWORD",
            f"a passphrase needs at least {MIN_PASSPHRASE} characters",
            hint="six random words are easier to type and harder to guess than twelve odd characters",
        )
