"""Runs something again whenever a policy file changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from intelshare.cli.shared.output import Out, print_error
from intelshare.errors import ConfigError, IntelshareError

_POLL: Final = 0.3
"""The seconds between two checks of the files."""


def watched(paths: tuple[Path, ...], run: Callable[[], int], out: Out) -> int:
    """Call ``run`` now and after every change below the paths, until it is interrupted."""
    while True:
        before = _stamps(paths)
        try:
            run()
        except IntelshareError as error:
            # The next save may fix it.
            print_error(error, as_json=out.json)
        out.note("waiting for a change (Ctrl-C ends)")
        while _stamps(paths) == before:
            time.sleep(_POLL)
        out.line(f"--- {time.strftime('%H:%M:%S')} files changed")


def _stamps(paths: tuple[Path, ...]) -> dict[Path, tuple[int, int, int]]:
    """Return the ``stat`` values of each file; a file that is just being replaced counts as changed."""
    from intelshare.cli.policy.files import find

    found: dict[Path, tuple[int, int, int]] = {}
    try:
        files = find(paths)
    except ConfigError:
        return found
    for path in (*files.treaties, *files.overlays, *files.tests, *files.strays):
        try:
            state = path.stat()
        except OSError:
            continue
        found[path] = state.st_mtime_ns, state.st_size, state.st_ino
    return found
