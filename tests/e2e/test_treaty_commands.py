"""Treaty acts as people make them: the effect first, then the question, and nothing without an answer."""

from __future__ import annotations

import os
import pty
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from e2e.nodes import PROGRAM, Done, found, intelshare, introduce, ok, running, wait_for_links, wait_until
from processes import finished

CLIMATE = "demo-climate"
GUIDE = Path(__file__).parents[2] / "docs" / "policy-guide.md"
TO_KEN = "//FRA DR//REL TO FRA, KEN"


class Parties:
    """FRA and KEN, running, who know each other."""

    def __init__(self, fra: Path, ken: Path) -> None:
        self.fra, self.ken = fra, ken
        self.officer = {"FRA": fra / "users" / "rel", "KEN": ken / "users" / "rel"}
        self.analyst = {"FRA": fra / "users" / "ana", "KEN": ken / "users" / "ana"}
        self.operator = {"FRA": fra / "users" / "operator"}

    def does(self, *words: str, member: str = "KEN") -> Done:
        """An act of an officer who is sure."""
        return ok("treaty", *words, "--yes", "--as", self.officer[member])

    def acts(self, member: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ok("treaty", "acts", "--as", self.analyst[member], "--json").json[
            "acts"
        ]
        return found

    def known(self, count: int) -> None:
        """Wait until FRA holds so many acts."""
        wait_until(lambda: len(self.acts("FRA")) == count, f"{count} acts at FRA")

    def state(self, member: str, at: str) -> str:
        (treaty,) = ok("treaty", "state", CLIMATE, "--as", self.analyst[at], "--json").json["treaties"]
        found: str = next(party["state"] for party in treaty["parties"] if party["member"] == member)
        return found

    def warn(self, text: str, *words: str, to: str = "KEN", label: str = TO_KEN) -> dict[str, Any]:
        done = intelshare(
            "send", "-", "--as", self.analyst["FRA"], "--to", to, "--label", label,
            "--category", "climate-disaster", "--json", *words, stdin=text,
        )  # fmt: skip
        assert done.code in (0, 3), done
        return done.json


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parties]:
    home = tmp_path_factory.mktemp("parties")
    fra, ken = found(home / "fra", "FRA"), found(home / "ken", "KEN")
    with running(fra), running(ken):
        introduce(fra, ken)
        wait_for_links(fra)
        yield Parties(fra, ken)


def test_an_act_shows_its_effect_and_does_nothing_where_nobody_can_answer(parties: Parties) -> None:
    before = parties.acts("KEN")
    done = intelshare("treaty", "withdraw", CLIMATE, "--as", parties.officer["KEN"])
    assert done.code == 2
    assert done.out == ""
    assert re.search(
        r"^KEN withdraws from demo-climate: act \d+, would hold from now$", done.err, re.MULTILINE
    )
    assert re.search(r"^climate-disaster +FRA +KEN +DIFFUSION RESTREINTE +nothing$", done.err, re.MULTILINE)
    assert "--yes if you are sure" in done.err
    assert parties.acts("KEN") == before


def test_the_guide_shows_what_the_command_shows(parties: Parties) -> None:
    shown = GUIDE.read_text("utf-8").partition("$ intelshare treaty withdraw ")[2].partition("\n```")[0]
    words, _, rest = shown.partition("\n")
    expected, _, question = rest.rpartition("\n")
    assert question == "Sign this act and tell every member? [y/N]:"
    done = intelshare("treaty", "withdraw", *words.split(), "--as", parties.officer["KEN"])
    printed = done.err.partition("error[USAGE]")[0].rstrip("\n")
    assert _without_numbers(printed) == _without_numbers(expected), printed


def _without_numbers(text: str) -> str:
    return re.sub(r"act \d+", "act N", re.sub(r"\d{4}-\d\d-\d\dT[\d:]{8}Z", "TIME", text))


def test_an_act_is_made_by_who_answers_yes_on_a_terminal_and_by_nobody_else(parties: Parties) -> None:
    before = len(parties.acts("KEN"))
    assert on_terminal(b"n\n", "treaty", "suspend", CLIMATE, "--as", str(parties.officer["KEN"])) == 1
    assert len(parties.acts("KEN")) == before
    assert on_terminal(b"y\n", "treaty", "suspend", CLIMATE, "--as", str(parties.officer["KEN"])) == 0
    assert parties.acts("KEN")[-1]["kind"] == "suspend"
    parties.does("reinstate", CLIMATE)
    parties.known(before + 2)


def on_terminal(answer: bytes, *words: str) -> int:
    """The exit code of a command whose standard input is a terminal."""
    primary, secondary = pty.openpty()
    os.write(primary, answer)
    try:
        return finished([*PROGRAM, *words], stdin=secondary).code
    finally:
        os.close(primary)
        os.close(secondary)


def test_a_suspension_and_its_end_are_followed_at_both_ends(parties: Parties) -> None:
    count = len(parties.acts("KEN"))
    done = parties.does("suspend", CLIMATE)
    assert f"KEN suspends its participation in demo-climate: act {count + 1}, holds from now" in done.out
    assert "told: FRA" in done.out
    parties.known(count + 1)
    assert [parties.state("KEN", at) for at in ("KEN", "FRA")] == ["SUSPENDED", "SUSPENDED"]
    sent = parties.warn("while suspended")
    assert sent["pairs"][0]["word"] == "withheld"
    assert "SUSPENDED" in ok("why", sent["bulletin"], "--member", "KEN", "--as", parties.analyst["FRA"]).out
    parties.does("reinstate", CLIMATE)
    parties.known(count + 2)
    assert parties.warn("afterwards")["pairs"][0]["word"] == "queued"


def test_a_reservation_is_made_listed_in_words_and_withdrawn(parties: Parties) -> None:
    count = len(parties.acts("KEN"))
    terms = ("--category", "climate-disaster", "--counterparty", "fra")
    parties.does("reserve", CLIMATE, *terms)
    parties.known(count + 1)
    assert "climate-disaster; towards FRA" in ok("treaty", "acts", "--as", parties.analyst["FRA"]).out
    assert parties.warn("reserved")["pairs"][0]["word"] == "withheld"
    parties.does("reinstate", CLIMATE, *terms)
    parties.known(count + 2)
    assert parties.warn("not reserved")["pairs"][0]["word"] == "queued"


def test_notice_names_the_date_and_can_be_taken_back_before_it(parties: Parties) -> None:
    count = len(parties.acts("KEN"))
    done = parties.does("withdraw", CLIMATE, "--effective", "90d", "--json")
    act = done.json
    assert (act["schema"], act["kind"], act["n"]) == (
        "intelshare/treaty-act/1",
        "give-notice",
        str(count + 1),
    )
    assert {(c["sender"], c["recipient"]) for c in act["changes"]} == {("FRA", "KEN"), ("KEN", "FRA")}
    parties.known(count + 1)
    assert parties.acts("FRA")[-1]["since"] == act["effective"]
    assert parties.state("KEN", "FRA") == "IN_FORCE"
    parties.does("reinstate", CLIMATE)
    parties.known(count + 2)


def test_list_show_and_timeline_ask_the_node_and_tell_acts_with_the_file(parties: Parties) -> None:
    count = len(parties.acts("KEN"))
    parties.does("suspend", CLIMATE)
    parties.known(count + 1)
    live = ("--as", parties.analyst["FRA"])
    listed = ok("treaty", "list", *live, "--json").json["treaties"]
    assert [one["id"] for one in listed] == [CLIMATE, "gsa-fra-usa"]
    assert re.search(r"^ +suspended: KEN$", ok("treaty", "show", CLIMATE, *live).out, re.MULTILINE)
    drawn = ok("treaty", "timeline", CLIMATE, *live).out
    assert re.search(r"^ +KEN .*~.* suspended$", drawn, re.MULTILINE), drawn
    parties.does("reinstate", CLIMATE)
    parties.known(count + 2)
    assert "suspended: KEN" not in ok("treaty", "show", CLIMATE, *live).out
    done = intelshare("treaty", "show", "paris", *live)
    assert done.err.startswith("error[NOT_FOUND]")
    # What the node goes by is what it has read, not what lies there now.
    file = parties.fra / "treaties" / f"{CLIMATE}.toml"
    before = file.read_text()
    file.write_text("broken")
    try:
        assert intelshare("treaty", "show", CLIMATE, *live).err.startswith("error[POLICY_UNAVAILABLE]")
    finally:
        file.write_text(before)
    wait_until(lambda: intelshare("treaty", "show", CLIMATE, *live).code == 0, "the mended file to count")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("INPUT_INVALID", ("withdraw", CLIMATE, "--effective", "2020-01-01")),
        ("INPUT_INVALID", ("withdraw", CLIMATE, "--effective", "soon")),
        ("INPUT_INVALID", ("reinstate", CLIMATE)),
        ("NOT_FOUND", ("suspend", "no-such-treaty")),
        ("INPUT_INVALID", ("ratify", "gsa-fra-usa")),
        ("INPUT_INVALID", ("reserve", CLIMATE, "--level-at-least", "R9")),
    ],
)
def test_what_cannot_be_meant_is_said_with_its_code(
    parties: Parties, code: str, words: tuple[str, ...]
) -> None:
    done = intelshare("treaty", *words, "--yes", "--as", parties.officer["KEN"])
    assert done.err.startswith(f"error[{code}]"), done
    assert done.code != 0


def test_analysts_neither_act_nor_offer(parties: Parties) -> None:
    for words in (("suspend", CLIMATE), ("backfill", CLIMATE, "--to", "KEN"), ("resume", "KEN")):
        done = intelshare("treaty", *words, "--yes", "--as", parties.analyst["FRA"])
        assert done.err.startswith("error[NOT_AUTHORISED]"), done
        assert done.code == 4
    done = intelshare("treaty", "backfill", CLIMATE, "--to", "KEN", "--yes", "--as", parties.operator["FRA"])
    assert done.err.startswith("error[NOT_AUTHORISED]")


def test_backfill_shows_first_and_sends_what_is_allowed_now(parties: Parties, tmp_path: Path) -> None:
    # A member that is known and never runs: what is for it alone waits.
    introduce(parties.fra, found(tmp_path / "usa", "USA"))
    sent = parties.warn("for ourselves", to="USA", label="//FRA DR//REL TO FRA")
    parties.warn("and for KEN later", "--title", "Drought", to="USA")
    words = ("treaty", "backfill", CLIMATE, "--to", "KEN", "--as", parties.officer["FRA"])
    looked = ok(*words, "--dry-run", "--json").json
    assert looked["dry_run"]
    assert [entry["title"] for entry in looked["entries"]] == ["Drought"]
    assert sent["bulletin"] not in {entry["bulletin"] for entry in looked["entries"]}
    refused = intelshare(*words)
    assert refused.code == 2
    assert "Drought" in refused.err
    ok(*words, "--yes")
    (entry,) = looked["entries"]
    wait_until(
        lambda: "accepted" in ok("outbox", entry["bulletin"], "--as", parties.analyst["FRA"]).out,
        "the bulletin to be accepted",
    )
    assert ok(*words, "--dry-run", "--json").json["entries"] == []


def test_after_a_withdrawal_nothing_is_sent_and_coming_back_is_a_ratification(parties: Parties) -> None:
    count = len(parties.acts("KEN"))
    parties.does("withdraw", CLIMATE)
    parties.known(count + 1)
    sent = parties.warn("after the withdrawal")
    assert sent["pairs"][0]["word"] == "withheld"
    assert parties.state("KEN", "FRA") == "WITHDRAWN"
    parties.does("ratify", CLIMATE)
    parties.known(count + 2)
    assert parties.state("KEN", "FRA") == "IN_FORCE"
