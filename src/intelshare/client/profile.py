"""A profile folder, which names a node and a user, and how it is found.

profile.toml cert.pem key.pem ca.pem spool/

``intelshare enrol`` makes one. It is found by the first of these that is given: ``--as FOLDER``;
INTELSHARE_PROFILE; ``profile`` in ``.intelshare.toml`` here or above, as far as the folders belong to the
user; ``$XDG_CONFIG_HOME/intelshare/profile.toml``. No file is read that others could have put there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from intelshare.errors import ConfigError, Place
from intelshare.private_files import read_trusted, write_private
from intelshare.starting import start_command

FILE = "profile.toml"
LOCAL_FILE = ".intelshare.toml"
_FIELDS = frozenset(("member", "user", "address", "node_folder", "server_name"))


@dataclass(frozen=True, slots=True)
class Profile:
    """One person at one node. The certificate and the key are files in ``folder``."""

    folder: Path
    member: str
    user: str
    address: str
    """The ``host:port`` of the user port, or of those of several replicas, separated by commas; empty: as the
    current ``run.json`` of ``node_folder`` says.
    """
    node_folder: str
    """The data folder of a node on this machine whose port may change; empty otherwise. May be relative."""
    server_name: str
    """The DNS name in the node's certificate."""

    @property
    def node_at(self) -> str:
        """Where its node is found: the address, or the whole path of the data folder."""
        return self.address or str((self.folder / self.node_folder).resolve())

    @property
    def certificate(self) -> Path:
        """The path of the certificate in PEM."""
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        """The path of the key in PEM, mode 0600."""
        return self.folder / "key.pem"

    @property
    def authority(self) -> Path:
        """The path of the PEM certificate of the authority for this member's nodes."""
        return self.folder / "ca.pem"

    @property
    def spool(self) -> Path:
        """The folder of the idempotency keys of what was sent (promises.md P2)."""
        return self.folder / "spool"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of a client, and the authority by which it verifies the node."""

    certificate: bytes
    """The certificate in PEM."""
    authority: bytes
    """The authority's certificate in PEM."""
    key: bytes = field(repr=False)
    """The key in PEM."""


def read_credentials(profile: Profile) -> Credentials:
    """Return the profile's certificate, its key and the node's authority, which always belong together.

    Raises ConfigError NOT_FOUND, UNSAFE_FILE.
    """
    _finish(profile)
    with _folder_lock(profile, fcntl.LOCK_SH):
        return Credentials(
            certificate=_read(profile.certificate),
            authority=_read(profile.authority),
            key=_read(profile.key, secret=True),
        )


def replace_credentials(profile: Profile, credentials: Credentials) -> None:
    """Replace the profile's credentials, all or none; the rest of the profile stays.

    Raises StoreError DISK_FULL, DISK_ERROR, OSError.
    """
    _finish(profile)
    # The certificate is written last: whoever finds its new file finds all of them, and completes the change.
    write_private(_next(profile.key), credentials.key)
    write_private(_next(profile.authority), credentials.authority)
    write_private(_next(profile.certificate), credentials.certificate)
    _finish(profile)


def _finish(profile: Profile) -> None:
    """Move new files into place, if they are complete."""
    if not _next(profile.certificate).exists():
        return
    with _folder_lock(profile, fcntl.LOCK_EX):
        for path in (profile.key, profile.authority, profile.certificate):
            with contextlib.suppress(FileNotFoundError):
                _next(path).rename(path)


def _next(path: Path) -> Path:
    return path.with_name(f"{path.stem}.next{path.suffix}")


@contextlib.contextmanager
def _folder_lock(profile: Profile, kind: int) -> Iterator[None]:
    """Hold a lock, so that nobody reads the files while they change."""
    try:
        descriptor = os.open(profile.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(profile.folder, error) from None
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path, *, secret: bool = False) -> bytes:
    try:
        return read_trusted(path, secret=secret)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError("NOT_FOUND", f"cannot be read: {error.strerror}", place=Place(str(path)))


def write_profile(profile: Profile, credentials: Credentials) -> None:
    """Make the folder (0700) with all its files (0600), durably.

    Raises ConfigError ID_CONFLICT if it exists; what ``write_private`` raises.
    """
    try:
        profile.folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise ConfigError(
            "ID_CONFLICT", "the profile folder already exists", place=Place(str(profile.folder))
        ) from None
    profile.folder.chmod(0o700)
    contents = {
        profile.folder / FILE: _text(profile),
        profile.certificate: credentials.certificate,
        profile.key: credentials.key,
        profile.authority: credentials.authority,
    }
    for path, content in contents.items():
        write_private(path, content)


def renew_profile(there: Profile, wanted: Profile, credentials: Credentials) -> str:
    """Put new credentials into a profile that is there, and let it find its node as ``wanted`` does: whoever
    makes another enrolment knows where the node is now. Return what changed of that, for people, or nothing.

    Raises what ``replace_credentials`` raises.
    """
    moved = (there.node_at, there.server_name) != (wanted.node_at, wanted.server_name)
    if moved:  # otherwise the file stays as its user wrote it
        write_private(there.folder / FILE, _text(wanted))
    replace_credentials(there, credentials)
    if not moved:
        return ""
    return f"the profile named the node at {there.node_at}, and names it at {wanted.node_at} now"


def _text(profile: Profile) -> bytes:
    """Return the content of ``FILE``."""
    lines = [
        f'member = "{profile.member}"',
        f'user = "{profile.user}"',
        f'server_name = "{profile.server_name}"',
        f'address = "{profile.address}"' if profile.address else f'node_folder = "{profile.node_folder}"',
    ]
    return ("\n".join(lines) + "\n").encode()


def profile_at(wanted: Profile) -> Profile | None:
    """Return the profile of this user that the folder already has, or None if there is nothing.

    Raises ConfigError ID_CONFLICT if it contains something else, and what ``read_profile`` raises.
    """
    folder = wanted.folder
    there = read_profile(folder) if (folder / FILE).exists() else None
    if folder.exists() and (there is None or (there.member, there.user) != (wanted.member, wanted.user)):
        raise ConfigError(
            "ID_CONFLICT",
            "the folder already exists and is not this user's profile",
            place=Place(str(folder)),
            hint="name another folder",
        )
    return there


def find_profile(given: str | None, environment: Mapping[str, str], here: Path) -> Profile:
    """Return the profile in effect. ``given``: the flag's value, a folder.

    Raises ConfigError NOT_FOUND, or what ``read_profile`` raises.
    """
    chosen = choose_profile(given, environment, here)
    if chosen is not None:
        return read_profile(chosen[0])
    raise ConfigError(
        "NOT_FOUND",
        "no profile names the node and the user",
        hint="name its folder with --as FOLDER or INTELSHARE_PROFILE; `intelshare enrol` makes one from the "
        "file that an operator gives you",
    )


def choose_profile(given: str | None, environment: Mapping[str, str], here: Path) -> tuple[Path, str] | None:
    """Return the folder of the profile in effect, and the setting that names it. Raises ConfigError
    FILE_SYNTAX, FIELD_*.
    """
    if given:
        return Path(given), "--as"
    if named := environment.get("INTELSHARE_PROFILE"):
        return Path(named), "INTELSHARE_PROFILE"
    if (local := _local(here, Path(environment.get("HOME", "/")))) is not None:
        return local
    fallback = usual_profile(environment)
    return (fallback, str(fallback / FILE)) if (fallback / FILE).exists() else None


def passed_over(environment: Mapping[str, str], here: Path) -> Path | None:
    """Return a ``.intelshare.toml`` here or above that was ignored because others own its folder or can write
    to it.
    """
    if environment.get("INTELSHARE_PROFILE"):
        return None
    home = Path(environment.get("HOME", "/"))
    above = (here, *here.parents)
    within = above[: above.index(home) + 1] if home in above else above
    trusted = set(_own_folders(here, home))
    planted = (folder / LOCAL_FILE for folder in within if folder not in trusted)
    return next((path for path in planted if os.path.lexists(path)), None)


def usual_profile(environment: Mapping[str, str]) -> Path:
    """Return the folder of the default profile."""
    base = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", "/"), ".config")
    return Path(base) / "intelshare"


def read_profile(folder: Path) -> Profile:
    """Return the profile in a folder.

    Raises ConfigError NOT_FOUND, UNSAFE_FILE (owned by another user, a link, a key that others can read),
    FILE_SYNTAX, FIELD_*.
    """
    path = folder / FILE
    try:
        table = read_table(path, _FIELDS)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "NOT_FOUND",
            "there is no profile here",
            place=Place(str(path)),
            hint="`intelshare enrol` makes one from the file that an operator gives you (`intelshare user "
            "add`)",
        ) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    for name in ("member", "user", "server_name"):
        if not table.get(name):
            raise ConfigError("FIELD_RANGE", f"{name} is missing", place=Place(str(path), field=name))
    profile = Profile(
        folder=folder,
        member=table["member"],
        user=table["user"],
        address=table.get("address", ""),
        node_folder=table.get("node_folder", ""),
        server_name=table["server_name"],
    )
    if not (profile.address or profile.node_folder):
        raise ConfigError("FIELD_RANGE", "address is missing", place=Place(str(path), field="address"))
    if not profile.key.exists():
        raise ConfigError("NOT_FOUND", "the profile has no key", place=Place(str(profile.key)))
    _read(profile.key, secret=True)
    return profile


def address_of(profile: Profile) -> str:
    """Return ``host:port`` of the user port. Raises ConfigError NODE_UNREACHABLE if the node is not
    running.
    """
    if profile.address:
        return profile.address
    folder = (profile.folder / profile.node_folder).resolve()
    if not os.path.lexists(folder / "node.toml"):
        raise ConfigError(
            "NODE_UNREACHABLE",
            f"the profile names its node by the data folder {profile.node_folder}, which is not there: was "
            "one of the two moved?",
            place=Place(str(profile.folder / "profile.toml")),
            hint='write address = "HOST:PORT", the user port of the node, there in the place of node_folder',
        )
    return running_address(folder)


def running_address(node_folder: Path) -> str:
    """Return the same for the node of a data folder on this machine."""
    import json

    path = node_folder / "run.json"
    try:
        running = json.loads(read_trusted(path))
        return f"{running['host']}:{int(running['user_port'])}"
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            "NODE_UNREACHABLE",
            "the node is not running",
            place=Place(str(path)),
            hint=f"start it: {start_command(node_folder)}",
        ) from None


def _local(here: Path, home: Path) -> tuple[Path, str] | None:
    for folder in _own_folders(here, home):
        path = folder / LOCAL_FILE
        try:
            table = read_table(path, frozenset(("profile",)))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise _unreadable(path, error) from None
        if "profile" in table:
            return folder / table["profile"], str(path)
    return None


def _own_folders(here: Path, home: Path) -> Iterator[Path]:
    """Yield this folder and those above it, up to the home folder or the first folder in which others can
    write.
    """
    for folder in (here, *here.parents):
        found = folder.stat()
        shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if shared or found.st_uid not in (os.geteuid(), 0):
            return
        yield folder
        if folder == home:
            return


def read_table(path: Path, known: frozenset[str], *, secret: bool = False) -> dict[str, str]:
    """Return a file of texts by name. Raises ConfigError UNSAFE_FILE, FILE_SYNTAX, FIELD_*; OSError."""
    import tomllib

    try:
        table = tomllib.loads(read_trusted(path, secret=secret).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("FILE_SYNTAX", str(error), place=Place(str(path))) from None
    for name, value in table.items():
        if name not in known:
            raise ConfigError(
                "FIELD_UNKNOWN", f'"{name}" is not a known setting', place=Place(str(path), field=name)
            )
        if not isinstance(value, str):
            raise ConfigError("FIELD_TYPE", f"{name} must be a text", place=Place(str(path), field=name))
    return table
