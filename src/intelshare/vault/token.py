"""Signing keys in a token (PKCS #11): one half of each signature is made there, and its key never leaves it.

The other half is the vault's, and verification needs both: whoever copies the vault can sign nothing. A token
cannot hold sealing keys, because none gives what HPKE needs of ML-KEM (decision 68).
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from intelshare.crypto.pae import sha256
from intelshare.crypto.suites import p384_half
from intelshare.errors import ConfigError, VaultError

KEY: Final = "intelshare"
"""The label of the keys in a token, if ``node.toml`` names none."""

_EDWARDS25519: Final = b"\x13\x0cedwards25519"
"""EC_PARAMS of PKCS #11 3.0 for Ed25519: the name of the curve as a PrintableString."""

_P384: Final = b"\x06\x05\x2b\x81\x04\x00\x22"
"""EC_PARAMS for P-384: the object identifier 1.3.132.0.34."""

_TRIED: Final = b"intelshare: does the token sign?"
"""Signed to learn whether a token works again. Half a signature over this verifies nowhere."""


@dataclass(frozen=True, slots=True)
class TokenPlace:
    """Where a token is, as ``node.toml`` names it. Holds no secret."""

    module: str
    """The path of the library of its maker."""
    token: str
    """The token's label."""
    key: str = KEY
    """The label of the keys in it."""
    pin_file: str = ""
    """A file below the data folder, or ``secrets:`` and a name; empty: the PIN is asked for."""


@dataclass(frozen=True, slots=True)
class _Kind:
    params: bytes
    edwards: bool
    public: int


_KINDS: Final = {1: _Kind(_EDWARDS25519, True, 32), 2: _Kind(_P384, False, 97)}
"""The first half of a signature, by suite."""


class Token:
    """An open token. Its calls may come from any thread; they wait for each other."""

    def __init__(self, session: Any, label: str, again: Callable[[], Any] | None = None) -> None:
        """``again``: opens another session, after the token was away."""
        self._session, self._label, self._again = session, label, again
        self._one = threading.Lock()
        self._keys: dict[bytes, Any] = {}
        """The private keys that have been looked up in this session, by public key."""
        self._failed: Callable[[bytes], bytes] | None = None
        """Signs with the key with which the token did not sign the last time."""
        self.tell: Callable[[str], None] = lambda _: None
        """Called in any thread with TOKEN_FAILED when the token stops signing, and with "" after that."""

    def make(self, suite: int) -> bytes:
        """Make a key pair for the first half of a suite's signatures; its public key.

        Raises VaultError TOKEN_FAILED.
        """
        import pkcs11

        kind = _kind(suite)
        one = pkcs11.KeyType.EC_EDWARDS if kind.edwards else pkcs11.KeyType.EC
        mechanism = (
            pkcs11.Mechanism.EC_EDWARDS_KEY_PAIR_GEN if kind.edwards else pkcs11.Mechanism.EC_KEY_PAIR_GEN
        )
        with self._one, _failing("make a key"):
            params = self._session.create_domain_parameters(
                one, {pkcs11.Attribute.EC_PARAMS: kind.params}, local=True
            )
            public, private = params.generate_keypair(
                mechanism=mechanism,
                store=True,
                label=self._label,
                private_template={pkcs11.Attribute.SENSITIVE: True, pkcs11.Attribute.EXTRACTABLE: False},
            )
            point = bytes(public[pkcs11.Attribute.EC_POINT])[-kind.public :]
            for made in (public, private):
                made[pkcs11.Attribute.ID] = sha256(point)
        return point

    def signing(self, suite: int, public: bytes) -> Callable[[bytes], bytes]:
        """Return what signs with the key of this public key. Raises VaultError NOT_FOUND, TOKEN_FAILED."""
        import pkcs11

        kind = _kind(suite)
        with self._one, _failing("look for a key"):
            found = list(self._session.get_objects(_template(pkcs11.ObjectClass.PRIVATE_KEY, public)))
        if len(found) != 1:
            raise VaultError(
                "NOT_FOUND",
                f"the token has no signing key {sha256(public).hex()[:16]}",
                hint="another token, or it was set up again: `intelshare vault rotate` makes another key",
            )
        self._keys[public] = found[0]

        def half(message: bytes) -> bytes:
            key = self._keys.get(public)
            if key is None:
                key = self._session.get_key(pkcs11.ObjectClass.PRIVATE_KEY, id=sha256(public))
                self._keys[public] = key
            if kind.edwards:
                return bytes(key.sign(message, mechanism=pkcs11.Mechanism.EDDSA))
            digest = hashlib.sha384(message).digest()
            return p384_half(bytes(key.sign(digest, mechanism=pkcs11.Mechanism.ECDSA)))

        return lambda message: self._sign(half, message)

    def try_again(self) -> None:
        """Sign with the key that failed the last time, if one did: in another session if this one has ended.

        Raises VaultError TOKEN_FAILED.
        """
        if (failed := self._failed) is None:
            return
        try:
            self._sign(failed, _TRIED)
        except VaultError:
            self._open_again()
            self._sign(failed, _TRIED)

    def _open_again(self) -> None:
        import pkcs11

        with self._one, _failing("be opened"):
            if self._again is None:
                raise pkcs11.SessionClosed
            self._keys.clear()
            try:
                self._session = self._again()
            except _wrong_pin():
                self._again = None  # a token locks itself after a few wrong PINs
                raise

    def _sign(self, half: Callable[[bytes], bytes], message: bytes) -> bytes:
        with self._one:
            try:
                with _failing("sign"):
                    made = half(message)
            except VaultError as error:
                known, self._failed = self._failed, half
                if known is None:
                    self.tell(error.code)
                raise
            if self._failed is not None:
                self._failed = None
                self.tell("")
            return made

    def destroy(self, public: bytes) -> None:
        """Destroy the pair of this public key, if it is there. Raises VaultError TOKEN_FAILED."""
        import pkcs11

        with self._one, _failing("destroy a key"):
            for kind in (pkcs11.ObjectClass.PRIVATE_KEY, pkcs11.ObjectClass.PUBLIC_KEY):
                for found in list(self._session.get_objects(_template(kind, public))):
                    found.destroy()
            self._keys.pop(public, None)
            if self._failed is not None:  # it may be the key that is tried
                self._failed = None
                self.tell("")

    def close(self) -> None:
        """End the session."""
        with self._one:
            self._session.close()


def open_token(place: TokenPlace, pin: bytes) -> Token:
    """Open a token for a process's life.

    Raises ConfigError EXTRA_MISSING, VaultError NOT_FOUND, KEYSTORE_PASSWORD, TOKEN_FAILED.
    """
    if find_spec("pkcs11") is None:
        raise ConfigError(
            "EXTRA_MISSING",
            "signing keys in a token need an extra that is not installed",
            hint="pip install 'intelshare[pkcs11]'",
        )
    import pkcs11

    def opened() -> Any:
        token = pkcs11.lib(place.module).get_token(token_label=place.token)
        return token.open(rw=True, user_pin=pin.decode("utf-8", "replace"))

    def again() -> Any:
        # A module that has lost a token does not see it again before its next start.
        pkcs11.lib(place.module).reinitialize()
        return opened()

    try:
        session = opened()
    except _wrong_pin() as error:
        raise VaultError(
            "KEYSTORE_PASSWORD",
            f"the PIN does not open the token {place.token}: {type(error).__name__}",
            hint="check the file that [token] pin_file names: a token locks itself after a few wrong PINs",
        ) from None
    except RuntimeError as error:
        if isinstance(error, pkcs11.PKCS11Error) and not isinstance(error, pkcs11.NoSuchToken):
            raise _failed("be opened", error) from None
        raise VaultError(
            "NOT_FOUND",
            f"there is no token {place.token}: {error or type(error).__name__}",
            hint="[token] in node.toml names the module's library and the token's label",
        ) from None
    return Token(session, place.key, again)


def _wrong_pin() -> tuple[type[BaseException], ...]:
    import pkcs11

    return pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange, pkcs11.PinLocked


def _template(kind: Any, public: bytes) -> dict[Any, Any]:
    import pkcs11

    return {pkcs11.Attribute.CLASS: kind, pkcs11.Attribute.ID: sha256(public)}


def _kind(suite: int) -> _Kind:
    if suite not in _KINDS:
        raise VaultError("TOKEN_FAILED", f"a token has no keys of suite {suite}", hint="leave [token] out")
    return _KINDS[suite]


@contextlib.contextmanager
def _failing(what: str) -> Iterator[None]:
    """Raise TOKEN_FAILED for what a token says."""
    import pkcs11

    try:
        yield
    except pkcs11.PKCS11Error as error:
        raise _failed(what, error) from None


def _failed(what: str, error: BaseException) -> VaultError:
    return VaultError(
        "TOKEN_FAILED",
        f"the token could not {what}: {error if str(error) else type(error).__name__}",
        hint="look whether the token is there: a running node tries it again, and refuses meanwhile what "
        "needs a signature",
    )
