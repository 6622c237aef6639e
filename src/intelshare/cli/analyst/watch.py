"""``watch`` and ``search``: what happens as it happens, and words in what one may see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.shared.follow import following, show_event
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing, talking
from intelshare.cli.shared.output import Out, Progress, Table

if TYPE_CHECKING:
    from intelshare.client import Client

CURSOR_FILE = "watch-cursor"
"""In the profile folder: where the last watch was."""


OWN = frozenset(
    (
        *("submitted", "sent", "accepted", "read", "refused", "destroyed"),
        *("withheld", "expired", "recalled", "undeliverable"),
    )
)
"""What happens to own bulletins."""


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


@click.command(epilog=examples("intelshare search phishing grid", "intelshare search --sent drought"))
@click.argument("words", nargs=-1, required=True)
@click.option("--sent", is_flag=True, help="In what your member has sent; else in what was received.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@printing
@talking
def search(client: Client, out: Out, words: tuple[str, ...], sent: bool, limit: int) -> None:
    """Find bulletins that hold all WORDS, newest first, among what you may see."""
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import short_id, short_time

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
