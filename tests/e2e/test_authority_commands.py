"""`pki rotate-ca` at real nodes: bulletins flow through the whole rotation, to a peer that was away too."""

from __future__ import annotations

from pathlib import Path

from e2e.nodes import found, introduce, ok, running, wait_for_links

LABEL = "//FRA SECRET//REL TO FRA, USA"


def arrives(fra: Path, usa: Path, title: str) -> None:
    """FRA's analyst sends, and USA's reads it."""
    sent = ok(
        "send", "-", "--as", fra / "users" / "ana", "--category", "cyber", "--to", "USA", "--label", LABEL,
        "--title", title, "--wait", "accepted", "--yes", "--json", stdin="text",
    ).json["bulletin"]  # fmt: skip
    assert title in ok("read", sent[:8], "--as", usa / "users" / "ana").out


def states(folder: Path, use: str) -> list[str]:
    shown = ok("pki", "show", "--folder", folder, "--json").json["certificates"]
    return [one["state"] for one in shown if one["use"] == use]


def test_bulletins_flow_through_a_rotation_and_to_a_peer_that_was_away(tmp_path: Path) -> None:
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA")
    with running(fra):
        with running(usa):
            introduce(fra, usa)
            wait_for_links(fra)
            arrives(fra, usa, "before")
            ok("pki", "rotate-ca", "--folder", fra, "--yes")
            assert states(fra, "node authority") == ["issues", "believed"]
            arrives(fra, usa, "during the overlap")
        # USA is away while FRA rotates on: the former authority ends, and the next one has come.
        ok("pki", "rotate-ca", "--folder", fra, "--finish", "--yes")
        assert states(fra, "node authority") == ["issues"]
        for name in ("operator", "ana"):
            ok("user", "renew", name, "--folder", fra)
        ok("pki", "rotate-ca", "--folder", fra, "--yes")
        ok("pki", "rotate-ca", "--folder", fra, "--finish", "--yes")
        for name in ("operator", "ana"):
            ok("user", "renew", name, "--folder", fra)
        with running(usa):
            wait_for_links(fra)
            arrives(fra, usa, "after")
        assert ok("audit", "verify", "--folder", fra).code == 0
