"""The README is true: its walk is run line by line, and what it links to is there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def test_your_own_first_bulletin_can_be_sent_line_by_line(tmp_path: Path) -> None:
    block = README.split("## Your own first bulletin")[1].split("```bash\n")[1].split("```")[0]
    assert "node run" in block
    bin_folder = Path(sys.executable).parent
    env = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
    }
    assert shutil.which("intelshare", path=env["PATH"])
    # -m: job control, so that the walk's `kill %1 %2` means what it means at a prompt.
    walk = subprocess.Popen(
        ["bash", "-emc", block + "\nwait"],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = walk.communicate(timeout=90)
    finally:
        for folder in ("fra", "ken"):
            running = tmp_path / folder / "run.json"
            if running.exists() and (found := re.search(r'"pid":\s*(\d+)', running.read_text())):
                os.kill(int(found[1]), signal.SIGKILL)
    assert walk.returncode == 0, out + err
    assert re.search(r"KEN +2 of 2 +released +demo-climate art\. 2 +accepted", out), out
    assert "Drought expected in the north" in out
    assert "every entry is what its tree says" in out
    assert "Traceback" not in err


def test_every_link_leads_to_a_file_that_is_there() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_it_fits_on_two_screens() -> None:
    assert len(README.splitlines()) <= 110
