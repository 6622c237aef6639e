"""A bulletin is recalled: each recipient that has it destroys the keys and signs for it."""

from __future__ import annotations

import sys
from contextlib import closing
from sqlite3 import connect

from intelshare.cli.shared.output import error_lines
from intelshare.demo.scenario import Analyst, Sending, unmet
from intelshare.demo.stage import Stage, command, indented, say, until
from intelshare.errors import IntelshareError


def recall(stage: Stage, sending: Sending, reader: Analyst, reason: str) -> list[str]:
    """Recall a bulletin; all recipients sign that they destroyed it, and a reader can no longer read it."""
    bulletin, profile = stage.sent[sending.title], stage.profile(sending.author)
    words = ("recall", bulletin, "--reason", reason, "--yes", "--as", profile)
    command(*words, out=indented(sys.stdout))
    with stage.client(sending.author) as client:
        until(
            lambda: all(pair.word == "destroyed" for pair in client.outbox(bulletin).entries[0].pairs),
            "all to sign for the destruction",
        )
        receipts = client.receipts(bulletin).receipts
    command("receipts", bulletin, "--as", profile, out=indented(sys.stdout))
    zeros = _zeros(stage, sending)
    signed = [one.recipient for one in receipts if one.status == "DESTROYED" and not one.flaw]
    return unmet(
        {
            f"only {', '.join(signed) or 'nobody'} signed for the destruction": sorted(signed)
            == sorted(sending.recipients),
            "a receipt does not verify": not any(one.flaw for one in receipts),
            "a key is still on a disk": zeros,
            f"{reader.name} can still read it": _gone(stage, reader, bulletin),
        }
    )


_SEALED = 72
"""The bytes of a key at rest, sealed: as many zeros replace it once it is destroyed."""


def _zeros(stage: Stage, sending: Sending) -> bool:
    """Return true if on every recipient's disk as many keys are zeros as it was given; show what was
    found.
    """
    found = {}
    for code in sending.recipients:
        with closing(
            connect(f"{(stage.sites[code].folder / 'intelshare.db').as_uri()}?mode=ro", uri=True)
        ) as db:
            records = [row[0] for row in db.execute("SELECT _record FROM secret")]
        found[code] = sum(bytes(_SEALED) in record for record in records), len(records)
    say(
        "keys that are zeros, as SQLite alone reads the disks: "
        + ", ".join(f"{code} {gone} of {count}" for code, (gone, count) in found.items())
    )
    given = {row.recipient: sum("released" in line for line in row.portions) for row in sending.expected}
    return {code: gone for code, (gone, _) in found.items()} == given


def _gone(stage: Stage, reader: Analyst, bulletin: str) -> bool:
    """Return true if ``read`` is refused because the bulletin was destroyed; show its message."""
    say(f"and {reader.name} ({reader.member}), who has read it, reads it again:")
    try:
        command("read", bulletin, "--as", stage.profile(reader))
    except IntelshareError as error:
        for line in error_lines(error):
            say(line)
        return error.code == "NOT_FOUND" and "destroyed here: RECALLED" in error.message
    return False
