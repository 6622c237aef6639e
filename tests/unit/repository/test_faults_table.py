"""The table of faults: every row of it is there, and every test that it names; and how its runs read logs."""

from __future__ import annotations

import re
from pathlib import Path

from fault_world import Member
from faults import FAULTS, Fault, Told, told
from intelshare.ids import MemberCode, NodeUri
from intelshare.node.settings import Settings
from intelshare.node.settings_file import write_settings

ROOT = Path(__file__).resolve().parents[3]


def test_every_row_is_there_once_and_is_played_or_says_what_is_missing() -> None:
    assert [fault.number for fault in FAULTS] == [f"F{number}" for number in range(1, 37)]
    assert all(fault.tests or fault.counted or fault.missing for fault in FAULTS)


def test_every_test_that_a_row_names_exists() -> None:
    for fault in FAULTS:
        for one in fault.tests:
            file, _, name = one.partition("::")
            text = (ROOT / file).read_text()
            assert not name or re.search(rf"def {name}\b", text), one


def test_what_is_missing_is_never_a_pass() -> None:
    missing = Fault("F0", "nothing", missing="all of it")
    assert list(told(missing, short=False, cycles=0)) == [Told("NOT DONE", "not done: all of it")]


def test_a_run_counts_what_a_log_says_of_a_peer_by_the_name_that_nodes_give_it(tmp_path: Path) -> None:
    hub, usa, ken = (Member(code, tmp_path / code.lower()) for code in ("FRA", "USA", "KEN"))
    lines = []
    for one in (hub, usa, ken):
        one.folder.mkdir()
        uri = NodeUri(f"intelshare://{one.code.lower()}.intelshare.internal/node/node-1")
        (one.folder / "node.toml").write_text(write_settings(Settings(MemberCode(one.code), uri)))
        lines.append(f'{{"event": "link.dial_failed", "peer": "{uri}"}}\n')
    log = tmp_path / "fra.log"
    log.write_text("".join(lines) * 2)
    whole = log.stat().st_size
    assert (hub.logged("link.dial_failed", usa), hub.logged("link.closed", usa)) == (2, 0)
    assert hub.logged("link.dial_failed", ken, whole // 2) == 1
