"""A gateway over a real node, and requests to it as its consumers make them."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from hashlib import sha256
from pathlib import Path
from typing import Any

from e2e.nodes import PROGRAM, ok
from processes import process
from waits import wait_until

OPENCTI = "application/json, text/plain, */*"
"""What its connector accepts (OpenCTI, issue 4246)."""
TOKENS = {name: f"{name}-0123456789abcdef" for name in ("high", "low", "other")}
RIGHTS = {"high": ("R3", ["*"]), "low": ("R2", ["*"]), "other": ("R3", ["terrorism"])}


def settings(**limits: int) -> str:
    """A gateway's file."""
    lines = ["port = 0"]
    for name, (clearance, categories) in RIGHTS.items():
        digest = sha256(TOKENS[name].encode()).hexdigest()
        lines += [
            "[[consumer]]", f'name = "{name}"', f'token_sha256 = "{digest}"', f'clearance = "{clearance}"',
            f"categories = {json.dumps(categories)}",
        ]  # fmt: skip
    lines += ["[limits]", *(f"{name} = {value}" for name, value in limits.items())]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class Said:
    """An answer of a gateway."""

    status: int
    headers: Message
    """Whatever the case of a name."""
    data: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Gateway:
    """One that runs."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, path: str, consumer: str | None = "high", method: str = "GET", **headers: str) -> Said:
        """One request with a token, as ``Bearer``."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if consumer is not None:
            sent.setdefault("Authorization", f"Bearer {TOKENS.get(consumer, consumer)}")
        request = urllib.request.Request(self.url + path, headers=sent, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return Said(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Said(error.code, error.headers, error.read())

    def collection(self, consumer: str = "high", title: str = "Everything") -> str:
        """The path of one, by its title."""
        found = self.ask("/intelshare/collections/", consumer).json["collections"]
        return next(f"/intelshare/collections/{one['id']}/" for one in found if one["title"] == title)

    def objects(self, consumer: str = "high", query: str = "") -> list[Any]:
        """One page of everything."""
        found: list[Any] = self.ask(f"{self.collection(consumer)}objects/{query}", consumer).json.get(
            "objects", []
        )
        return found

    def reports(self, consumer: str = "high") -> dict[str, Any]:
        """Reports by their names."""
        return {one["name"]: one for one in self.objects(consumer) if one["type"] == "report"}


def basic(name: str) -> str:
    """The header of a client that has a name and a password."""
    return "Basic " + base64.b64encode(f"{name}:{TOKENS[name]}".encode()).decode()


def make_gateway_user(folder: Path, clearance: str = "R3", category: str = "*") -> None:
    """A user of the role, here."""
    words = ("--role", "gateway", "--clearance", clearance, "--category", category, "--here")
    ok("user", "add", "gate", "--folder", folder, *words)


@contextlib.contextmanager
def gateway(folder: Path, home: Path, text: str = "") -> Iterator[Gateway]:
    """A gateway of the node of a folder, caught up."""
    config, log = home / "gateway.toml", home / "gateway.log"
    config.write_text(text or settings())
    words = ["gateway", "run", "--config", config, "--as", folder / "users" / "gate", "--json"]
    with (
        log.open("ab") as errors,
        process([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=errors) as started,
    ):
        assert started.stdout is not None
        line = started.stdout.readline()
        assert line, log.read_text()
        one = Gateway(json.loads(line)["url"], log, started)
        wait_until(
            lambda: one.ask("/intelshare/").status == 200, "the gateway to have heard everything",
            signs=lambda: [log.stat().st_size], seen=lambda: [log.read_text()],
        )  # fmt: skip
        yield one
