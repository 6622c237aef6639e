"""What libraries and Python itself would print is an event, without the text of the exception."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, logging, sys, threading, warnings
from intelshare.node.events import Logger
from intelshare.node.stray_lines import catch_stray_lines

catch_stray_lines(Logger(sys.stderr))

async def fails():
    raise ValueError("CANARY")

def raises():
    raise KeyError("CANARY")

class Ends:
    def __del__(self):
        raise OSError("CANARY")

async def main():
    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(raises)
    await asyncio.sleep(0)
    del task

asyncio.run(main())
thread = threading.Thread(target=raises)
thread.start()
thread.join()
Ends()
logging.getLogger("grpc").warning("CANARY %s", 1)
logging.getLogger("grpc").info("CANARY")
warnings.warn("CANARY")
"""


def test_nothing_but_events_is_written() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, timeout=60
    )
    assert "CANARY" not in ran.stderr + ran.stdout
    lines = ran.stderr.splitlines()
    assert all(line.startswith("{") for line in lines), lines
    for kind in ("ValueError", "KeyError", "OSError"):
        assert any('"event": "node.defect"' in line and kind in line for line in lines), kind
    assert sum('"source": "grpc"' in line for line in lines) == 1
    assert sum('"source": "py.warnings"' in line for line in lines) == 1
