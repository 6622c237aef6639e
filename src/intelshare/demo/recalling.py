"""A bulletin is taken back: whoever has it destroys the keys and signs for it."""

from __future__ import annotations

import sys

from intelshare.cli.output import error_lines
from intelshare.demo.scenario import Analyst, Sending, unmet
from intelshare.demo.stage import Stage, command, indented, say, until
from intelshare.errors import IntelshareError


def recall(stage: Stage, sending: Sending, reader: Analyst, reason: str) -> list[str]:
    """The author recalls; all recipients sign that they destroyed it; who has read it can read it no more."""
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
    signed = [one.recipient for one in receipts if one.status == "DESTROYED" and not one.flaw]
    return unmet(
        {
            f"only {', '.join(signed) or 'nobody'} signed for the destruction": sorted(signed)
            == sorted(sending.recipients),
            "a receipt does not hold": not any(one.flaw for one in receipts),
            f"{reader.name} can still read it": _gone(stage, reader, bulletin),
        }
    )


def _gone(stage: Stage, reader: Analyst, bulletin: str) -> bool:
    """Whether ``read`` is refused because the bulletin was destroyed; what it says is shown."""
    say(f"and {reader.name} ({reader.member}), who has read it, reads it again:")
    try:
        command("read", bulletin, "--as", stage.profile(reader))
    except IntelshareError as error:
        for line in error_lines(error):
            say(line)
        return error.code == "NOT_FOUND" and "destroyed here: RECALLED" in error.message
    return False
