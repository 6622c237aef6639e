"""A PostgreSQL for tests: one that a variable names, or one that this process starts."""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from intelshare.patience import patient
from intelshare.ports import Table
from intelshare.store.postgres.connection import connect
from intelshare.store.postgres.schema import first_schema, migrate
from intelshare.store.server import Server
from store_tables import TABLES

NAMED = "INTELSHARE_TEST_POSTGRES"
"""The URL of a database in which tests may make schemas."""

LIMIT = 60.0
"""Seconds for a program of the server, and for an answer, scaled by INTELSHARE_PATIENCE."""

_schemas = count(1)


@dataclass
class Cluster:
    """A server of this process alone, in a folder of its own, on a socket in it."""

    root: Path
    programs: Path
    options: str = ""
    user: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.user = "postgres" if os.geteuid() == 0 else None

    @property
    def as_user(self) -> list[str]:
        """What runs a command as its user: the server does not run as root."""
        return ["setpriv", "--reuid", self.user, "--regid", self.user, "--clear-groups"] if self.user else []

    @property
    def data(self) -> Path:
        """Its files."""
        return self.root / "data"

    @property
    def url(self) -> str:
        """How it is reached."""
        return f"postgresql://postgres@/postgres?host={self.root}"

    def run(self, program: str, *words: str) -> None:
        """One of its programs, to its end."""
        done = subprocess.run(
            [*self.as_user, self.programs / program, *words],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            timeout=patient(LIMIT),
        )
        assert done.returncode == 0, (program, words, done.stdout, done.stderr)

    def make(self) -> None:
        """An empty cluster."""
        if self.user is not None:
            shutil.chown(self.root, self.user)
        self.run(
            "initdb",
            "-D",
            str(self.data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
            "-k",
        )
        with (self.data / "postgresql.conf").open("a") as settings:
            settings.write("max_connections = 60\n")

    def make_standby(self, primary: Cluster, name: str) -> None:
        """A copy of another cluster that follows it under this name once it serves."""
        if self.user is not None:
            shutil.chown(self.root, self.user)
        source = f"host={primary.root} user=postgres application_name={name}"
        self.run("pg_basebackup", "-D", str(self.data), "-d", source, "-R", "-X", "stream", "-c", "fast")

    def set(self, name: str, value: str) -> None:
        """Give a setting another value, at once and for ever."""
        asked(self.url, f"ALTER SYSTEM SET {name} = '{value}'")
        asked(self.url, "SELECT pg_reload_conf()")

    def start(self, *options: str) -> None:
        """Serve."""
        words = f"-k {self.root} -c listen_addresses='' {self.options} {' '.join(options)}"
        self.run(
            "pg_ctl",
            "-D",
            str(self.data),
            "-w",
            "-t",
            "60",
            "-l",
            str(self.root / "log"),
            "-o",
            words,
            "start",
        )

    def stop(self, mode: str = "fast") -> None:
        """End serving; ``immediate``: as if it had crashed."""
        self.run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def restart(self, mode: str = "immediate") -> None:
        """End and serve again."""
        self.stop(mode)
        self.start()

    def pid(self) -> int:
        """Of the process above all of its processes."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])


def programs() -> Path | None:
    """The folder of the newest server's programs that are installed here."""
    found = shutil.which("initdb")
    places = (
        [Path(found).resolve().parent]
        if found
        else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    usable = os.geteuid() != 0 or any(entry.pw_name == "postgres" for entry in pwd.getpwall())
    return next((place for place in places if (place / "initdb").exists()), None) if usable else None


def new_cluster(options: str = "", follows: tuple[Cluster, str] | None = None) -> Cluster:
    """A cluster of one's own, which serves; ends with this process. Skips the test where none can be.

    ``follows``: the primary of which it is a standby, and the name under which.
    """
    where = programs()
    if where is None:
        pytest.skip(f"no PostgreSQL is installed here, and {NAMED} names none")
    root = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    cluster = Cluster(root, where, options)
    _end_with_this_process(cluster)
    if follows is None:
        cluster.make()
    else:
        cluster.make_standby(*follows)
    cluster.start()
    return cluster


def _end_with_this_process(cluster: Cluster) -> None:
    """Stop it and remove its folder when this process ends, also by SIGKILL: then a pipe to a shell ends."""
    stop = [*cluster.as_user, cluster.programs / "pg_ctl", "-D", cluster.data, "-m", "immediate", "stop"]
    words = f"read _; {shlex.join(map(str, stop))}; rm -rf {shlex.quote(str(cluster.root))}"
    shell = subprocess.Popen(
        ["sh", "-c", words],
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    atexit.register(shell.communicate)


@functools.cache
def _url() -> str:
    return os.environ.get(NAMED) or new_cluster().url


def server_url() -> str:
    """A server for tests that only need one. Skips the test where there is none."""
    return _url()


def new_schema() -> str:
    """A name that no other test has."""
    return f"t{os.getpid()}_{next(_schemas)}"


def make_schema(server: Server | None, tables: Sequence[Table[Any]] = TABLES) -> None:
    """A schema with these tables, made as an upgrade makes one."""
    assert server is not None
    connection = connect(server, Path("/"), "test", writes=True)
    migrate(connection, server.schema, [first_schema(tables)])
    connection.close()


def asked(url: str, sql: str) -> list[tuple[object, ...]]:
    """What the server answers, on a connection beside all others."""
    seconds = int(patient(LIMIT))
    limits = {"connect_timeout": seconds, "options": f"-c statement_timeout={seconds}s"}
    with psycopg.connect(url, autocommit=True, **limits) as connection:  # type: ignore[arg-type]
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []
