"""The database of a member is lost and its standby promoted, by the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from e2e.nodes import (
    PROGRAM,
    intelshare,
    let_in,
    log_of,
    ok,
    remembered,
    serves_as,
    wait_for_links,
    wait_until,
)
from failover_world import failed_over, paired_world
from intelshare.patience import patient
from processes import clean_environment, process
from replicas_world import LABEL

pytestmark = pytest.mark.timeout(300)


def sent(folder: Path, title: str, *words: str) -> str:
    """Send to USA; the bulletin."""
    what = (
        "--to",
        "USA",
        "--label",
        LABEL,
        "--category",
        "cyber",
        "--title",
        title,
        "--yes",
        "--json",
        *words,
    )
    return str(ok("send", "-", "--as", folder / "users" / "ana", *what, stdin=title).json["bulletin"])


def outbox(folder: Path) -> dict[str, str]:
    """The words of FRA's pairs by bulletin, as its releasing officer sees them."""
    entries = ok("outbox", "--as", folder / "users" / "rel", "--json").json["entries"]
    return {entry["bulletin"]: entry["pairs"][0]["word"] for entry in entries}


@pytest.mark.soak
def test_a_synchronous_standby_that_is_promoted_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with paired_world(tmp_path, synchronous=True) as (made, pair):
        outcome, _ = failed_over(made, pair, 1, patient(60))
        assert outcome.good, outcome
        assert outcome.sent > 50


@pytest.mark.soak
def test_what_a_promoted_standby_lacks_is_said_and_comes_back_from_who_received_it(tmp_path: Path) -> None:
    with paired_world(tmp_path, synchronous=False) as (made, pair):
        words = [*PROGRAM, "node", "run", "--dev", "--folder", made.fra]
        with log_of(made.fra).open("ab") as log, process(words, stderr=log, env=clean_environment()) as node:
            wait_for_links(made.usa)
            kept = sent(made.fra, "kept", "--wait", "accepted")
            pair.wait_for_standby()
            pair.leave_behind()
            forgotten = [sent(made.fra, f"forgotten {n}", "--wait", "accepted") for n in range(3)]
            wait_until(lambda: remembered(made.fra), "the peer to hold the newest checkpoint")
            pair.lost_primary()
            wait_until(lambda: node.poll() is not None, "the node to end")
        refused = intelshare("node", "run", "--dev", "--folder", made.fra)
        assert "STORE_FORGOT" in refused.err
        words.append("--accept-loss")
        with log_of(made.fra).open("ab") as log, process(words, stderr=log, env=clean_environment()) as node:
            wait_until(lambda: serves_as(made.fra, node), "the node to run")
            let_in(made.fra)
            wait_for_links(made.usa)
            wait_until(
                lambda: {outbox(made.fra).get(one) for one in (kept, *forgotten)} == {"accepted"},
                "what was forgotten to be known again",
            )
            status = json.dumps(ok("audit", "evidence", "--folder", made.usa, "--json").json)
            assert "forgot" in status.lower(), status
            new = sent(made.fra, "new", "--wait", "accepted")
            inbox = ok("inbox", "--as", made.usa / "users" / "ana", "--json").json["entries"]
            arrived = [entry["bulletin"] for entry in inbox]
            assert sorted(arrived) == sorted([kept, *forgotten, new])
