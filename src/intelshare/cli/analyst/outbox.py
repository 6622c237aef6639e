"""``outbox`` and ``why``: the state of each bulletin sent, and the reasons for what a recipient got."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from intelshare.cli.analyst.preview import show_held
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.completion import MEMBER, bulletins, know, members, see
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import printing, talking
from intelshare.cli.shared.output import Out
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.instant import Instant

if TYPE_CHECKING:
    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb

MAX_ASKED = 20
"""The most remembered bulletins that one ``outbox`` asks the node about when its list does not contain them.
"""


class _Outbox(CommandGroup):
    """``outbox`` lists, ``outbox ID`` shows one, ``outbox approve ID`` and ``refuse`` act."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Treat an argument that could be an id as one."""
        if set(args[0].lower()) <= set("0123456789abcdef"):
            args = ["show", *args]
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Commands, and ids."""
        return [*super().shell_complete(ctx, incomplete), *bulletins(ctx, self.params[0], incomplete)]


@click.group(
    cls=_Outbox,
    invoke_without_command=True,
    subcommand_metavar="[ID | approve|refuse|give-up ID --member M]",
    epilog=examples("intelshare outbox", "intelshare outbox --held", "intelshare outbox --follow"),
)
@click.option("--held", is_flag=True, help="List only bulletins held for a releasing officer.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Show at most N entries."
)
@click.option("--follow", is_flag=True, help="Keep showing what happens to them, until Ctrl-C.")
@printing
@click.option("--as", "--profile", "profile", metavar="FOLDER", help="Profile folder.")
@click.pass_context
def outbox(
    context: click.Context, out: Out, held: bool, limit: int, follow: bool, profile: str | None
) -> None:
    """List the bulletins that your member has sent, or show the one whose id begins with ID."""
    from intelshare.cli.analyst.watch import OWN
    from intelshare.cli.shared.follow import cursor_now
    from intelshare.cli.shared.follow import follow as go_on
    from intelshare.cli.shared.options import connect
    from intelshare.cli.shared.output import note_damaged
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import outbox_table

    if context.invoked_subcommand is not None:
        return
    with connect(profile) as client:
        cursor = cursor_now(client) if follow else ""
        found = client.outbox(held=held, limit=limit)
        (out.event if follow else out.document)("outbox", plain(found))
        see(client.profile, [entry.bulletin.hex() for entry in found.entries])
        know(client.profile, MEMBER, [pair.recipient for entry in found.entries for pair in entry.pairs])
        if found.entries:
            out.table(outbox_table(found.entries))
        else:
            out.note("nothing here")
        note_damaged(out, found.damaged)
        if not held:
            _name_forgotten(client, found, out)
        if follow:
            go_on(client, out, cursor, lambda event: event.what in OWN)


@outbox.command(epilog=examples("intelshare outbox 3f9a1c22"))
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@click.option("--follow", is_flag=True, help="Keep showing what happens to it, until Ctrl-C.")
@printing
@talking
def show(client: Client, out: Out, bulletin: str, follow: bool) -> None:
    """Show one bulletin with the state of each recipient. `intelshare read ID` opens its text."""
    from intelshare.cli.shared.follow import cursor_now
    from intelshare.cli.shared.follow import follow as go_on
    from intelshare.cli.shared.output import note_damaged
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import around, pair_table, precedence, short_time

    cursor = cursor_now(client) if follow else ""
    found = client.outbox(bulletin)
    entry = _only(found.entries)
    (out.event if follow else out.document)("outbox-entry", {**plain(entry), "damaged": list(found.damaged)})
    out.line(f"bulletin {entry.bulletin.hex()}  {entry.banner}")
    about = f"{precedence(entry.precedence)}  created {short_time(entry.created_at)}"
    author = f"by {entry.author}" if entry.author else "its author was forgotten"
    out.line("  ".join(part for part in (about, author, entry.title) if part))
    if entry.recalled_at:
        out.line(f"recalled {short_time(entry.recalled_at)}")
    if entry.purged_at:
        why = "after delivery" if entry.author else "or lost: known again from its recipients"
        out.line(f"content purged {short_time(entry.purged_at)}, {why}")
    for line in around(entry):
        out.line(line)
    out.table(pair_table(entry))
    note_damaged(out, found.damaged)
    for pair in entry.pairs:
        if pair.reason:
            out.line(f"{pair.recipient}: refused by {pair.refused_by}: {pair.reason}")
    if follow:
        go_on(client, out, cursor, lambda event: event.bulletin == entry.bulletin)


_member = click.option(
    "--member",
    required=True,
    metavar="CODE",
    shell_complete=members,
    help="The recipient for whom it is held.",
)


@outbox.command(epilog=examples("intelshare outbox approve 3f9a1c22 --member USA"))
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@_member
@click.option("--yes", is_flag=True, help="Do not show it, and do not ask.")
@printing
@talking
def approve(client: Client, out: Out, bulletin: str, member: str, yes: bool) -> None:
    """Release a held bulletin to one recipient. Releasing officers only, and never the author.

    Shows each portion with its text, what holds it and the rule under which it would go, and asks. Your node
    logs that you read it. If it is decided again while you look, or the law has come to deny it, nothing is
    released, and it stays held.
    """
    shown = b"" if yes else show_held(client, bulletin, member.upper(), "Release it")
    word = client.approve(bulletin, member.upper(), shown=shown)
    out.document("approval", {"recipient": member.upper(), "word": word, "reason": None})
    out.line(f"{member.upper()} {word}")


@outbox.command(
    "give-up",
    epilog=examples('intelshare outbox give-up 3f9a1c22 --member USA --reason "sent by fax" --yes'),
)
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@click.option(
    "--member", required=True, metavar="CODE", shell_complete=members, help="The recipient that is given up."
)
@click.option("--reason", required=True, help="Why. It is logged.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@printing
@talking
def give_up(client: Client, out: Out, bulletin: str, member: str, reason: str, yes: bool) -> None:
    """Stop waiting for one recipient: what was not accepted yet ends, undeliverable.

    The author and releasing officers. What was handed over is in doubt until the recipient has heard of it.
    """
    from intelshare.cli.shared.confirm import confirm

    confirm(f"Give up what waits for {member.upper()}?", yes=yes)
    word = client.give_up(bulletin, member.upper(), reason)
    out.document("given-up", {"recipient": member.upper(), "word": word})
    out.line(f"{member.upper()} {word}")


@outbox.command(epilog=examples('intelshare outbox refuse 3f9a1c22 --member USA --reason "name the source"'))
@click.argument("bulletin", metavar="ID", shell_complete=bulletins)
@_member
@click.option("--reason", required=True, help="Why. The author reads it; it does not leave your node.")
@click.option("--yes", is_flag=True, help="Do not show it, and do not ask.")
@printing
@talking
def refuse(client: Client, out: Out, bulletin: str, member: str, reason: str, yes: bool) -> None:
    """End what is held for one recipient: it is withheld for good. Releasing officers only, not the author.

    `intelshare outbox ID` shows the reason to the author.
    """
    if not yes:
        show_held(client, bulletin, member.upper(), "Refuse it for good")
    word = client.refuse(bulletin, member.upper(), reason)
    out.document("approval", {"recipient": member.upper(), "word": word, "reason": reason})
    out.line(f"{member.upper()} {word}: {reason}")


@click.command(
    epilog=examples(
        "intelshare why 3f9a1c22 --member KEN --changes", "intelshare why --file kit.jsonl --member KEN"
    )
)
@click.argument("bulletin", metavar="ID", required=False, shell_complete=bulletins)
@click.option("--member", required=True, metavar="CODE", shell_complete=members, help="The recipient.")
@click.option(
    "--file",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A draft instead of a bulletin: what would be decided for each line. Nothing is stored.",
)
@click.option(
    "--changes", is_flag=True, help="Also show the smallest changes that would release what is denied."
)
@printing
@talking
def why(client: Client, out: Out, bulletin: str | None, member: str, file: Path | None, changes: bool) -> int:
    """Explain the decision for one recipient: every portion, rule by rule, with article, file and line."""
    from intelshare.cli.shared.plain import plain
    from intelshare.cli.shared.tables import explanation, short_time

    if (bulletin is None) == (file is None):
        raise click.UsageError("name a bulletin by ID, or a draft by --file")
    if file is not None:
        return _why_file(client, out, file, member.upper())
    found = client.why(bulletin or "", member.upper(), changes=changes)
    out.document("why", plain(found))
    for line in explanation([found.decision], found.marks):
        out.line(line)
    for one in found.changes:
        basis = " ".join((one.basis, ", ".join(one.articles))).strip()
        out.line(f"  portion {one.position + 1} would go with another {one.change}: {one.to}   ({basis})")
    out.line(f"decided {short_time(found.decided_at)}, log entry {found.log_index}")
    return Exit.DONE


def _why_file(client: Client, out: Out, file: Path, member: str) -> int:
    """The same for each line of a draft, as it would be decided now."""
    from intelshare.cli.analyst.drafts import show_lines, tried_lines
    from intelshare.cli.shared.tables import explanation

    tried = tried_lines(client, file)
    if out.json or any(isinstance(found, IntelshareError) for _, found, _ in tried):
        return show_lines(tried, file, out)
    for number, found, to in tried:
        if isinstance(found, IntelshareError):
            continue
        out.line(f"line {number}  {found.banner}")
        pairs = [pair for pair in found.pairs if pair.recipient == member]
        if not pairs:
            out.line(f"  it is not for {member}, but for {', '.join(to)}")
        for line in explanation(pairs, found.portion_banners):
            out.line(f"  {line}")
    return Exit.DONE


def _only(entries: object) -> pb.OutboxEntry:
    found: list[pb.OutboxEntry] = list(entries)  # type: ignore[call-overload]
    if not found:
        raise DeliveryError(
            "NOT_FOUND", "your member has sent no bulletin with that id", hint="intelshare outbox"
        )
    return found[0]


def _name_forgotten(client: Client, found: pb.OutboxResponse, out: Out) -> None:
    """Name bulletins that the node once confirmed and no longer knows: the third memory of
    docs/promises.md, "Memories".
    """
    from intelshare.cli.shared.unanswered import unanswered_words
    from intelshare.client import spooled

    listed = {entry.bulletin.hex() for entry in found.entries}
    entries = list(spooled(client.profile.spool, Instant(time.time_ns() // 1000)))
    if (words := unanswered_words(entries)) is not None:
        out.note(": ".join(words))
    asked = 0
    for entry in entries:
        if entry.bulletin and entry.bulletin not in listed and asked < MAX_ASKED:
            asked += 1
            if not _known(client, entry.bulletin):
                out.note(
                    f"the node confirmed bulletin {entry.bulletin} and no longer knows it: tell an operator"
                )


def _known(client: Client, bulletin: str) -> bool:
    try:
        return bool(client.outbox(bulletin).entries)
    except IntelshareError as error:
        if error.code != "NOT_FOUND":
            raise
        return False
