"""The catalogue of codes and the table of exit codes, on which programs and people can rely."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib.resources import files


class Exit(IntEnum):
    """The exit codes of commands."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    DENIED = 3
    NOT_AUTHENTICATED = 4
    PARTLY = 5
    UNREACHABLE = 6
    NOT_VERIFIED = 7
    NOT_FOUND = 8
    CONFLICT = 9
    TIMED_OUT = 10
    UNKNOWN = 11
    PENDING = 12
    INTERRUPTED = 130


EXIT_MEANINGS = {
    Exit.DONE: "done",
    Exit.FAILED: "failed",
    Exit.USAGE: "wrong usage, or input that cannot be used",
    Exit.DENIED: "denied by policy",
    Exit.NOT_AUTHENTICATED: "not authenticated, or not authorised by the user's role",
    Exit.PARTLY: "partly released (--strict), part of a batch refused, or proved by unconfirmed keys",
    Exit.UNREACHABLE: "node unreachable: nothing was stored",
    Exit.NOT_VERIFIED: "verification failed",
    Exit.NOT_FOUND: "not found",
    Exit.CONFLICT: "conflict with existing data",
    Exit.TIMED_OUT: "timed out waiting",
    Exit.UNKNOWN: "outcome unknown: a command that resolves it was printed",
    Exit.PENDING: "changes pending: nothing was written (policy plan, policy apply)",
    Exit.INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, slots=True)
class Code:
    """One code: the exit code, the meaning, and what to do next."""

    exit: Exit
    means: str
    next: str


@cache
def catalogue() -> dict[str, Code]:
    """Return all codes of ``codes.toml``."""
    import tomllib

    text = files("intelshare.cli.shared").joinpath("codes.toml").read_text("utf-8")
    return {
        name: Code(Exit(row["exit"]), row["means"], row["next"]) for name, row in tomllib.loads(text).items()
    }


def exit_of(code: str) -> Exit:
    """Return the exit code with which an error of this code ends a command."""
    known = catalogue().get(code)
    return Exit.FAILED if known is None else known.exit
