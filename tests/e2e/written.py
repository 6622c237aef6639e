"""Reads the commands of a page, and runs its shell code as its reader would, in a folder where nothing is."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from intelshare.patience import VARIABLE
from processes import Ended, finished

STOP = "set -eu -o pipefail\ntrap 'kill $(jobs -p) 2> /dev/null || true; wait' EXIT\n"


def blocks(text: str) -> list[str]:
    """The shell code in a page."""
    return re.findall(r"```sh\n(.*?)```", text, re.DOTALL)


def commands(text: str) -> list[str]:
    """Each command of intelshare in a page, once: a line of its shell code, or code within a sentence."""
    lines = [line.split("#")[0] for block in blocks(text) for line in block.splitlines()]
    spans = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = dict.fromkeys(" ".join(one.split()) for one in (*lines, *spans))
    return [one for one in found if one.startswith("intelshare ")]


def part(text: str, heading: str) -> str:
    """The text under a heading of the second order; without a heading, all before the first one."""
    before, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    named = dict(one.split("\n", 1) for one in parts)
    return named[heading] if heading else before


def run_as_written(folder: Path, *pages: str) -> Ended:
    """Run all the code of these texts in one shell, which ends at the first command that fails."""
    script = STOP + "".join(block for page in pages for block in blocks(page))
    return finished(
        ["bash", "-c", script],
        cwd=folder,
        seconds=100,
        env={
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            VARIABLE: os.environ[VARIABLE],
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        },
    )
