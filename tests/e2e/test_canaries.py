"""Row 58: a word of its own in every secret, and a search wherever anything was written or shown."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

from e2e.nodes import (
    EXECUTABLE,
    Done,
    found,
    intelshare,
    introduce,
    log_of,
    ok,
    running,
    wait_for_links,
    wait_until,
)
from intelshare.cli.shared.node_folder import DEVELOPMENT_FILE
from intelshare.node.folder import Folder
from intelshare.vault.format import open_bytes

SHARED = "//FRA SECRET//REL TO FRA, USA"
OWN = "//FRA SECRET//REL TO FRA"
TITLE, TEXT, WITHHELD, FILE, QUEUED = (
    f"canary-{word}-0f3a9c" for word in ("title", "text", "withheld", "file", "queued")
)
SECRETS = (TITLE, TEXT, WITHHELD, FILE, QUEUED)


def keys_of(folder: Path) -> list[bytes]:
    """The passphrase of a folder, and every secret that it opens: keys, authorities, the key of the store."""
    passphrase = (folder / DEVELOPMENT_FILE).read_bytes().strip()
    data = Folder(folder).vault.read_bytes()
    opened = open_bytes(data, passphrase, allow_development=True)
    found = [entry.secret for _, entry in opened.entries if len(entry.secret) >= 16]
    assert len(found) >= 6
    return [passphrase, opened.key, *found]


def test_row_58_no_secret_is_in_any_file_log_metric_process_or_output_but_that_of_its_reader(
    tmp_path: Path,
) -> None:
    home, own = tmp_path / "nodes", tmp_path / "own"
    home.mkdir()
    own.mkdir()
    fra, usa = found(home / "fra", "FRA"), found(home / "usa", "USA")
    ana, smith = fra / "users" / "ana", usa / "users" / "ana"
    (own / "source.txt").write_text(WITHHELD)
    (own / "annex.txt").write_text(FILE * 1000)
    said: list[Done] = []

    def run(*words: str | Path, stdin: str = "") -> Done:
        said.append(ok(*words, stdin=stdin))
        return said[-1]

    with running(fra, EXECUTABLE) as one, running(usa, EXECUTABLE) as two:
        introduce(fra, usa)
        wait_for_links(fra)
        send = (
            "send",
            "-",
            "--as",
            ana,
            "--category",
            "cyber",
            "--to",
            "USA",
            "--label",
            SHARED,
            "--yes",
            "--json",
        )
        sent = run(
            *send,
            "--title",
            TITLE,
            "--portion",
            f"{own / 'source.txt'}:{OWN}",
            "--attach",
            own / "annex.txt",
            "--wait",
            "whole",
            stdin=TEXT,
        ).json["bulletin"]
        shown = ok("read", sent[:8], "--as", smith).out + ok("inbox", "--as", smith).out
        assert TEXT in shown
        assert TITLE in shown
        assert WITHHELD not in shown + ok("read", sent[:8], "--as", smith, "--json").out
        # A refusal, a stored answer, a search, a recall.
        said.append(intelshare(*send, "--key", "00" * 16, "--label", "//FRA NONSENSE", stdin=TEXT))
        assert said[-1].code != 0
        run("recall", sent[:8], "--as", ana, "--reason", "tested", "--yes")
        wait_until(
            lambda: "destroyed" in ok("outbox", sent[:8], "--as", ana, "--json").out,
            "the recall to be signed for",
        )
        # What a defect would show, and what another copy of the store holds.
        said.append(intelshare("read", "no such id", "--as", smith, "--json"))
        run("node", "backup", home / "backup", "--folder", fra)
        for folder in (fra, usa):
            for words in (
                ("node", "status"),
                ("node", "metrics"),
                ("audit", "report"),
                ("audit", "verify"),
            ):
                run(*words, "--folder", folder)
        said.append(intelshare("doctor", "--folder", fra))
        processes = [
            Path(f"/proc/{process.pid}/{name}").read_bytes()
            for process in (one, two)
            for name in ("cmdline", "environ")
        ]
        limits = [Path(f"/proc/{process.pid}/limits").read_text() for process in (one, two)]
    # What nobody can take: it waits in the store of a node that is stopped.
    with running(fra):
        run(*send, stdin=QUEUED)
    secrets = [secret for folder in (fra, usa) for secret in keys_of(folder)]
    places = {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        # Where they belong: the passphrase of a folder for development, and a user's own key.
        if path.is_file() and path.name not in (DEVELOPMENT_FILE, "key.pem")
    }
    assert any(place.startswith("backup") for place in places)
    places |= {f"output {number}": (done.out + done.err).encode() for number, done in enumerate(said)}
    places |= {f"process {number}": text for number, text in enumerate(processes)}
    assert log_of(fra).name in places
    assert not [
        (word, place)
        for word in SECRETS
        for place, data in places.items()
        if word.encode() in data or word.encode("utf-16-le") in data or word.encode().hex().encode() in data
    ]
    assert not [
        (number, place)
        for number, secret in enumerate(secrets)
        for place, data in places.items()
        if secret in data or secret.hex().encode() in data or b64encode(secret).rstrip(b"=") in data
    ]
    for text in limits:
        core = next(line for line in text.splitlines() if line.startswith("Max core file size"))
        assert core.split()[4] == "0"
