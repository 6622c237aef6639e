"""The keys of a machine's member, as a vault keeps them: durable at once, whatever the disk forgets."""

from __future__ import annotations

from collections.abc import Iterable

from intelshare.crypto.records import KeyRecord, KeyUse
from intelshare.crypto.suites import Signer, Suite, load_signer
from intelshare.envelope import SealingKeyHeld
from intelshare.ids import KeyId
from intelshare.trust import SecretKey


class Keys:
    """The secrets by key id."""

    def __init__(self, suite: Suite, keys: Iterable[SecretKey], storage_key: bytes) -> None:
        self.suite = suite
        self.storage_key = storage_key
        self.retired: frozenset[KeyId] = frozenset()
        self._held = {key.key_id: key for key in keys}

    def copy(self) -> Keys:
        """Return a copy."""
        made = Keys(self.suite, self._held.values(), self.storage_key)
        made.retired = self.retired
        return made

    def without_sealing(self) -> Keys:
        """Return the keys as a backup holds them: those that open are retired."""
        made = self.copy()
        made.retire(self.sealing())
        return made

    def ids(self) -> tuple[KeyId, ...]:
        """Return the ids of all keys that are held."""
        return tuple(self._held)

    def records(self) -> dict[KeyId, KeyRecord]:
        """Return the records of all keys that are held."""
        return {key.key_id: key.record for key in self._held.values()}

    def put(self, key: SecretKey) -> None:
        """Keep a new key."""
        self._held[key.key_id] = key

    def retire(self, ids: Iterable[KeyId]) -> None:
        """Destroy these keys."""
        for key_id in ids:
            del self._held[key_id]
            self.retired |= {key_id}

    def signer(self, key_id: KeyId) -> Signer:
        """Return the signer of a key that is held."""
        key = self._held[key_id]
        return load_signer(self.suite, key.record, key.key_id, key.secret)

    def directory_signer(self) -> Signer:
        """Return the signer of this member's directory."""
        return self.signer(next(k.key_id for k in self._held.values() if k.record.use is KeyUse.DIRECTORY))

    def sealing(self) -> dict[KeyId, SealingKeyHeld]:
        """Return all sealing keys that can still open."""
        return {
            key.key_id: SealingKeyHeld(key.record, self.suite.load_sealing(key.secret))
            for key in self._held.values()
            if key.record.use is KeyUse.SEALING
        }
