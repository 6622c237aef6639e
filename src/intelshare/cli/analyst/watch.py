"""``watch`` and ``search``: show events as they happen, and find words in the bulletins that one may see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.shared.follow import following, saving, show_event
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing, talking
from intelshare.cli.shared.output import Out, Progress, Table

if TYPE_CHECKING:
    from intelshare.client import Client

CURSOR_FILE = "watch-cursor"
"""The file in the profile folder that keeps where the last watch stopped."""


OWN = frozenset(
    (
        *("submitted", "sent", "accepted", "read", "refused", "destroyed"),
        *("withheld", "expired", "recalled", "undeliverable"),
    )
)
"""The events that concern bulletins which your member has sent."""


@click.command(epilog=examples("intelshare watch", "intelshare watch --since last --once --json"))
@click.option(
    "--since",
    metavar="CURSOR",
    help="Continue from a printed cursor, or from `last`: where this profile's last watch stopped.",
)
@click.option("--once", is_flag=True, help="Exit when everything so far has been shown.")
@printing
@talking
def watch(client: Client, out: Out, since: str | None, once: bool) -> None:
    """Show what happens to bulletins, as far as you may know of it, until Ctrl-C.

    With --json, each line is one document with a cursor. A watch that continues from a cursor misses nothing
    and repeats nothing, even if programs were restarted in between.
    """
    store = client.profile.folder / CURSOR_FILE
    cursor = _last(store) if since == "last" else since or ""
    with saving(lambda cursor: _keep(store, cursor)) as save:
        for event in following(client, cursor, out, once=once):
            if event.what:
                show_event(event, out)
            # Saved after the event was shown: a crash in between shows it again, and loses nothing (c13).
            save(event.cursor)


@click.command(epilog=examples("intelshare search phishing grid", "intelshare search --sent drought"))
@click.argument("words", nargs=-1, required=True)
@click.option(
    "--sent",
    is_flag=True,
    help="Search the bulletins that your member has sent. Default: those it has received.",
)
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Show at most N entries."
)
@printing
@talking
def search(client: Client, out: Out, words: tuple[str, ...], sent: bool, limit: int) -> None:
    """Find the bulletins that contain all WORDS, among those that you may see, newest first."""
    from intelshare.cli.shared.output import note_damaged, note_waiting
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_id, short_time

    found: list[Any] = []
    waiting: list[Any] = []
    looked, damaged = 0, dict[str, None]()
    with Progress(out, "bulletins looked through") as progress:
        for page in client.search(" ".join(words), outbox=sent):
            found.extend(page.matches)
            looked += page.looked
            damaged.update(dict.fromkeys(page.damaged))
            waiting.extend(page.waiting)
            progress.at(looked)
            if len(found) >= limit:
                break
    found = found[:limit]
    matches = [plain(match) for match in found]
    waits = [plain(one) for one in waiting]
    out.document("search", {"matches": matches, "looked": looked, "damaged": list(damaged), "waiting": waits})
    note_damaged(out, damaged)
    note_waiting(out, waiting)
    if not found:
        out.note(f"no match in {looked} bulletins")
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
