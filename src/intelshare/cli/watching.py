"""``watch`` and ``search``: what happens as it happens, and words in what one may see."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.helping import examples
from intelshare.cli.options import printing, talking
from intelshare.cli.output import Out, Progress, Table
from intelshare.errors import IntelshareError

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb

CURSOR_FILE = "watch-cursor"
"""In the profile folder: where the last watch was."""

_PAUSES = (0.5, 1, 2, 5, 10)
"""Seconds between attempts when the node does not answer; then every 10."""

OWN = frozenset(
    (
        *("submitted", "sent", "accepted", "read", "refused", "destroyed"),
        *("withheld", "expired", "recalled", "undeliverable"),
    )
)
"""What happens to own bulletins."""

_GONE = frozenset(("NODE_UNREACHABLE", "TIMED_OUT"))


@click.command(epilog=examples("intelshare watch", "intelshare watch --since last --once --json"))
@click.option(
    "--since",
    metavar="CURSOR",
    help="Go on from a cursor that was printed, or from `last`: where the last watch of this profile was.",
)
@click.option("--once", is_flag=True, help="End when everything so far was shown.")
@printing
@talking
def watch(client: Client, out: Out, since: str | None, once: bool) -> None:
    """Show what happens to bulletins, as far as you may know of it, until Ctrl-C.

    With --json one document a line, each with a cursor. A watch that goes on from a cursor misses nothing and
    tells nothing twice, whatever was restarted in between.
    """
    store = client.profile.folder / CURSOR_FILE
    cursor = _last(store) if since == "last" else since or ""
    for event in following(client, cursor, out, once=once):
        if event.what:
            show_event(event, out)
        # After it was shown: a crash in between shows it again, and loses nothing (c13).
        _keep(store, event.cursor)


def following(client: Client, cursor: str, out: Out, *, once: bool = False) -> Iterator[pb.WatchEvent]:
    """Events for ever, over restarts of the node. Raises IntelshareError for what waiting does not heal."""
    failures = 0
    while True:
        try:
            for event in client.watch(cursor, once=once):
                failures, cursor = 0, event.cursor
                yield event
            if once:
                return
        except IntelshareError as error:
            if error.code not in _GONE or once:
                raise
            if failures == 0:
                out.note(f"the node does not answer ({error.code}); waiting for it")
            time.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1


def show_event(event: pb.WatchEvent, out: Out) -> None:
    """One event as a line, for people or as JSON."""
    from intelshare.cli.plain import plain
    from intelshare.cli.tables import short_id, short_time

    if out.json:
        out.event("event", plain(event))
    else:
        words = (
            short_time(event.at),
            f"{event.what:<12}",
            short_id(event.bulletin) if event.bulletin else "",
            event.member,
            " ".join(event.codes),
            event.banner,
            event.title or event.text,
        )
        out.line("  ".join(word for word in words if word))
        sys.stdout.flush()


def cursor_now(client: Client) -> str:
    """Where a watch that begins now begins: to be taken before a list is asked for, so that nothing is missed
    between the two."""
    return next(event.cursor for event in client.watch(once=True))


def follow(client: Client, out: Out, cursor: str, wanted: Callable[[pb.WatchEvent], bool]) -> None:
    """After a list: what happens on, until Ctrl-C. ``wanted`` chooses."""
    for event in following(client, cursor, out):
        if event.what and wanted(event):
            show_event(event, out)


@click.command(epilog=examples("intelshare search phishing grid", "intelshare search --sent drought"))
@click.argument("words", nargs=-1, required=True)
@click.option("--sent", is_flag=True, help="In what your member has sent; else in what was received.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@printing
@talking
def search(client: Client, out: Out, words: tuple[str, ...], sent: bool, limit: int) -> None:
    """Find bulletins that hold all WORDS, newest first, among what you may see."""
    from intelshare.cli.plain import plain
    from intelshare.cli.tables import short_id, short_time

    found: list[Any] = []
    looked = 0
    with Progress(out, "bulletins looked through") as progress:
        for page in client.search(" ".join(words), outbox=sent):
            found.extend(page.matches)
            looked += page.looked
            progress.at(looked)
            if len(found) >= limit:
                break
    found = found[:limit]
    out.document("search", {"matches": [plain(match) for match in found], "looked": looked})
    if not found:
        out.note(f"nothing in {looked} bulletins")
        return
    rows = [
        (short_id(m.bulletin), m.originator, short_time(m.at), m.banner, m.title, m.excerpt) for m in found
    ]
    out.table(Table(("bulletin", "from", "at", "banner", "title", "found"), rows))


def _last(store: Path) -> str:
    try:
        return store.read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _keep(store: Path, cursor: str) -> None:
    from intelshare.private_files import write_private

    write_private(store, cursor.encode("ascii"))
