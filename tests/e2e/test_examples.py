"""Every example that a command's help shows does what it says, as it is printed, by the real command line.

The world: FRA, USA and KEN run on this machine and know FRA; an analyst's desk with the files that examples
name; a policy author's shelf, which is a git repository. What stands for something in an example becomes what
it stands for here: an id of a bulletin becomes the id of one that fits.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import click
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from e2e.nodes import (
    PROGRAM,
    Done,
    documents_of,
    intelshare,
    introduce,
    ok,
    running,
    unlike_schema,
    wait_for_links,
    wait_until,
)
from gateway_world import make_gateway_user
from gateway_world import settings as gateway_settings
from intelshare.cli import run
from intelshare.cli.app import root
from intelshare.cli.shared.documents import document_names
from intelshare.crypto.x509 import request_key
from intelshare.interop import write_bundle_of, write_report
from intelshare.patience import patient
from intelshare.trust import write_member_file
from interop_world import INDICATOR, REGISTRY, bulletin, portion, stix_portion
from line_world import Forger, arrive, met
from log_world import Logs
from processes import LIMIT, clean_environment, ended, finished, process

REPOSITORY = Path(__file__).parents[2]

BULLETIN = "3f9a1c22"
"""What examples have for the id of a bulletin."""

KEY = "5a0c77e1"
"""What they have for the id of a key."""

SERIAL = "31b2c9d0"
"""And for the serial number of a certificate."""

SHARED = "//FRA SECRET//REL TO FRA, USA"
OF_KEN = "//KEN RESTRICTED//REL TO KEN, FRA, USA"
HOLD = """
[[hold]]
id = "FRA-personal-data"
source = "invented for this test"
when = { flags = ["personal-data"] }
"""
REPORTING = """
id = "reporting"
title = "An arrangement that asks for reports"
kind = "bilateral"
in_force = 2024-01-01
source = "invented for this test"
party = [{ member = "FRA", in_force = 2024-01-01 }, { member = "USA", in_force = 2024-01-01 }]

[[provision]]
article = "art. 1"
categories = ["proliferation"]
ceiling = "R3"
obligations = ["report-use-30d"]
"""


@dataclass(frozen=True)
class Case:
    """What an example needs, and how it ends."""

    who: str = "fra/users/m.durand"
    bulletin: str = "sent"
    """The bulletin that its id stands for: a name of ``BULLETINS``."""
    typed: str = ""
    """What is answered on a terminal; without it standard input is empty."""
    code: int = 0
    why: str = ""
    """For any other exit code than 0."""
    stopped: bool = False
    """It does not end: once it has shown something it gets Ctrl-C."""
    until: Callable[[World], object] | None = None
    """What brings it to show something."""
    before: Callable[[World], object] | None = None


OFFICER = "fra/users/c.leroy"
KENYAN = "ken/users/o.kamau"
ENDLESS = "it ends with Ctrl-C"

CASES: dict[str, Case] = {
    "send report.txt --to KEN": Case(code=3, why="a dry run that shows why KEN would get nothing"),
    "inbox --follow": Case(
        "usa/users/j.smith", stopped=True, code=130, why=ENDLESS, until=lambda w: w.send("news")
    ),
    "read": Case(bulletin="received"),
    "outbox --follow": Case(stopped=True, code=130, why=ENDLESS, until=lambda w: w.send("news")),
    "outbox approve": Case(OFFICER, bulletin="held", typed="y\n"),
    "console": Case(stopped=True),
    "outbox refuse": Case(OFFICER, bulletin="held too", typed="y\n"),
    "draft edit": Case(before=lambda w: w.editor()),
    "outbox give-up": Case(bulletin="to give up"),
    "node repair --folder fra --drop": Case(typed="y\n", code=8, why="nothing is damaged here"),
    "node status --folder fra --replica": Case(code=6, why="this node has no replicas"),
    "node metrics --folder fra --replica": Case(code=6, why="this node has no replicas"),
    "node drain --folder fra --replica": Case(code=6, why="this node has no replicas"),
    "node release-stream": Case(code=8, why="no stream is frozen here"),
    "node allow-reading": Case(code=8, why="nothing waits here"),
    "node confirm-access m.durand USA": Case(code=8, why="nobody waits here"),
    "gateway run": Case("fra/users/gate", stopped=True, before=lambda w: w.gate()),
    "poll": Case(code=6, why="nobody answers there", before=lambda w: w.sources()),
    "misp import": Case(before=lambda w: w.event()),
    "cap export": Case(bulletin="climate"),
    "stix import": Case(before=lambda w: w.shared()),
    "recall": Case(bulletin="mistake", typed="y\n"),
    "watch": Case(stopped=True, code=130, why=ENDLESS, until=lambda w: w.send("news")),
    "watch --since last": Case(),
    "search phishing": Case(before=lambda w: w.bulletin("received")),
    "rfi answer": Case(bulletin="question"),
    "rfi decline": Case(bulletin="other question"),
    "rfi close": Case(bulletin="own question"),
    "obligations": Case(bulletin="duty", before=lambda w: w.bulletin("duty")),
    "consent request": Case(bulletin="third"),
    "consent grant": Case(KENYAN, bulletin="third", before=lambda w: w.asked()),
    "consent refuse": Case(KENYAN, bulletin="third"),
    "policy diff main..HEAD": Case(
        code=2, why="the last commit changes what is releasable", before=lambda w: w.changes()
    ),
    "policy plan": Case(code=12, why="changes are pending"),
    "policy apply": Case(typed="y\n"),
    "policy explain": Case(code=3, why="the decision is a denial"),
    "treaty ratify": Case(OFFICER, typed="y\n"),
    "treaty ratify demo-climate --effective": Case(OFFICER, typed="y\n", before=lambda w: w.withdraws()),
    "treaty reserve": Case(OFFICER, typed="y\n"),
    "treaty suspend": Case(OFFICER, typed="y\n"),
    "treaty withdraw": Case(OFFICER, typed="y\n"),
    "treaty reinstate": Case(OFFICER, typed="y\n"),
    "treaty resume": Case(
        "fra/users/operator", typed="y\n", code=8, why="no act of USA contradicts another here"
    ),
    "treaty fmt --check": Case(code=1, why="a file would change", before=lambda w: w.untidies()),
    "treaty backfill": Case(OFFICER, typed="y\n", before=lambda w: w.bulletin("climate")),
    "node run": Case(stopped=True, before=lambda w: w.stop()),
    "node move": Case(code=6, why="the server of the example is not there", before=lambda w: w.stop()),
    "member import": Case(typed="FINGERPRINT\n"),
    "courier import": Case(before=lambda w: w.carried()),
    "user revoke": Case(typed="y\n"),
    "user add d.vidal": Case(before=lambda w: w.requests("d.vidal")),
    "user change": Case(typed="y\n"),
    "user restore": Case(typed="y\n", before=lambda w: w.revokes("a.petit")),
    "vault passwd": Case(before=lambda w: w.stops_and_chooses()),
    "enrol c.roux.enrol --out": Case(before=lambda w: w.enrols("e.blanc")),
    "vault revoke": Case(typed="y\n"),
    "pki issue standby": Case(before=lambda w: w.requests("standby")),
    "pki revoke": Case(typed="y\n"),
    "pki revoke --user": Case(typed="y\n", before=lambda w: w.admits("b.noir")),
    "audit check-evidence": Case(before=lambda w: w.evidence()),
    "audit check-proof": Case(code=5, why="KEN saw it too", before=lambda w: w.member_files()),
    "verify fra-log": Case(before=lambda w: (w.followed(), w.member_files())),
    "verify release.json": Case(code=5, why="KEN saw it too", before=lambda w: w.member_files()),
    "audit reconcile": Case(before=lambda w: w.report()),
    "audit export": Case(code=8, why="no node of this world contradicts itself"),
    "audit export --tlog": Case(),
    "audit cosign": Case(before=lambda w: w.followed()),
    "node health": Case(before=lambda w: w.serving()),
    "audit settle": Case(typed="y\n", code=8, why="no node of this world contradicts itself"),
    "demo": Case(stopped=True, code=130, why="it is played to its end by test_demo.py; here it gets Ctrl-C"),
}
"""By the longest beginning of an example that is here; others need nothing and end with 0."""

ORDER = (
    "draft new",
    "treaty new",
    "trust root new",
    "trust root sign",
    "",
    "consent request",
    "consent grant",
    "consent refuse",
    "treaty backfill",
    "treaty suspend",
    "treaty reinstate demo-climate",
    "treaty reserve",
    "treaty reinstate demo-climate --category",
    "treaty withdraw demo-climate --effective",
    "treaty withdraw",
    "treaty ratify",
    "policy diff",
    "policy plan",
    "policy apply",
    "audit prove",
    "audit check-proof",
    "export",
    "verify",
    "audit report",
    "audit reconcile",
    "member suspend",
    "member resume",
    "pki rotate-ca --folder",
    "pki rotate-ca --finish",
    "node run",
    "node move",
    "vault passwd",
)
"""Examples that begin so come in this order, those that are not named where "" stands, as help has them."""

NO_JSON = {
    ("node", "run"),
    ("demo",),
    ("sim",),
    ("completion",),
    ("policy", "schema"),
}
"""Commands without --json: a service with a log of its own, scenes for people, a script, and a schema."""

NOT_IN_EXAMPLES = {
    f"intelshare/{name}/1"
    for name in (
        "batch-line",
        "evidence-settled",
        "labels",
        "moved",
        "poll-draft",
        "poll-refused",
        "released",
        "reading-allowed",
        "treaty-resumed",
    )
}
"""Documents that no example prints; ``Done.json`` holds them in the tests of their commands."""

ON_THE_SHELF = re.compile(
    r"policy (?!plan|apply|groups --folder)|conformance|treaty (list|show|lint|fmt|new|compare|timeline)"
)
"""What is run where the policy is; everything else is run at the desk."""


class World:
    """Three members, a desk and a shelf."""

    def __init__(self, home: Path) -> None:
        self.desk, self.shelf = home / "desk", home / "shelf"
        self.desk.mkdir()
        self.shelf.mkdir()
        self.running = contextlib.ExitStack()
        self._bulletins: dict[str, str] = {}
        self.more: dict[str, str] = {}
        self._path = f"{_installed(home / 'bin')}{os.pathsep}{os.environ['PATH']}"

    def found(self) -> None:
        """Make everything and start the nodes."""
        _furnish_shelf(self.shelf)
        for name in ("report.txt", "question.txt", "answer.txt"):
            (self.desk / name).write_text(f"The {name.removesuffix('.txt')} is about a phishing kit.\n")
        (self.desk / "annex.pdf").write_bytes(b"%PDF-1.7 an annex")
        (self.desk / "swe.passphrase").write_text("correct horse battery staple\n")
        (self.desk / "swe.passphrase").chmod(0o600)
        fra, *others = (self.desk / name for name in ("fra", "usa", "ken"))
        users = (
            ("fra/users/m.durand", "analyst"),
            (OFFICER, "releasing-officer"),
            ("usa/users/j.smith", "analyst"),
            (KENYAN, "releasing-officer"),
        )
        for folder in (fra, *others):
            ok("init", folder.name, folder, "--dev")
            (folder / "treaties" / "reporting.toml").write_text(REPORTING)
        (fra / "overlays" / "fra.toml").write_text(HOLD)
        shutil.copytree(fra / "treaties", self.desk / "law" / "treaties")
        (self.desk / "law" / "overlays").mkdir()
        (self.desk / "law" / "overlays" / "fra.toml").write_text(f"# Reworded.\n{HOLD}")
        for path, role in users:
            folder, name = self.desk / path.split("/")[0], path.rsplit("/")[-1]
            ok(
                "user",
                "add",
                name,
                "--folder",
                folder,
                "--role",
                role,
                "--clearance",
                "R3",
                "--category",
                "*",
            )
        for folder in (fra, *others):
            self.running.enter_context(running(folder))
        for other in others:
            introduce(fra, other)
        wait_for_links(fra, 2)

    def stop(self) -> None:
        """Stop all nodes."""
        self.running.close()

    def send(self, text: str, *words: str, who: str = "fra/users/m.durand", to: str = "USA") -> str:
        """Send a text; the id."""
        label = SHARED if who.startswith("fra") else "SECRET//REL TO USA, FRA"
        given = ("--to", to, "--label", label, "--category", "cyber", "--json", *words)
        done = intelshare("send", "-", *given, "--as", self.desk / who, stdin=text)
        assert done.code in ((0,) if "--wait" in words else (0, 3)), done
        return str(done.json["bulletin"])

    def bulletin(self, name: str) -> str:
        """The id of a bulletin that fits, sent when it is asked for first."""
        if name not in self._bulletins:
            self._bulletins[name] = BULLETINS[name](self)
        return self._bulletins[name][:8]

    def sources(self) -> None:
        """A server that does not answer."""
        source = 'name = "cert"\nkind = "taxii"\nurl = "http://127.0.0.1:9/c"\ncategory = "cyber"\n'
        (self.desk / "sources.toml").write_text(f"[[source]]\n{source}")

    def event(self) -> None:
        """An event of MISP."""
        event = {"Event": {"info": "Kit", "distribution": "3", "Tag": [{"name": "tlp:green"}]}}
        (self.desk / "event.json").unlink(missing_ok=True)
        (self.desk / "event.json").write_text(json.dumps(event))

    def gate(self) -> None:
        """A user for the gateway, and its file."""
        make_gateway_user(self.desk / "fra")
        (self.desk / "gateway.toml").write_text(gateway_settings())

    def shared(self) -> None:
        """A STIX file that another tool could have made."""
        objects = write_report(
            bulletin(portion("TLP:GREEN"), stix_portion(INDICATOR, label="TLP:GREEN")), REGISTRY
        )
        (self.desk / "report.stix.json").write_text(json.dumps(write_bundle_of(objects)))

    def ask(self, who: str, to: str) -> str:
        """A request for information; the id."""
        label = "UNCLASSIFIED" if who.startswith("usa") else f"//FRA NP//REL TO FRA, {to}"
        words = ("--category", "cyber", "--label", label, "--wait", "accepted", "--json")
        question = self.desk / "question.txt"
        asked = ok("rfi", "ask", question, "--to", to, *words, "--as", self.desk / who)
        return str(asked.json["bulletin"])

    def stops_and_chooses(self) -> None:
        """No node runs, and a new passphrase stands in a file."""
        self.stop()
        (self.desk / "new.passphrase").write_text("correct horse battery staple\n")
        (self.desk / "new.passphrase").chmod(0o600)

    def requests(self, name: str) -> None:
        """A certificate request that another tool could have made."""
        request = x509.load_der_x509_csr(request_key(os.urandom).request)
        (self.desk / f"{name}.csr").write_bytes(request.public_bytes(serialization.Encoding.PEM))

    def admits(self, name: str) -> None:
        """A user of FRA is added."""
        ok("user", "add", name, "--folder", self.desk / "fra", "--here")

    def revokes(self, name: str) -> None:
        """A user of FRA is revoked."""
        ok("user", "revoke", name, "--folder", self.desk / "fra", "--yes")

    def enrols(self, name: str) -> None:
        """Another enrolment under the name of the file that the examples have."""
        file = self.desk / "c.roux.enrol"
        file.unlink()
        ok("user", "add", name, "--folder", self.desk / "fra", "--elsewhere", "--out", file)

    def editor(self) -> None:
        """An editor that saves what it was given."""
        self.more["EDITOR"] = "true"

    def asked(self) -> None:
        """Wait until KEN knows that its consent is asked for."""
        words = ("consent", "list", "--open", "--json", "--as", self.desk / KENYAN)
        wait_until(lambda: ok(*words).json["entries"], "the question at KEN")

    def withdraws(self) -> None:
        """FRA leaves the treaty."""
        ok("treaty", "withdraw", "demo-climate", "--yes", "--as", self.desk / OFFICER)

    def untidies(self) -> None:
        """A treaty file that is not as ``treaty fmt`` writes it."""
        file = self.shelf / "treaties" / "demo-climate.toml"
        file.write_text(file.read_text() + "\n\n\n")

    def changes(self) -> None:
        """A branch whose last commit lets less through, and the same as two folders."""
        _git(self.shelf, "checkout", "-q", "-b", "change")
        file = self.shelf / "treaties" / "demo-climate.toml"
        shutil.copytree(file.parent, self.shelf / "old")
        file.write_text(file.read_text().replace('"R1"', '"R0"'))
        shutil.copytree(file.parent, self.shelf / "new")
        _git(self.shelf, "commit", "-q", "-a", "-m", "two")

    def report(self) -> None:
        """USA's report, to be compared with FRA's."""
        words = ("--treaty", "gsa-fra-usa", "--format", "json")
        (self.desk / "usa.json").write_text(
            ok("audit", "report", "--folder", self.desk / "usa", *words).out, "utf-8"
        )

    def carried(self) -> None:
        """A bundle of FRA for USA."""
        file = self.desk / "from-fra.bundle"
        ok("courier", "export", "USA", "--out", file, "--folder", self.desk / "fra")

    def member_files(self) -> None:
        """The member files of both nodes, as an auditor has them."""
        for name in ("fra", "usa"):
            file = self.desk / f"{name}.member"
            file.unlink(missing_ok=True)
            ok("member", "export", "--folder", self.desk / name, "--out", file)

    def followed(self) -> None:
        """FRA's log as others follow it, up to where USA has seen it."""
        log = self.desk / "fra-log"
        ok("audit", "export", "--tlog", log, "--folder", self.desk / "fra")
        words = ("audit", "cosign", log / "checkpoint", "--folder", self.desk / "usa")
        wait_until(lambda: intelshare(*words).code == 0, "USA to have seen that much")

    def serving(self) -> None:
        """FRA's node has written that it serves again: it writes it once a second."""
        health = ("node", "health", "--folder", self.desk / "fra")
        wait_until(lambda: intelshare(*health).code == 0, "FRA to say that it serves")

    def evidence(self) -> None:
        """Evidence against another USA, made in memory: no node contradicts itself on request."""
        members = met()
        forger = Forger(members, to="FRA", signer="USA")
        tip = forger.tip
        for seed, own in (("one", None), ("two", tip)):
            arrive(members["FRA"], members["USA"], forger.frame(tip=own, seed=seed))
        (row,) = (logs := Logs(members)).alarms("FRA")
        (self.desk / "evidence.json").write_bytes(logs.export("FRA", row, ["USA"]))
        trust = members["FRA"].node.trust.members["USA"]
        (self.desk / "usa.member").write_text(write_member_file(trust))

    def run(self, example: str, more: str = "") -> tuple[Done, str]:
        """Run an example, with more words behind it; how it ended, and what is wrong with it."""
        case = _case(example)
        if case.before is not None:
            case.before(self)
        done = self._ended(self._filled(example, case) + more, case)
        return done, judged(done, case)

    def _filled(self, text: str, case: Case) -> str:
        if BULLETIN in text:
            text = text.replace(BULLETIN, self.bulletin(case.bulletin))
        if KEY in text:
            keys = ok("vault", "status", "--folder", self.desk / "fra", "--json").json["keys"]
            text = text.replace(KEY, next(key["id"][:16] for key in keys if key["use"] == "signing"))
        if SERIAL in text:
            spare = ("pki", "issue", self.desk / "spare", "--folder", self.desk / "fra", "--json")
            text = text.replace(SERIAL, ok(*spare).json["serial"])
        if "FINGERPRINT" in text:
            text = text.replace("FINGERPRINT", ok("member", "fingerprint", "--folder", self.desk / "usa").out)
        return text

    def _ended(self, line: str, case: Case) -> Done:
        given = clean_environment(
            PATH=self._path,
            INTELSHARE_PROFILE=str(self.desk / case.who),
            XDG_CONFIG_HOME=str(self.desk / "config"),
            **self.more,
        )
        folder = self.shelf if ON_THE_SHELF.match(line.removeprefix("intelshare ")) else self.desk
        in_shell = set(line) & set("|<>$*")
        words = ["sh", "-c", f"exec {line}"] if in_shell else [*PROGRAM, *shlex.split(line)[1:]]
        if not (case.typed or case.stopped or in_shell):
            done = finished(words, cwd=folder, env=given)
            return Done(done.code, done.out, done.err)
        ours, theirs = pty.openpty() if case.typed else (None, subprocess.DEVNULL)
        command = process(
            words,
            ends_by=signal.SIGINT,
            cwd=folder,
            env=given,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            with command as started:
                out, err = _Reader(started.stdout), _Reader(started.stderr)
                if ours is not None:
                    os.write(ours, self._filled(case.typed, case).encode())
                if case.stopped:
                    self._interrupted(started, out, err, case)
                return Done(ended(started), out.all(), err.all())
        finally:
            if ours is not None:
                os.close(ours)
                os.close(theirs)

    def _interrupted(self, started: subprocess.Popen[str], out: _Reader, err: _Reader, case: Case) -> None:
        def shown() -> bool:
            # What it follows happens again and again, until it has begun to listen.
            if case.until is not None and not out.text:
                case.until(self)
            return bool(out.text or (case.until is None and err.text) or started.poll() is not None)

        wait_until(shown, "the command to show something")
        os.killpg(started.pid, signal.SIGINT)


class _Reader:
    """What a process has written so far."""

    def __init__(self, stream: IO[str] | None) -> None:
        assert stream is not None
        self.text = ""
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self.text += line

    def all(self) -> str:
        """Everything, once it has ended."""
        self._thread.join(patient(LIMIT))
        return self.text


BULLETINS: dict[str, Callable[[World], str]] = {
    "sent": lambda w: w.send(
        "phishing kit against the grid",
        "--attach",
        str(w.desk / "annex.pdf"),
        "--wait",
        "accepted",
        to="USA,KEN",
    ),
    "received": lambda w: w.send(
        "phishing kit against the grid", "--wait", "accepted", who="usa/users/j.smith", to="FRA"
    ),
    "mistake": lambda w: w.send("of a wrong source", "--wait", "accepted"),
    "held": lambda w: w.send("about a person", "--flag", "personal-data"),
    "held too": lambda w: w.send("about another", "--flag", "personal-data"),
    "to give up": lambda w: w.send("about a person", "--flag", "personal-data"),
    "third": lambda w: w.send("of KEN", "--label", OF_KEN, "--from-bulletin", w.bulletin("theirs")),
    "theirs": lambda w: w.send("of KEN", "--label", OF_KEN, "--wait", "accepted", who=KENYAN, to="FRA"),
    "duty": lambda w: w.send(
        "centrifuges", "--category", "proliferation", "--wait", "accepted", who="usa/users/j.smith", to="FRA"
    ),
    "climate": lambda w: w.send(
        "drought", "--category", "climate-disaster", "--label", "//FRA DR//REL TO FRA, KEN", to="USA"
    ),
    "question": lambda w: w.ask("usa/users/j.smith", "FRA"),
    "other question": lambda w: w.ask("usa/users/j.smith", "FRA"),
    "own question": lambda w: w.ask("fra/users/m.durand", "USA"),
}


def _installed(folder: Path) -> Path:
    """A folder with an ``intelshare`` that is this one."""
    folder.mkdir()
    script = folder / "intelshare"
    script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m intelshare "$@"\n')
    script.chmod(0o700)
    return folder


def _furnish_shelf(shelf: Path) -> None:
    """Treaties with their tests, in a first commit, and vectors."""
    shutil.copytree(REPOSITORY / "src" / "intelshare" / "demo" / "scenario" / "treaties", shelf / "treaties")
    shutil.copytree(REPOSITORY / "tests" / "vectors", shelf / "tests" / "vectors")
    for words in (("init", "-q", "-b", "main"), ("add", "treaties"), ("commit", "-q", "-m", "one")):
        _git(shelf, *words)


def _git(shelf: Path, *words: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    finished(["git", *who, *words], cwd=shelf, check=True)


def lines_of(path: tuple[str, ...]) -> list[str]:
    """The examples in the help of a command."""
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        assert run([*path, "--help"]) == 0
    _, _, after = shown.getvalue().partition("  Example")
    return [line.strip() for line in after.splitlines()[1:] if line.strip()]


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Whatever runs by itself, in the order of help."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def _longest(example: str, starts: Iterable[str]) -> str:
    words = example.removeprefix("intelshare ")
    return max((start for start in starts if words.startswith(start)), key=len, default="")


def _case(example: str) -> Case:
    return CASES.get(_longest(example, CASES), Case())


def judged(done: Done, case: Case) -> str:
    """What is wrong with how an example ended, or nothing."""
    told = done.out + done.err
    if "Traceback (most recent call last)" in told or "error[INTERNAL]" in told:
        return f"a defect: {told}"
    if done.code != case.code:
        return f"ended with {done.code}, not {case.code}: {told}"
    return ""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    one = World(tmp_path)
    with one.running:
        one.found()
        yield one


def test_every_command_shows_one_to_three_examples_of_itself() -> None:
    for path in commands(root):
        examples = lines_of(path)
        assert 1 <= len(examples) <= 3, path
        shown = path[:-1] if path == ("outbox", "show") else path
        for example in examples:
            assert example.startswith(" ".join(("intelshare", *shown))), (path, example)
            assert len(example) <= 96, f"{example} would be broken by a terminal of 100 characters"


def test_every_case_is_of_an_example_and_says_why_it_does_not_end_with_0() -> None:
    examples = [example for path in commands(root) for example in lines_of(path)]
    assert set(CASES) == {_longest(example, CASES) for example in examples} - {""}
    assert all(bool(case.why) == (case.code != 0) for case in CASES.values())


@pytest.mark.parametrize(
    ("done", "wrong"),
    [
        (Done(0, "shown", ""), False),
        (Done(1, "", "error[NOT_FOUND]: nothing"), True),
        (Done(0, "", "Traceback (most recent call last):"), True),
        (Done(0, "", "error[INTERNAL]: KeyError"), True),
    ],
)
def test_an_example_that_does_something_else_is_found(done: Done, wrong: bool) -> None:
    assert bool(judged(done, Case())) is wrong


@pytest.mark.timeout(600)
def test_every_example_does_what_it_says_as_it_is_printed(world: World) -> None:
    examples = [example for path in commands(root) for example in lines_of(path)]
    examples.sort(key=lambda example: ORDER.index(_longest(example, ORDER)))
    wrong = {example: said for example in examples if (said := world.run(example)[1])}
    assert not wrong, "\n".join(f"{example}: {said}" for example, said in wrong.items())


@pytest.mark.timeout(600)
def test_every_command_prints_json_as_its_schema_says(world: World) -> None:
    examples = [(path, example) for path in commands(root) for example in lines_of(path)]
    examples.sort(key=lambda one: ORDER.index(_longest(one[1], ORDER)))
    wrong: dict[str, str] = {}
    seen: set[str] = set()
    for path, example in examples:
        asked = prints_json(path) and not set(example) & set("|>")
        done, said = world.run(example, " --json" if asked else "")
        if asked:
            shown = documents_of(done.out)
            seen |= {str(document.get("schema")) for document in shown}
            said = said or "; ".join(line for document in shown for line in unlike_schema(document))
        if said:
            wrong[example] = said
    assert not wrong, "\n".join(f"{example}: {said}" for example, said in wrong.items())
    known = {f"intelshare/{name}/1" for name in document_names()}
    assert known - seen == NOT_IN_EXAMPLES


def test_every_command_but_a_few_prints_json() -> None:
    assert {path for path in commands(root) if not prints_json(path)} == NO_JSON


def prints_json(path: tuple[str, ...]) -> bool:
    """Whether a command takes --json."""
    command: click.Command = root
    for name in path:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), name)
        assert found is not None
        command = found
    return any(one.name == "as_json" for one in command.params)
