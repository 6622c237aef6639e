"""Nodes of both suites in one net, by the command line alone: bulletins, exports, and a floor."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.nodes import found, intelshare, introduce, ok, running, wait_for_links, wait_until, word_of

TO_KEN = "//FRA DIFFUSION RESTREINTE//REL TO FRA, KEN"
LABELS = {"fra": "//FRA SECRET//REL TO FRA, USA", "usa": "SECRET//REL TO USA, FRA"}


def test_a_suite_1_and_a_suite_2_node_exchange_bulletins_and_each_export_is_verified(tmp_path: Path) -> None:
    fra, usa = found(tmp_path / "fra", "FRA"), found(tmp_path / "usa", "USA", "--suite", "2")
    with running(fra), running(usa):
        introduce(fra, usa)
        wait_for_links(fra)
        for sender, recipient in ((fra, usa), (usa, fra)):
            to, ana = recipient.name.upper(), sender / "users" / "ana"
            words = ("--as", ana, "--category", "cyber", "--to", to, "--label", LABELS[sender.name])
            sent = ok("send", "-", *words, "--wait", "accepted", "--json", stdin="Phishing kit").json
            assert word_of(sent, to) == "accepted"
            name = sent["bulletin"]
            reader = recipient / "users" / "ana"
            assert "Phishing kit" in ok("read", name, "--as", reader).out
            for user in (ana, reader):
                file = tmp_path / f"{user.parent.parent.name}-{name[:8]}.json"
                side = ("--to", to, "--content") if user is ana else ()
                ok("export", name, *side, "--as", user, "--out", file)
                given = [
                    str(word) for m in (fra, usa) for word in ("--member", tmp_path / f"{m.name}.member")
                ]
                assert ("Phishing kit" in ok("verify", file, *given).out) is (user is ana)


def test_a_floor_refuses_a_lower_suite_with_a_code_on_both_sides_until_it_is_raised(tmp_path: Path) -> None:
    fra, ken = found(tmp_path / "fra", "FRA"), found(tmp_path / "ken", "KEN", "--suite", "2", "--floor", "2")

    def refused(folder: Path) -> bool:
        return "SUITE_BELOW_FLOOR" in intelshare("node", "status", "--folder", folder).out

    with running(ken):
        with running(fra):
            introduce(fra, ken)
            for folder in (fra, ken):
                wait_until(lambda folder=folder: refused(folder), f"{folder.name} to know why")
        settings = fra / "node.toml"
        settings.write_text(settings.read_text().replace("suite = 1", "suite = 2"))
        with running(fra):
            file = fra.parent / "fra.member"
            ok("member", "export", "--folder", fra, "--out", file)
            print_ = ok("member", "fingerprint", "--folder", fra).out.strip()
            ok("member", "import", file, "--folder", ken, "--fingerprint", print_)
            wait_for_links(fra)
            words = ("--as", fra / "users" / "ana", "--category", "cyber", "--to", "KEN", "--label", TO_KEN)
            sent = ok("send", "-", *words, "--wait", "accepted", "--json", stdin="Drought").json
            assert word_of(sent, "KEN") == "accepted", "under its new keys"


@pytest.mark.parametrize("words", [("--suite", "3"), ("--floor", "0")])
def test_a_suite_that_does_not_exist_founds_nothing(tmp_path: Path, words: tuple[str, str]) -> None:
    done = intelshare("init", "FRA", tmp_path / "fra", "--dev", *words)
    assert done.code == 2
    assert not (tmp_path / "fra").exists()
