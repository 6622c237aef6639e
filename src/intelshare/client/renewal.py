"""A user's certificate is renewed by its user: by hand, and by any command in the last third of its life.

The key is made here and stays here; what is sent is a request for a certificate of it. The node ends the
certificate of before when the new one is first used, so that a lost answer costs nothing: it is asked again.
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
"""After a failure it is not tried again for so long, and not said again until another one succeeds."""

_LOCK: Final = "renewing"
_FAILED: Final = "not-renewed"
_VALIDITY: Final = "validity"
"""Files in the folder of a profile."""


class Validity(NamedTuple):
    """Half-open interval in which a certificate is valid."""

    start: Instant
    end: Instant

    def is_due(self, now: Instant) -> bool:
        """Whether this is the last third of its life, and not after it."""
        return self.end - (self.end - self.start) // 3 <= now < self.end


def validity_of(profile: Profile) -> Validity:
    """From when and until when the profile's certificate is valid.

    Raises ConfigError NOT_FOUND, UNSAFE_FILE, TrustError PEER_IDENTITY_INVALID.
    """
    from intelshare.crypto.x509 import from_pem, validity

    valid = validity(from_pem(read_credentials(profile).certificate))
    return Validity(valid.start, valid.end)


def _known_validity(profile: Profile) -> Validity:
    """The same, as it was noted when this certificate was last read: every command asks, and reading it takes
    a tenth of a second."""
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
    """Make a new key, and have a certificate of it, with the certificate that is still good.

    Raises what a call of ``Client`` raises; then the profile is as it was.
    """
    from intelshare.client.connection import Client

    with Client(profile) as client:
        credentials = ask_for_certificate(client)
    replace_credentials(profile, credentials)
    first_use(profile)


def renew_if_due(profile: Profile, now: Instant, say: Callable[[str], object]) -> None:
    """Renew a certificate in the last third of its life. A failure is said once, and stops nobody."""
    try:
        if not _known_validity(profile).is_due(now):
            return
        with _alone(profile) as alone:
            # Another command may have renewed it meanwhile; where it failed it is not asked again at once.
            if not alone or not _known_validity(profile).is_due(now) or _failed_lately(profile, now):
                return
            try:
                renew(profile)
            except IntelshareError as error:
                _failed(
                    profile,
                    now,
                    f"your certificate could not be renewed: {error.message} [{error.code}]",
                    say,
                )
            else:
                (profile.folder / _FAILED).unlink(missing_ok=True)
    except (IntelshareError, OSError):
        # Whatever is wrong with the profile, the command itself meets it and says it.
        return


def ask_for_certificate(client: Client) -> Credentials:
    """Make a key, and have a certificate of it for whoever the client comes in as."""
    from intelshare.crypto.x509 import request_key
    from intelshare.wire.v1 import user_pb2 as pb

    made = request_key(os.urandom)
    return credentials_from(client.operate("Renew", pb.RenewRequest(request=made.request)), made.key)


def credentials_from(given: pb.UserCredential, key: bytes) -> Credentials:
    """The certificate that a node has given, with the key that it is of."""
    return Credentials(given.certificate_pem, given.node_authority_pem, key)


def first_use(profile: Profile) -> None:
    """Come in with a new certificate: what was before it ends now."""
    from intelshare.client.connection import Client

    with Client(profile) as client:
        client.whoami()


@contextlib.contextmanager
def _alone(profile: Profile) -> Iterator[bool]:
    """Whether no other command renews this profile now."""
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
        say(f"{what}; it is good until its end, and is tried again")
