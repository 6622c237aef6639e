"""What a sender keeps of claims: packed where they name nothing, and the same record as the codec writes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from builders import draft, text
from intelshare.broker.kernel.kept_claims import ClaimsKept, read_claims
from intelshare.broker.kernel.tables import PAIR, STATEMENT
from intelshare.broker.kernel.transaction import open_secret
from intelshare.crypto.codec import decode, encode
from intelshare.crypto.records import Kind
from line_world import hand_over, met, rows, send


@pytest.mark.parametrize("replies", [False, True])
def test_what_is_kept_is_the_record_and_gives_the_claims_that_were_sealed(replies: bool) -> None:
    fra = met(("FRA", "USA"))["FRA"]
    label = "//FRA DIFFUSION RESTREINTE//REL TO FRA, USA"
    first = send(fra, draft(text(label, "first"), to=["USA"]))
    hand_over(fra, "USA")
    if replies:
        send(
            fra,
            replace(draft(text(label, "second"), to=["USA"]), supersedes=first.bulletin.hex()),
            key="second",
        )
        hand_over(fra, "USA")
    pairs = {row.leaf: row for row in rows(fra, PAIR)}
    released = [row for row in rows(fra, STATEMENT) if row.kind == Kind.RELEASE]
    assert len(released) == 1 + replies
    found = []
    for row in released:
        opened = open_secret(fra.node, STATEMENT.name, row.leaf, 0, row.sealed_claims)
        kept = decode(ClaimsKept, opened)
        found.append(kept)
        assert encode(ClaimsKept, kept) == opened
        assert (kept.decided_in, kept.decided_at) == (pairs[row.leaf].decided_in, pairs[row.leaf].decided_at)
        # Raises unless the release's digest says that these are its claims.
        assert fra.ask(lambda node, view, row=row: read_claims(node, view, row)).secrets == kept.secrets
    assert sum(one.supersedes != () for one in found) == replies
