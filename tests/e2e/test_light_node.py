"""A light node: one that is dialled by nobody, with small bounds, takes part in everything."""

from __future__ import annotations

from pathlib import Path

from e2e.nodes import EXECUTABLE, found, introduce, ok, running, wait_for_links, wait_until

SHARED = "//FRA SECRET//REL TO FRA, USA"
TO_FRA = "//USA SECRET//REL TO FRA, USA"


def send(folder: Path, to: str, label: str) -> str:
    done = ok(
        "send", "-", "--as", folder / "users" / "ana", "--to", to, "--label", label,
        "--category", "cyber", "--wait", "accepted", "--json", stdin="Phishing kit",
    )  # fmt: skip
    return str(done.json["bulletin"])


def test_a_light_node_that_nobody_dials_sends_receives_reads_and_recalls(tmp_path: Path) -> None:
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA", "--light")
    settings = (usa / "node.toml").read_text()
    for line in ("bulletins = 2000", "total_mib = 256", "delivered_hours = 24", "low_mib = 64"):
        assert line in settings, settings
    # FRA cannot call it: who is behind a poor line calls.
    text = (fra / "node.toml").read_text()
    (fra / "node.toml").write_text(text.replace("\ndial = true", "\ndial = false"))
    with running(fra), running(usa, EXECUTABLE) as node:
        introduce(fra, usa)
        wait_for_links(usa)
        received = send(fra, "USA", SHARED)
        sent = send(usa, "FRA", TO_FRA)
        assert "Phishing kit" in ok("read", received, "--as", usa / "users" / "ana").out
        ok("recall", sent, "--as", usa / "users" / "ana", "--reason", "wrong", "--yes")

        def word() -> str:
            return str(ok("outbox", sent, "--as", usa / "users" / "ana", "--json").json["pairs"][0]["word"])

        wait_until(lambda: word() == "destroyed", "the recall")
        pages = int(Path(f"/proc/{node.pid}/statm").read_text().split()[1])
        assert pages * 4096 < 200 << 20
