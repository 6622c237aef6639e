"""The keys of a machine's member, as a vault keeps them: durable at once, whatever the disk forgets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from intelshare.crypto.codec import encode
from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.crypto.suites import Signer, Suite, load_signer
from intelshare.envelope import SealingKeyHeld
from intelshare.errors import VaultError
from intelshare.ids import KeyId
from intelshare.trust import SecretKey
from intelshare.vault import Entry, EntryKind, keeps_all


class Keys:
    """The secrets by key id, as one open vault has them; ``state`` counts its changes."""

    def __init__(self, suite: Suite, keys: Iterable[SecretKey], storage_key: bytes) -> None:
        self.suite = suite
        self.storage_key = storage_key
        self.state = 1
        self._held = {key.key_id: key for key in keys}
        self._retired: dict[KeyId, KeyRecord] = {}

    def copy(self) -> Keys:
        """Return a copy."""
        made = Keys(self.suite, self._held.values(), self.storage_key)
        made.state, made._retired = self.state, dict(self._retired)
        return made

    def without_sealing(self) -> Keys:
        """Return the keys as a backup holds them: those that open are retired."""
        made = self.copy()
        made.retire(self.sealing_keys())
        return made

    def is_later_than(self, other: Keys) -> bool:
        """Return True if another replica may take these over, by the rule of a real vault (decision 95)."""
        return self.state > other.state and keeps_all(self._entries(), other._entries())

    def _entries(self) -> Iterator[Entry]:
        yield Entry(EntryKind.STORAGE, b"", b"", self.storage_key)
        for key in self._held.values():
            yield Entry(EntryKind.KEY, key.key_id, encode(KeyRecord, key.record), key.secret)
        for key_id, record in self._retired.items():
            yield Entry(EntryKind.RETIRED, key_id, encode(KeyRecord, record), b"")

    def ids(self) -> tuple[KeyId, ...]:
        """Return the ids of all keys that are held."""
        return tuple(self._held)

    def records(self) -> dict[KeyId, KeyRecord]:
        """Return the records of all keys that are held."""
        return {key.key_id: key.record for key in self._held.values()}

    def put(self, key: SecretKey) -> None:
        """Keep a new key."""
        self._held[key.key_id] = key
        self.state += 1

    def retire(self, ids: Iterable[KeyId]) -> None:
        """Destroy these keys."""
        for key_id in ids:
            self._retired[key_id] = self._held.pop(key_id).record
            self.state += 1

    def retired(self) -> frozenset[KeyId]:
        """Return the ids of the keys that were destroyed."""
        return frozenset(self._retired)

    def signer(self, key_id: KeyId) -> Signer:
        """Return the signer of a key. Raises VaultError NOT_FOUND: a replica may not have followed the vault
        yet.
        """
        key = self._held.get(key_id)
        if key is None:
            raise VaultError("NOT_FOUND", f"the vault has no key {key_id.hex()[:16]}")
        return load_signer(self.suite, key.record, key.key_id, key.secret)

    def first_signer(self, key_ids: Sequence[KeyId]) -> Signer:
        """Return the signer of the first of these keys that is held."""
        return self.signer(next((one for one in key_ids if one in self._held), key_ids[0]))

    def directory_signer(self) -> Signer:
        """Return the signer of this member's directory."""
        return self.signer(next(k.key_id for k in self._held.values() if k.record.use is KeyUse.DIRECTORY))

    def sealing_keys(self) -> dict[KeyId, SealingKeyHeld]:
        """Return all sealing keys that can still open."""
        return {
            key.key_id: SealingKeyHeld(key.record, self.suite.load_sealing(key.secret))
            for key in self._held.values()
            if key.record.use is KeyUse.SEALING
        }
