"""Renews a user's certificate: on demand, and by any command in the last third of its life.

The key is made here and stays here; a certificate request is sent. The node invalidates the previous
certificate when the new one is first used, so a lost answer costs nothing: the request is repeated.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from intelshare.client.profile import Credentials, Profile, read_credentials, replace_credentials
from intelshare.errors import IntelshareError
from intelshare.instant import HOUR, Instant
from intelshare.private_files import write_private

if TYPE_CHECKING:
    from intelshare.client.connection import Client
    from intelshare.wire.v1 import user_pb2 as pb

AGAIN: Final = HOUR
"""The time after a failure without a new attempt; it is reported only once until an attempt succeeds.
"""

_LOCK: Final = "renewing"
_FAILED: Final = "not-renewed"
_VALIDITY: Final = "validity"
"""Files in the folder of a profile."""


class Validity(NamedTuple):
    """The half-open interval in which a certificate is valid."""

    start: Instant
    end: Instant

    def is_due(self, now: Instant) -> bool:
        """Return true in the last third of its life, but not after its end."""
        return self.end - (self.end - self.start) // 3 <= now < self.end


def validity_of(profile: Profile) -> Validity:
    """Return the interval in which the profile's certificate is valid.

    Raises ConfigError NOT_FOUND, UNSAFE_FILE, TrustError PEER_IDENTITY_INVALID.
    """
    from intelshare.crypto.x509 import from_pem, validity

    valid = validity(from_pem(read_credentials(profile).certificate))
    return Validity(valid.start, valid.end)


def _known_validity(profile: Profile) -> Validity:
    """Return the same, as noted when this certificate was last read: every command asks, and reading it takes
    a tenth of a second.
    """
    found, note = profile.certificate.stat(), profile.folder / _VALIDITY
    stamp = [found.st_mtime_ns, found.st_ino]
    with contextlib.suppress(OSError, ValueError, UnicodeDecodeError):
        *of, start, end = map(int, note.read_text("ascii").split())
        if of == stamp:
            return Validity(Instant(start), Instant(end))
    valid = validity_of(profile)
    write_private(note, " ".join(map(str, (*stamp, *valid))).encode())
    return valid


def renew(profile: Profile) -> None:
    """Make a new key, and get a certificate for it, using the certificate that is still valid.

    Raises what a call of ``Client`` raises; then the profile is unchanged.
    """
    from intelshare.client.connection import Client

    with Client(profile) as client:
        credentials = ask_for_certificate(client)
    replace_credentials(profile, credentials)
    first_use(profile)


def renew_if_due(profile: Profile, now: Instant, say: Callable[[str], object]) -> bool:
    """Renew a certificate in the last third of its life; return true if it was renewed. A failure is reported
    once, and stops nobody.
    """
    try:
        if not _known_validity(profile).is_due(now):
            return False
        with _alone(profile) as alone:
            # Another command may have renewed it in the meantime; after a failure the node is not asked again
            # at once.
            if not alone or not _known_validity(profile).is_due(now) or _failed_lately(profile, now):
                return False
            try:
                renew(profile)
            except IntelshareError as error:
                if not _known_validity(profile).is_due(now):
                    # The certificate was replaced, and only its first use failed: the command itself will
                    # report that.
                    return True
                _failed(
                    profile,
                    now,
                    f"your certificate could not be renewed: {error.message} [{error.code}]",
                    say,
                )
                return False
            (profile.folder / _FAILED).unlink(missing_ok=True)
            return True
    except (IntelshareError, OSError):
        # Whatever is wrong with the profile, the command itself will meet and report it.
        return False


def ask_for_certificate(client: Client) -> Credentials:
    """Make a key, and get a certificate for it for the client's user."""
    from intelshare.crypto.x509 import request_key
    from intelshare.wire.v1 import user_pb2 as pb

    made = request_key(os.urandom)
    return credentials_from(client.operate("Renew", pb.RenewRequest(request=made.request)), made.key)


def credentials_from(given: pb.UserCredential, key: bytes) -> Credentials:
    """Return the certificate that a node has issued, with its key."""
    return Credentials(given.certificate_pem, given.node_authority_pem, key)


def first_use(profile: Profile) -> None:
    """Connect with a new certificate, which invalidates the previous one."""
    from intelshare.client.connection import Client

    with Client(profile) as client:
        client.whoami()


@contextlib.contextmanager
def _alone(profile: Profile) -> Iterator[bool]:
    """Yield true if no other command is renewing this profile."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(profile.folder / _LOCK, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _failed_lately(profile: Profile, now: Instant) -> bool:
    try:
        at = int((profile.folder / _FAILED).read_text("ascii"))
    except (OSError, ValueError):
        return False
    return 0 <= now - at < AGAIN


def _failed(profile: Profile, now: Instant, what: str, say: Callable[[str], object]) -> None:
    told = (profile.folder / _FAILED).exists()
    write_private(profile.folder / _FAILED, str(now).encode())
    if not told:
        say(f"{what}; it stays valid until it expires, and renewal is tried again")
