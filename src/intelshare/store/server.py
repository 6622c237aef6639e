"""Where the PostgreSQL stands that holds a node's rows, as ``node.toml`` names it; needs no library."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from intelshare.errors import ConfigError
from intelshare.private_files import read_secret, read_trusted, secrets_folder

SCHEMA: Final = "intelshare"
"""The schema in the database that holds the tables, if ``node.toml`` names none."""

_SCHEMES: Final = ("postgresql", "postgres")
_OPTIONS: Final = ("host", "sslrootcert", "sslcert", "sslkey")
"""What may stand behind the ``?`` of an URL. Everything else is decided here."""

_MOST_NAME: Final = 40
_MOST_PASSWORD: Final = 4096


@dataclass(frozen=True, slots=True)
class Server:
    """One schema of one database. Holds no secret."""

    url: str
    schema: str = SCHEMA
    password_file: str = ""
    """Below the data folder, or ``secrets:`` and a name; empty: libpq's own (pgpass), or none is needed."""

    def password(self, folder: Path) -> str | None:
        """Read the password from its file. Raises ConfigError NOT_FOUND, UNSAFE_FILE, TOO_LARGE."""
        if not self.password_file:
            return None
        name = self.password_file.removeprefix("secrets:")
        mounted = secrets_folder() if name != self.password_file else None
        try:
            if mounted is not None:
                data = read_secret(mounted, name, _MOST_PASSWORD)
            else:
                data = read_trusted(folder / name, _MOST_PASSWORD, secret=True)
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                "NOT_FOUND",
                f"there is no file {self.password_file} with the password of the database",
                hint="[store] password_file in node.toml names it",
            ) from None
        return data.decode("utf-8").strip("\r\n")

    def tls(self) -> str:
        """``sslmode``: the certificate and the name of a server are checked unless it is on this machine."""
        return "prefer" if _is_here(self.url) else "verify-full"


def wrong_url(url: str) -> str | None:
    """Return what is wrong with the URL of a server, or None."""
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return "this is not a URL"
    if parts.scheme not in _SCHEMES:
        return "this begins with postgresql://"
    if ":" in parts.netloc.rpartition("@")[0]:
        return "a password does not stand in the URL: password_file names its file"
    if not parts.path.strip("/") or parts.fragment or "\0" in url:
        return "this names a database: postgresql://USER@HOST/DATABASE"
    for name, _ in options:
        if name not in _OPTIONS:
            return f"only {', '.join(_OPTIONS)} may stand behind the ?"
    return None


def wrong_schema(name: str) -> str | None:
    """Return what is wrong with the name of a schema, or None."""
    plain = name.isascii() and name.replace("_", "a").isalnum() and name == name.lower()
    if not plain or not name[:1].isalpha() or len(name) > _MOST_NAME or name.startswith("pg_"):
        return f"a schema has up to {_MOST_NAME} small letters, digits and _, and begins with a letter"
    return None


def _is_here(url: str) -> bool:
    """Return true if all hosts of a URL are sockets of this machine, or its loopback."""
    parts = urlsplit(url)
    hosts = [_host(one) for one in parts.netloc.rpartition("@")[2].split(",")]
    hosts += [value for name, one in parse_qsl(parts.query) if name == "host" for value in one.split(",")]
    return all(not host or host.startswith("/") or _is_loopback(host) for host in hosts)


def _host(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return unquote(text.partition(":")[0])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
