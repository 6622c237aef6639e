"""A member that ships with nobody: its state, ladder, group and words stand in files of its own, and it
sends, receives, asks and binds like any other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.nodes import found, intelshare, introduce, ok, running, wait_for_links, wait_until

GROUPS = """
source = "invented for this test"

[state]
XAT = "Atlantis"

[[group]]
code = "TIDE"
name = "Tide Watch"
source = "invented for this test"

[[group.membership]]
members = ["XAT", "FRA"]
"""
LADDERS = """
[[ladder]]
authority = "XAT"
source = "invented for this test"

[[ladder.row]]
R0 = { name = "OPEN WATER" }
R1 = { name = "SHALLOW" }
R3 = { name = "DEEP", short = "D" }
"""
WORDS = """
[[category]]
name = "tide"
means = "Water levels."

[[obligation]]
name = "tell-the-harbour"
means = "The harbour master hears of it."
"""
TREATY = """
id = "tide"
title = "Tide Agreement"
kind = "bilateral"
in_force = 2024-01-01
source = "invented for this test"

[[provision]]
article = "art. 1"
categories = ["tide"]
ceiling = "R3"
obligations = ["tell-the-harbour"]

[[party]]
member = "XAT"
in_force = 2024-01-01

[[party]]
member = "FRA"
in_force = 2024-01-01
"""
DEEP = "//XAT DEEP//REL TO XAT, TIDE"
TO_XAT = "//FRA DR//REL TO FRA, TIDE"


@pytest.fixture(scope="module")
def law(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a policy repository has it."""
    root = tmp_path_factory.mktemp("law")
    for name, text in (
        ("groups/tide.toml", GROUPS),
        ("ladders/xat.toml", LADDERS),
        ("words/tide.toml", WORDS),
        ("treaties/tide.toml", TREATY),
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture(scope="module")
def members(law: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """XAT and FRA, running, who know each other."""
    root = tmp_path_factory.mktemp("own")
    xat, fra = (found(root / code.lower(), code, "--own", str(law)) for code in ("XAT", "FRA"))
    for folder in (xat, fra):
        (folder / "treaties" / "tide.toml").write_text(TREATY)
    with running(xat), running(fra):
        introduce(xat, fra)
        wait_for_links(xat)
        wait_for_links(fra)
        yield xat, fra


def ana(folder: Path) -> Path:
    return folder / "users" / "ana"


def test_a_member_of_ones_own_sends_under_its_own_ladder_and_group_and_it_arrives(
    members: tuple[Path, Path], tmp_path: Path
) -> None:
    xat, fra = members
    sent = ok(
        "send", "-", "--to", "FRA", "--label", DEEP, "--category", "tide", "--as", ana(xat), "--json",
        "--wait", "accepted", stdin="four metres",
    ).json  # fmt: skip
    bulletin = sent["bulletin"]
    shown = ok("read", bulletin[:8], "--as", ana(fra)).out
    assert "(//XAT D//REL TO XAT, TIDE)" in shown
    assert "tell-the-harbour: for people: The harbour master hears of it." in shown
    written = ok(
        "read", bulletin[:8], "--as", ana(fra), "--out", tmp_path, "--binding", "xml", "--json"
    ).json["files"]
    (binding,) = [Path(name) for name in written if name.endswith(".bdo")]
    checked = ok("label", "check", binding, "--folder", fra, "--json").json["objects"]
    assert [(one["state"], one["label"]) for one in checked] == [("as bound", DEEP)]


def test_an_exported_release_is_bound_to_its_banner(members: tuple[Path, Path], tmp_path: Path) -> None:
    xat, _ = members
    bulletin = ok(
        "send", "-", "--to", "FRA", "--label", DEEP, "--category", "tide", "--as", ana(xat), "--json",
        "--wait", "accepted", stdin="four metres",
    ).json["bulletin"]  # fmt: skip
    file = tmp_path / "release.json"
    given = ("export", bulletin[:8], "--to", "FRA", "--content", "--as", ana(xat))
    ok(*given, "--out", file, "--binding", "xml", "--binding", "json")
    for suffix in (".bdo", ".bdoj"):
        checked = ok("label", "check", f"{file}{suffix}", "--folder", xat, "--json").json["objects"]
        banner = "//XAT DEEP//REL TO XAT, FRA"
        assert [(one["state"], one["label"]) for one in checked] == [("as bound", banner)]
    file.write_text(file.read_text() + " ")
    assert intelshare("label", "check", f"{file}.bdo", "--folder", xat).code == 7
    assert intelshare(*given, "--binding", "xml").code == 2


def test_a_slip_in_a_label_is_told_with_the_names_of_the_own_ladder(members: tuple[Path, Path]) -> None:
    xat, _ = members
    done = intelshare(
        "send", "-", "--to", "FRA", "--label", "//XAT DEPE//REL TO XAT, TIDE", "--category", "tide",
        "--as", ana(xat), stdin="text",
    )  # fmt: skip
    assert done.code == 2
    assert "UNKNOWN_LEVEL" in done.err
    assert "--label:1" in done.err
    assert 'did you mean "DEEP"?' in done.err


def test_a_node_that_cannot_be_asked_is_named_where_a_label_is_not_read(
    members: tuple[Path, Path], tmp_path: Path
) -> None:
    xat, _ = members
    profile = tmp_path / "ana"
    profile.mkdir(mode=0o700)
    for file in ana(xat).iterdir():
        if file.is_file():
            (profile / file.name).write_bytes(file.read_bytes())
            (profile / file.name).chmod(0o600)
    text = (profile / "profile.toml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith(("node_folder", "address"))]
    (profile / "profile.toml").write_text("\n".join([*lines, 'address = "127.0.0.1:1"', ""]))
    done = intelshare(
        "send", "-", "--to", "FRA", "--label", DEEP, "--category", "tide", "--as", profile, stdin="text"
    )
    assert done.code == 2
    assert "UNKNOWN_MEMBER" in done.err
    assert "could not be asked: NODE_UNREACHABLE" in done.err


def test_a_batch_reads_its_labels_as_the_node_does_before_anything_is_sent(
    members: tuple[Path, Path], tmp_path: Path
) -> None:
    xat, _ = members
    lines = [
        {"to": ["FRA"], "category": "tide", "label": label, "text": "text"}
        for label in (DEEP, "//XAT DEPE//REL TO XAT, TIDE")
    ]
    batch = tmp_path / "lines.ndjson"
    batch.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = intelshare("send", "--batch", batch, "--as", ana(xat))
    assert done.code == 2
    assert "nothing was sent" in done.err
    batch.write_text(json.dumps(lines[0]) + "\n")
    assert ok("send", "--batch", batch, "--as", ana(xat)).out.count("FRA") == 1


def test_a_member_of_ones_own_asks_answers_and_declines(members: tuple[Path, Path], tmp_path: Path) -> None:
    xat, fra = members
    question = tmp_path / "question.txt"
    question.write_text("how high?")

    def asked(number: int) -> str:
        ok(
            "rfi", "ask", question, "--to", "XAT", "--category", "tide", "--due", "7d", "--label", TO_XAT,
            "--as", ana(fra),
        )  # fmt: skip

        def waiting() -> list[str]:
            entries = ok("rfi", "list", "--open", "--as", ana(xat), "--json").json["entries"]
            return [entry["bulletin"] for entry in entries]

        wait_until(lambda: len(waiting()) == number, "the question to arrive")
        return waiting()[0]

    ok("rfi", "answer", asked(1), question, "--label", DEEP, "--as", ana(xat))
    wait_until(
        lambda: not ok("rfi", "list", "--open", "--as", ana(fra), "--json").json["entries"], "an answer"
    )
    # Without a label: the lowest of the own ladder, which here is not UNMARKED.
    declined = ok("rfi", "decline", asked(1), "--as", ana(xat)).out
    assert "OPEN WATER" in declined


def test_treaties_between_members_of_ones_own_are_begun_shown_and_compared(
    members: tuple[Path, Path], law: Path, tmp_path: Path
) -> None:
    xat, _ = members
    for kind in ("groups", "ladders", "words"):
        (tmp_path / kind).mkdir()
        for file in (law / kind).iterdir():
            (tmp_path / kind / file.name).write_text(file.read_text())
    ok("treaty", "new", "harbour", "--party", "XAT", "--party", "FRA", "--folder", tmp_path / "treaties")
    ok("policy", "test", tmp_path / "treaties", "--coverage", "--mutate")
    assert "Tide Agreement" in ok("treaty", "show", law / "treaties" / "tide.toml").out
    assert "R3" in ok("treaty", "compare", law / "treaties" / "tide.toml", "paris").out
    assert "tell-the-harbour" in ok("treaty", "show", "tide", "--as", ana(xat)).out


def test_a_file_is_bound_to_a_label_of_ones_own(law: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    report.write_text("four metres")
    ok("label", "bind", report, "--label", DEEP, "--folder", law)
    assert "as bound" in ok("label", "check", f"{report}.bdo", "--folder", law).out
    refused = intelshare("label", "bind", report, "--label", DEEP, "--form", "json")
    assert refused.code == 2
    assert "UNKNOWN_MEMBER" in refused.err


def test_a_member_that_nobody_states_is_founded_by_no_name_alone(tmp_path: Path) -> None:
    done = intelshare("init", "XAT", tmp_path / "xat", "--dev")
    assert done.code == 2
    assert "--own names a folder" in done.err
    assert not (tmp_path / "xat").exists()


def test_a_plan_that_would_strand_a_member_is_refused_and_one_that_takes_words_away_says_from_whom(
    members: tuple[Path, Path], law: Path, tmp_path: Path
) -> None:
    _, fra = members
    ok(
        "user", "add", "tidal", "--folder", fra, "--as", fra / "users" / "operator",
        "--role", "analyst", "--clearance", "R1", "--category", "tide",
    )  # fmt: skip
    without = tmp_path / "groups"
    without.mkdir()
    (without / "tide.toml").write_text('[[group]]\ncode = "TIDE"\nname = "n"\nsource = "s"\n')
    stranded = intelshare("policy", "plan", tmp_path, "--folder", fra, "--prune")
    assert stranded.code == 1
    assert "PARTY_UNKNOWN" in stranded.err
    assert "XAT is a member here" in stranded.err
    (without / "tide.toml").write_text(GROUPS.replace('"XAT", "FRA"', '"XAT", "KEN"'))
    ladders = tmp_path / "ladders"
    ladders.mkdir()
    (ladders / "xat.toml").write_text(LADDERS.replace("DEEP", "ABYSS"))
    planned = intelshare("policy", "plan", tmp_path, "--folder", fra, "--prune")
    assert planned.code == 12, planned
    for said in (
        "gone     words/tide.toml",
        "TIDE has different members: FRA lose what labels grant them through that name alone; KEN gain that",
        "levels of XAT: DEEP no longer mean what they did; ABYSS (R3) can be written",
        "tide is no longer a category: nobody can write it",
        "the register gives tide to tidal",
    ):
        assert said in planned.out, planned.out


def test_a_member_whose_file_is_gone_stops_releases_until_it_is_back(members: tuple[Path, Path]) -> None:
    _, fra = members
    operator = fra / "users" / "operator"

    def codes() -> list[str]:
        shown: list[str] = intelshare("status", "--as", operator, "--json").json["codes"]
        return shown

    file, treaty = fra / "groups" / "tide.toml", fra / "treaties" / "tide.toml"
    ladder = fra / "ladders" / "xat.toml"
    for path in (treaty, ladder, file):
        path.unlink()
    wait_until(lambda: "POLICY_UNAVAILABLE" in codes(), "the node to miss the file")
    waiting = ok(
        "send", "-", "--to", "XAT", "--label", TO_XAT, "--category", "tide", "--as", ana(fra), "--json",
        stdin="still there?",
    ).json["bulletin"]  # fmt: skip
    assert not codes_gone(codes())
    for path, text in ((file, GROUPS), (ladder, LADDERS), (treaty, TREATY)):
        path.write_text(text)
    wait_until(lambda: codes_gone(codes()), "the node to find it again")

    def arrived() -> bool:
        entry = ok("outbox", waiting[:8], "--as", ana(fra), "--json").json
        return bool(entry["pairs"][0]["word"] == "accepted")

    wait_until(arrived, "what waited to go")


def codes_gone(codes: list[str]) -> bool:
    return "POLICY_UNAVAILABLE" not in codes


def test_a_start_without_the_file_in_which_a_member_stands_names_it(law: Path, tmp_path: Path) -> None:
    xat, fra = (found(tmp_path / code.lower(), code, "--own", str(law)) for code in ("XAT", "FRA"))
    introduce(xat, fra)
    with running(fra):
        pass
    file, ladder = fra / "groups" / "tide.toml", fra / "ladders" / "xat.toml"
    ladder.unlink()
    file.rename(tmp_path / "away")
    done = intelshare("node", "run", "--folder", fra, "--dev")
    assert done.code == 1
    assert "PARTY_UNKNOWN" in done.err
    assert "groups/tide.toml" in done.err
    assert "put groups/tide.toml back" in done.err
    (tmp_path / "away").rename(file)
    operator = fra / "users" / "operator"
    with running(fra):
        assert ok("status", "--as", operator, "--json").json["health"] == "SERVING"
        # While it runs: what stops releases ends by itself once the member is none any more.
        file.unlink()
        wait_until(
            lambda: "POLICY_UNAVAILABLE" in intelshare("status", "--as", operator, "--json").out,
            "the file to lack",
        )
        ok("member", "remove", "XAT", "--as", operator, "--yes")
        wait_until(
            lambda: "POLICY_UNAVAILABLE" not in intelshare("status", "--as", operator, "--json").out,
            "releases to go on",
        )
