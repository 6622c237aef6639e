"""What holds for every test: its children get Ctrl-C, limits are generous, and nothing outlives it."""

from __future__ import annotations

import os
import signal

import pytest
from grpc.aio import init_grpc_aio

import forked
from intelshare.patience import VARIABLE, patient
from processes import PATIENCE

# A job that a runtime starts with "&" ignores SIGINT, and so would every process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A good run meets no limit, so that a generous one costs nothing.
os.environ.setdefault(VARIABLE, PATIENCE)


# A process that may not keep what it compiled costs twice as much, and tests start hundreds of them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# gRPC ends its poller when the last channel or server of a process is freed, which may be in the middle of a
# collection of garbage, and then waits there for ever if a call was still open: so it is never the last one.
init_grpc_aio()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a test measures, and what runs for hours, is the executable that people start."""
    forked.allow(not any(map(item.get_closest_marker, ("timed", "soak"))))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The limit of each test is scaled like every other."""
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker else float(config.getini("timeout"))
        item.add_marker(pytest.mark.timeout(patient(seconds)), append=False)
