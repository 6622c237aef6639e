"""The demo as a user runs it: what it shows, how it ends when something differs, what it leaves behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from processes import Ended, finished, outcome, process
from waits import wait_until

DEMO = ("-m", "intelshare", "demo", "--no-pause")
BOUND = 90
"""Seconds, scaled by INTELSHARE_PATIENCE; the promise of 40 is for a machine that does nothing else."""

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
CLIMATE = (
    r"  ok  3 members, 3 nodes, 6 analysts +\d+\.\d s",
    r"  ok  members exchanged roots and directories, 2 treaties ratified +\d+\.\d s",
    r"  ok  links FRA-USA, FRA-KEN, USA-KEN: TLS 1\.3, X25519MLKEM768 +\d+\.\d s",
    r'1/6 m\.durand \(FRA\) sends "Phishing kit against grid operators", FLASH, two portions',
    r"   USA +2 of 2 +released +gsa-fra-usa art\. 4 +accepted +\d+ ms",
    r"   KEN +1 of 2 +released +demo-climate art\. 2 +accepted +\d+ ms",
    r"    +withheld +EXCEEDS_CEILING: SECRET > RESTRICTED +\(demo-climate\.toml:11\)",
    r"  ok  as expected +\d+\.\d s",
    r"2/6 the same bulletin, as KEN reads it: one portion, signatures valid, nothing about the other",
    r"   Phishing kit against grid operators\.",
    r"3/6 USA gives notice of withdrawal from demo-climate .* is withheld: WITHDRAWN since \.\.\.",
    rf"   USA gives notice of withdrawal from demo-climate: act 1, holds from {_TIME}",
    r"   climate-disaster +KEN +USA +RESTRICTED +nothing",
    rf"   USA gives notice of withdrawal from demo-climate: act 2, holds from {_TIME}",
    r"   USA +1 of 1 +released +demo-climate art\. 2 +queued",
    r"   FRA +1 of 1 +accepted +demo-climate .*",
    rf"   USA +0 of 1 +withheld +WITHDRAWN +{_TIME}",
    rf"   +because +WITHDRAWN: USA since {_TIME} +\(demo-climate\.toml:\d+\)",
    r"4/6 KEN's link is cut \(its node is killed\), 200 bulletins queue, .* 200 of 200, FLASH first",
    r"   killed when \d+ of 24 were accepted: \d+ on the way, \d+ wait, 200 of them sent since",
    r"   started again: 224 of 224 accepted, .* after its start",
    r"5/6 FRA recalls: USA and KEN destroy the keys and sign for it",
    r"   (USA|KEN) +DESTROYED +RECALLED .* holds",
    r"   (USA|KEN) +DESTROYED +RECALLED .* holds",
    r"   error\[NOT_FOUND\]: the bulletin was destroyed here: RECALLED, the domain has changed hands",
    r"6/6 somebody edits USA's audit log: FRA, holding an earlier checkpoint, catches it",
    r"   3 logs verified, \d+ entries\.",
    r"   FRA holds of USA's log a signed state of \d+ entries, and proof how it grew\.",
    rf"   \w+ +USA +LOG_INCONSISTENT +{_TIME} +history rewritten at entry [1-9].*",
    r"   proved: USA has contradicted itself: history rewritten at entry [1-9].*",
    r"In short",
    r"     - Phishing kit .*: KEN had it, has destroyed it and has",
    r"   Stopped, and by which rule",
    r"     - Phishing kit .*: KEN did not get 1 of 2 portions:",
    r"   Proved",
    r"     - Whoever edits USA's log, .*",
    r"  ok  every scene as expected +\d+\.\d s",
)

FIVE = (
    r"  ok  5 members, 5 nodes, 6 analysts +\d+\.\d s",
    r"  ok  members exchanged roots and directories, 3 treaties ratified +\d+\.\d s",
    r"  ok  10 links, each with each: TLS 1\.3, X25519MLKEM768 +\d+\.\d s",
    r"1/5 .* to NATO: to its node, to none of its members",
    r"   NATO +1 of 1 +released +nato art\. 5 +accepted .*",
    r"   i\.hansen \(NOR\): nothing in the inbox",
    r"   NOR +0 of 1 +withheld +CONSENT_REQUIRED: of FRA for NOR +withheld",
    r"   \w+ +NATO asks us +NOR +1 +granted .*",
    r"   NOR +1 of 1 +accepted +nato .*",
    r"   KEN +0 of 1 +withheld +NOT_RELEASABLE_TO: KEN is not covered +withheld",
    r"   NOR +0 of 1 +withheld +TLP_RED_NOT_NAMED +withheld",
    r"  ok  every scene as expected +\d+\.\d s",
)

PARIS = (
    r" +2019-11-04  USA +gave notice of withdrawal",
    r"4/9 2017-01-27: .*",
    r"   USA +1 of 1 +released +paris art\. 8 \(4\)",
    r"   KEN +1 of 1 +released +paris art\. 8 \(4\)",
    r"   IRN +0 of 1 +withheld +NOT_RATIFIED: IRN has not ratified +\(paris\.toml:\d+\)",
    r"6/9 2020-11-04: the withdrawal takes effect .*",
    r"   USA +0 of 1 +withheld +WITHDRAWN: USA since 2020-11-04T00:00:00Z +\(paris\.toml:\d+\)",
    r"9/9 2026-01-27: .*",
    r"   USA +0 of 1 +withheld +WITHDRAWN: USA since 2026-01-27T00:00:00Z +\(paris\.toml:\d+\)",
    r"  ok  every scene as expected +\d+\.\d s",
)

JCPOA = (
    r"4/8 2018-05-08: the United States cease to take part \(asked: jcpoa\)",
    r"   USA +0 of 3 +withheld +WITHDRAWN: USA since 2018-05-08T00:00:00Z +\(jcpoa\.toml:\d+\)",
    r"7/8 2025-09-28T00:00:00Z: snapback: .*",
    r"   USA +3 of 3 +released +unsc-iran S/RES/1929, para\. 30",
    r"   IRN +1 of 3 +released +jcpoa annex I",
    r"    +withheld +RESERVATION: IRN reserves missile-technology .*",
    r"8/8 2025-10-18: Termination Day: .*",
    r"   IRN +0 of 3 +withheld +RESERVATION: .*",
    r"  ok  every scene as expected +\d+\.\d s",
)

BROKEN = """
import sys
from dataclasses import replace
from intelshare.demo import STORY, climate, play
usa, ken = STORY.kit.expected
wrong = replace(ken, portions=(ken.portions[0], ken.portions[0]))
story = replace(STORY, kit=replace(STORY.kit, expected=(usa, wrong)))
sys.exit(play(climate(story), keep=None, pause=0))
"""


IN_VAIN = """
import sys
from dataclasses import replace
from intelshare.demo import STORY, climate, play, stage
from intelshare.demo.scenario import Scene

def impossible(_):
    stage.PATIENCE = 0.1 / stage.patient(1)
    stage.until(lambda: None, "the impossible")

story = replace(climate(), scenes=(Scene("in vain", impossible),))
sys.exit(play(story, keep=None, pause=0))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where the demo puts its temporary folder, and nothing else does."""
    folder = tmp_path / "t"
    folder.mkdir()
    return folder


@contextmanager
def started(home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    command = process(
        [sys.executable, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(home)},
    )
    with command as one:
        yield one


def played(home: Path, *words: str, **settings: str) -> Ended:
    given = os.environ | {"TMPDIR": str(home)} | settings
    return finished([sys.executable, *words], seconds=BOUND, env=given)


def processes_of(home: Path) -> list[str]:
    """Command lines that name this folder, from /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(home) in line:
            found.append(line)
    return found


def assert_nothing_is_left(home: Path) -> None:
    assert not processes_of(home)
    assert not list(home.iterdir())


def assert_shown(out: str, lines: tuple[str, ...]) -> None:
    """These lines are there, in this order."""
    place = 0
    for line in lines:
        found = re.compile(f"^{line}$", re.MULTILINE).search(out, place)
        assert found, f"{line} is not in\n{out[place:]}"
        place = found.end()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The default scenario, played once: what it showed, and the folder that it kept."""
    home = tmp_path_factory.mktemp("kept")
    # What somebody has set for a node of their own does not matter.
    settings = dict.fromkeys(("INTELSHARE_PASSPHRASE_FILE", "INTELSHARE_PROFILE"), "/nowhere")
    demo = played(home, *DEMO, "--keep", str(home / "play"), **settings)
    assert demo.code == 0, demo.err
    assert not demo.err
    assert not processes_of(home)
    return demo.out, home / "play"


def test_every_scene_is_as_expected(kept: tuple[str, Path]) -> None:
    out, _ = kept
    assert_shown(out, CLIMATE)
    arrived = re.findall(r"^   \*  [0-9a-f]{8}  FRA   (\w+)", out, re.MULTILINE)
    assert arrived == ["FLASH"] * 4
    assert "BLUE HERON" not in out


def test_kept_folders_can_be_played_on_with_by_hand(kept: tuple[str, Path], home: Path) -> None:
    out, folder = kept
    told = [line.split()[1:] for line in out.splitlines() if line.startswith("  intelshare ")]
    run = next(words for words in told if words[:2] == ["node", "run"] and words[-1].endswith("KEN"))
    inbox = next(words for words in told if words[0] == "inbox")
    with started(home, "-m", "intelshare", *run) as node:
        assert node.stderr
        for line in node.stderr:
            if "node.started" in line:
                break
        listed = played(home, "-m", "intelshare", *inbox, "--limit", "1000")
        assert listed.code == 0, listed.err
        assert listed.out.count("report") == 224
        assert "destroyed" in listed.out
        node.terminate()
        assert outcome(node).code == 0
    again = played(home, *DEMO, "--keep", str(folder))
    assert again.code == 9
    assert "something is there already" in again.err


def test_a_scene_that_differs_ends_with_1_and_says_how(home: Path) -> None:
    demo = played(home, "-c", BROKEN)
    assert demo.code == 1
    assert demo.err == (
        "scene 1/6 differs: portion 2 for KEN: withheld EXCEEDS_CEILING: SECRET > RESTRICTED "
        "(demo-climate.toml:11) instead of released demo-climate art. 2\n"
        "hint: see the nodes' logs (--keep DIR keeps the folders)\n"
    )
    assert "2/6" not in demo.out
    assert_nothing_is_left(home)


def test_a_scene_in_vain_shows_what_the_nodes_said_last(home: Path) -> None:
    """Their folders are gone by then."""
    demo = played(home, "-c", IN_VAIN)
    assert demo.code == 1
    assert "scene 1/1 differs: TIMED_OUT: waited 0.1 s for the impossible" in demo.err
    assert re.search(r"scene 1/1 differs: KEN's node: .*link\.opened", demo.err)
    assert_nothing_is_left(home)


@pytest.mark.parametrize(
    ("number", "line", "moment"),
    [
        (signal.SIGHUP, "intelshare demo:", lambda home: any(home.iterdir())),
        (signal.SIGTERM, "intelshare demo:", lambda home: [*home.glob("*/*.log")]),
        pytest.param(signal.SIGINT, "3/6 ", lambda _: True, marks=pytest.mark.soak),
        pytest.param(
            signal.SIGINT,
            "   USA gives notice of withdrawal from demo-climate: act 2",
            lambda _: True,
            marks=pytest.mark.soak,
        ),
    ],
    ids=["when it begins", "while nodes start", "when a scene begins", "in a scene"],
)
def test_interrupted_at_any_moment_it_leaves_nothing_behind(
    home: Path, number: signal.Signals, line: str, moment: Callable[[Path], object]
) -> None:
    with started(home, *DEMO) as demo:
        assert demo.stdout
        for shown in demo.stdout:
            if shown.startswith(line):
                break
        wait_until(lambda: moment(home), "the moment")
        demo.send_signal(number)
        done = outcome(demo)
    assert done.code == 130
    assert done.err.strip() == "interrupted"
    assert_nothing_is_left(home)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere nothing tells the nodes")
def test_the_nodes_of_a_demo_that_is_killed_end_too(home: Path) -> None:
    with started(home, *DEMO) as demo:
        assert demo.stdout
        for shown in demo.stdout:
            if shown.startswith("1/6 "):
                break
        assert len([line for line in processes_of(home) if "node run" in line]) == 3
        demo.kill()
        wait_until(lambda: not processes_of(home), "its nodes to end", seen=lambda: processes_of(home))


@pytest.mark.parametrize(
    ("scenario", "lines"),
    [pytest.param("five", FIVE, marks=pytest.mark.soak), ("paris", PARIS), ("jcpoa", JCPOA)],
    ids=["five", "paris", "jcpoa"],
)
def test_the_other_scenarios_are_as_expected(home: Path, scenario: str, lines: tuple[str, ...]) -> None:
    demo = played(home, *DEMO, scenario)
    assert demo.code == 0, demo.err
    assert not demo.err
    assert_shown(demo.out, lines)
    assert_nothing_is_left(home)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("paris", "--keep", "play"), "paris starts no node, so there is nothing to keep"),
    ],
    ids=["keep"],
)
def test_what_the_demo_cannot_do_it_says(home: Path, words: tuple[str, ...], said: str) -> None:
    demo = played(home, *DEMO, *words)
    assert (demo.code, demo.out) == (2, "")
    assert said in demo.err
    assert_nothing_is_left(home)
