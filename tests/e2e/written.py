"""Runs the shell code of a page as its reader would, in a folder where nothing is."""

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
