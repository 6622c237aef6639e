"""The console over the running demo: a process of its own, on the node of the scenario's first analyst."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from intelshare.demo.interrupt import undisturbed
from intelshare.demo.scenario import Analyst
from intelshare.demo.stage import Stage, last_lines
from intelshare.errors import ConfigError, Place
from intelshare.patience import patient
from intelshare.tethered import tethered

_GRACE: Final = 5.0
"""Seconds that the console has to stop by itself; INTELSHARE_PATIENCE scales it."""


@contextmanager
def console(stage: Stage, viewer: Analyst) -> Iterator[str]:
    """Start a console as this analyst and an operator of its member; yield its address.

    Raises ConfigError EXTRA_MISSING, or INTERNAL if the console does not start.
    """
    site = stage.sites[viewer.member]
    log = stage.folder / "console.log"
    words = [sys.executable, "-m", "intelshare", "console", "--json"]
    words += ["--as", stage.profile(viewer), "--also", str(site.profile("operator"))]
    # A signal that came meanwhile is raised where the inner block ends: its end is noted by then.
    with ExitStack() as undo:
        with log.open("ab") as errors, undisturbed():
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and folder
                tethered(words),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=stage.folder,
            )
            undo.callback(_ended, process)
        yield _address(process, "\n".join(last_lines(log, 3)))


def _ended(process: subprocess.Popen[bytes]) -> None:
    with undisturbed():
        process.terminate()
        try:
            process.wait(patient(_GRACE))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _address(process: subprocess.Popen[bytes], said: str) -> str:
    said_first = process.stdout.readline() if process.stdout is not None else b""
    try:
        document = json.loads(said_first)
        return str(document["url"])
    except (ValueError, KeyError):
        code = "EXTRA_MISSING" if b"EXTRA_MISSING" in said_first else "INTERNAL"
        raise ConfigError(
            code,
            "the console did not start",
            place=Place("demo --console"),
            hint=said or "pip install 'intelshare[console]'",
        ) from None
