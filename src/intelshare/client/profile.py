"""Which node a person talks to, as whom: a profile folder, and how it is found.

    profile.toml  cert.pem  key.pem  ca.pem  spool/

``intelshare user add`` writes one. It is found by ``--as FOLDER``, else INTELSHARE_PROFILE, else
``profile = "..."`` in ``.intelshare.toml`` here or above, else ``$XDG_CONFIG_HOME/intelshare/profile.toml``.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from intelshare.errors import ConfigError, Place

FILE = "profile.toml"
LOCAL_FILE = ".intelshare.toml"
_FIELDS = frozenset(("member", "user", "address", "node_folder", "server_name"))


@dataclass(frozen=True, slots=True)
class Profile:
    """One person at one node. Certificate and key are files in ``folder``."""

    folder: Path
    member: str
    user: str
    address: str
    """``host:port`` of the user port; empty: as ``run.json`` of ``node_folder`` says now."""
    node_folder: str
    """Data folder of a node on this machine whose port may change; empty otherwise. May be relative."""
    server_name: str
    """The DNS name in the node's certificate."""

    @property
    def certificate(self) -> Path:
        """PEM."""
        return self.folder / "cert.pem"

    @property
    def key(self) -> Path:
        """PEM, mode 0600."""
        return self.folder / "key.pem"

    @property
    def authority(self) -> Path:
        """PEM of the authority of the own member's nodes."""
        return self.folder / "ca.pem"

    @property
    def spool(self) -> Path:
        """Idempotency keys of what was sent (promises.md P2)."""
        return self.folder / "spool"


def write_profile(profile: Profile, *, certificate: bytes, key: bytes, authority: bytes) -> None:
    """Make the folder (0700) with all its files (0600). Raises ConfigError ID_CONFLICT if it exists."""
    try:
        profile.folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise ConfigError(
            "ID_CONFLICT", "there is a profile folder already", place=Place(str(profile.folder))
        ) from None
    profile.folder.chmod(0o700)
    lines = [
        f'member = "{profile.member}"',
        f'user = "{profile.user}"',
        f'server_name = "{profile.server_name}"',
        f'address = "{profile.address}"' if profile.address else f'node_folder = "{profile.node_folder}"',
    ]
    contents = {
        profile.folder / FILE: ("\n".join(lines) + "\n").encode(),
        profile.certificate: certificate,
        profile.key: key,
        profile.authority: authority,
    }
    for path, content in contents.items():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)


def renew_profile(profile: Profile, *, certificate: bytes, key: bytes, authority: bytes) -> None:
    """Put a new certificate into the folder; what was sent from there, and listed, stays known."""
    from intelshare.private_files import write_private

    for path, content in (
        (profile.key, key), (profile.certificate, certificate), (profile.authority, authority)
    ):  # fmt: skip
        write_private(path, content)


def find_profile(given: str | None, environment: Mapping[str, str], here: Path) -> Profile:
    """The profile that holds here. ``given``: the flag's value, a folder.

    Raises ConfigError NOT_FOUND, or what ``read_profile`` raises.
    """
    chosen = choose_profile(given, environment, here)
    if chosen is not None:
        return read_profile(chosen[0])
    raise ConfigError(
        "NOT_FOUND",
        "no profile says which node to talk to, and as whom",
        hint="name its folder with --as FOLDER or INTELSHARE_PROFILE; `intelshare user add` makes one",
    )


def choose_profile(given: str | None, environment: Mapping[str, str], here: Path) -> tuple[Path, str] | None:
    """The folder of the profile that holds here, and what says so. ConfigError FILE_SYNTAX, FIELD_*."""
    if given:
        return Path(given), "--as"
    if named := environment.get("INTELSHARE_PROFILE"):
        return Path(named), "INTELSHARE_PROFILE"
    if (local := _local(here)) is not None:
        return local
    base = environment.get("XDG_CONFIG_HOME") or os.path.join(environment.get("HOME", "/"), ".config")
    fallback = Path(base) / "intelshare"
    return (fallback, str(fallback / FILE)) if (fallback / FILE).exists() else None


def read_profile(folder: Path) -> Profile:
    """The profile in a folder.

    Raises ConfigError NOT_FOUND, DATA_PERMISSIONS (key file that others can read), FILE_SYNTAX, FIELD_*.
    """
    import tomllib

    path = folder / FILE
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            "NOT_FOUND",
            "there is no profile here",
            place=Place(str(path)),
            hint="`intelshare user add` makes one",
        ) from None
    except PermissionError:
        raise ConfigError(
            "DATA_PERMISSIONS", "this profile is not yours to read", place=Place(str(path))
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("FILE_SYNTAX", str(error), place=Place(str(path))) from None
    for name, value in table.items():
        if name not in _FIELDS:
            raise ConfigError("FIELD_UNKNOWN", f'a profile has no field "{name}"', place=Place(str(path)))
        if not isinstance(value, str):
            raise ConfigError("FIELD_TYPE", f"{name} must be a text", place=Place(str(path), field=name))
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
    _check_key(profile.key)
    return profile


def address_of(profile: Profile) -> str:
    """``host:port`` of the user port. Raises ConfigError NODE_UNREACHABLE if the node is not running."""
    if profile.address:
        return profile.address
    return running_address((profile.folder / profile.node_folder).resolve())


def running_address(node_folder: Path) -> str:
    """The same for the node of a data folder on this machine."""
    import json

    path = node_folder / "run.json"
    try:
        running = json.loads(path.read_text("utf-8"))
        return f"{running['host']}:{int(running['user_port'])}"
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            "NODE_UNREACHABLE",
            "the node is not running",
            place=Place(str(path)),
            hint=f"start it: intelshare node run --folder {node_folder}",
        ) from None


def _local(here: Path) -> tuple[Path, str] | None:
    import tomllib

    for folder in (here, *here.parents):
        path = folder / LOCAL_FILE
        if not path.is_file():
            continue
        try:
            table = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError("FILE_SYNTAX", str(error), place=Place(str(path))) from None
        for name, value in table.items():
            if name != "profile":
                raise ConfigError(
                    "FIELD_UNKNOWN", f'there is no setting "{name}"', place=Place(str(path), field=name)
                )
            if not isinstance(value, str):
                raise ConfigError("FIELD_TYPE", f"{name} must be a text", place=Place(str(path), field=name))
            return folder / value, str(path)
    return None


def _check_key(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        raise ConfigError("NOT_FOUND", "the profile has no key", place=Place(str(path))) from None
    if mode & 0o077:
        raise ConfigError(
            "DATA_PERMISSIONS",
            f"others may read this key (mode {mode:04o})",
            place=Place(str(path)),
            hint=f"chmod 600 {path}",
        )
