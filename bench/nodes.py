"""Two real nodes in processes of their own, and what a bench asks of them.

python -m bench.nodes FOLDER        runs one node until SIGTERM
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from node_world import PASSPHRASE, Site, introduce, make_site

LABEL = "//FRA SECRET//REL TO FRA, USA"


class NodeProcess:
    """A site whose node runs in a process of its own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when its ports are open."""
        known = self._run_file()
        log = (self.site.root / "node.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.nodes", str(self.site.root)], cwd=ROOT, stderr=log
        )
        end = time.monotonic() + 30
        while (now := self._run_file()) == known or now.get("pid") != self.process.pid:
            if self.process.poll() is not None or time.monotonic() > end:
                raise SystemExit((self.site.root / "node.log").read_text()[-2000:])
            time.sleep(0.02)
        ports: Any = SimpleNamespace(user_port=now["user_port"])
        self.site.node = ports

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def cpu(self) -> float:
        """Seconds of processor that the process has used."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _run_file(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.site.root / "run.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found


class Receipts:
    """Counts the receipts that a sender has made durable: in its database, which costs the node nothing."""

    def __init__(self, sender: Site) -> None:
        self._connection = apsw.Connection(
            str(sender.root / "intelshare.db"), flags=apsw.SQLITE_OPEN_READONLY
        )
        self._origin = self._connection.execute("SELECT DISTINCT origin FROM incoming").fetchall()

    def known(self) -> bool:
        """Whether the peer has said its hello."""
        return bool(self._origin)

    def count(self) -> int:
        sql = "SELECT count(*) FROM received WHERE origin = ? AND incarnation = 0 AND kind = 2"
        return int(self._connection.execute(sql, self._origin[0]).fetchall()[0][0])


async def make_pair(folder: Path) -> tuple[NodeProcess, NodeProcess]:
    """FRA and USA, running and introduced to each other."""
    pair = []
    for code in ("FRA", "USA"):
        pair.append(NodeProcess(await asyncio.to_thread(make_site, code, folder / code)))
        pair[-1].start()
    await introduce(pair[0].site, pair[1].site)
    return pair[0], pair[1]


if __name__ == "__main__":
    from intelshare.node.run import run_node

    sys.exit(run_node(Path(sys.argv[1]), lambda: PASSPHRASE))
