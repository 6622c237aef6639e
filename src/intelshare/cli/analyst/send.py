"""``send``: from text and files to durable pairs, one row per recipient.

The idempotency key is on disk before the call. When the answer is lost the command ends with 11 and prints
the command that resolves it; that command carries the key and stores nothing twice.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.completion import members
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing, talking
from intelshare.cli.shared.output import Out, Progress
from intelshare.errors import ConfigError, DeliveryError, Place
from intelshare.instant import NEVER, SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb

_OPEN = frozenset(("queued", "held", "sent", "in doubt"))
_WAITED = {
    "accepted": frozenset(("accepted", "read", "destroyed")),
    "read": frozenset(("read", "destroyed")),
}
_POLL = 0.05
_GRADES = "ABCDEF", "123456"


@click.command(
    epilog=examples(
        'intelshare send report.txt --to USA,KEN --category cyber --label "//FRA SECRET//REL TO FRA, USA"',
        'intelshare send - --to USA --category cyber --label "//FRA NP" --precedence FLASH < report.txt',
        'intelshare send report.txt --to KEN --category cyber --label "//FRA SECRET" --dry-run --explain',
    )
)
@click.argument("file", required=False)
@click.option(
    "--to",
    multiple=True,
    required=True,
    metavar="CODES",
    shell_complete=members,
    help="Recipients; repeat, or separate by commas.",
)
@click.option("--label", help="Label of FILE (and of the title, unless it has its own).")
@click.option("--category", required=True, help="Subject category, as treaties name it: cyber, terrorism ...")
@click.option("--title", help="A title; it is a portion too.")
@click.option("--title-label", help="The title's own label.")
@click.option(
    "--portion",
    "portions",
    multiple=True,
    metavar="FILE:LABEL",
    help='A further portion, as annex.pdf:"//FRA SECRET"; repeatable.',
)
@click.option(
    "--precedence",
    type=click.Choice(["ROUTINE", "PRIORITY", "IMMEDIATE", "FLASH"], case_sensitive=False),
    default="ROUTINE",
    show_default=True,
    help="What goes first when not everything can.",
)
@click.option("--grade", default="", help="Admiralty grade of source and information, such as B2.")
@click.option(
    "--valid-until", metavar="TIME", help="After it nothing is released or read: date, time, 36h or 7d."
)
@click.option("--flag", "flags", multiple=True, help="Such as personal-data, where law asks; repeatable.")
@click.option("--supersedes", default="", metavar="ID", help="An own earlier bulletin that this replaces.")
@click.option("--in-reply-to", default="", metavar="ID", help="A received or own bulletin that this answers.")
@click.option("--rfi", type=click.Choice(["ask", "answer", "decline", "close"]), hidden=True)
@click.option("--due", metavar="TIME", hidden=True)
@click.option("--dry-run", is_flag=True, help="Show the decision; store nothing.")
@click.option("--explain", is_flag=True, help="Show every portion's reasons, basis and obligations.")
@click.option("--strict", is_flag=True, help="End with 5 if anything is withheld from anybody.")
@click.option(
    "--wait", type=click.Choice(["accepted", "read"]), help="Wait until all recipients have said so."
)
@click.option(
    "--timeout", type=click.FloatRange(0, 86400), default=30.0, show_default=True, help="Seconds to wait."
)
@click.option("--key", help="Send again under this key, after an answer was lost.")
@click.option("--yes", is_flag=True, help="Do not ask when something is withheld.")
@printing
@talking
def send(client: Client, out: Out, **given: Any) -> int:
    """Send FILE and further portions to members; - is standard input, also where nothing else is named.

    Each portion is decided for each recipient; what may not go is withheld, and the table says why.
    Whoever was not handed the bulletin of --supersedes or --in-reply-to is not told of it.
    """
    return deliver(client, out, given)


def deliver(client: Client, out: Out, given: dict[str, Any]) -> int:
    """What ``send`` does; ``rfi`` sends so too, also a ``text`` instead of a file. The exit code."""
    from intelshare.cli.shared import tables

    request = _request(given)
    if given["dry_run"]:
        answer = client.dry_run(request)
    else:
        if _asking(given):
            _confirm(client.dry_run(request))
        answer = _submit(client, request, given)
    states = _wait(client, answer, given, out) if given["wait"] and not given["dry_run"] else {}
    _print(answer, states, given, out, tables)
    return _exit(answer, strict=given["strict"])


def _request(given: dict[str, Any]) -> pb.SubmitRequest:
    from intelshare.cli.analyst import draft
    from intelshare.cli.shared.deadlines import until
    from intelshare.wire.v1 import user_pb2 as pb

    now = _now()
    grade = given["grade"].upper()
    if grade and not (len(grade) == 2 and grade[0] in _GRADES[0] and grade[1] in _GRADES[1]):
        raise ConfigError(
            "INPUT_INVALID", f'"{grade}" is no grade', place=Place("--grade"), hint="A to F, then 1 to 6: B2"
        )
    pieces = _pieces(given, now)
    if given["rfi"]:
        pieces = draft.marked(pieces, given["rfi"], until(given["due"], now, "--due"))
    draft.check_size([piece for piece, _ in pieces])
    return pb.SubmitRequest(
        to=draft.recipients(given["to"]),
        precedence=("ROUTINE", "PRIORITY", "IMMEDIATE", "FLASH").index(given["precedence"].upper()) + 1,
        valid_until=until(given["valid_until"], now),
        deliver_by=NEVER,
        portions=[
            draft.portion(piece, label, category=given["category"], flags=given["flags"], grade=grade)
            for piece, label in pieces
        ],
        supersedes=given["supersedes"],
        in_reply_to=given["in_reply_to"],
    )


def _pieces(given: dict[str, Any], now: Instant) -> list[tuple[Any, str]]:
    """Pieces with their labels, each read here first: a mistake is shown before anything is connected."""
    from intelshare.cli.analyst import draft
    from intelshare.cli.policy.label import read_label

    def checked(text: str | None, source: str, option: str) -> str:
        if text is None:
            raise ConfigError("INPUT_INVALID", f"{source} needs a label", place=Place(option))
        read_label(text, option, now, writing=True)
        return text

    file = given["file"]
    if file is None and not given["portions"] and not sys.stdin.isatty():
        file = "-"
    if given["label"] and file is None and (given["title"] is None or given["title_label"]):
        raise ConfigError(
            "INPUT_INVALID",
            "there is nothing that this labels",
            place=Place("--label"),
            hint="name the file, or - to send what comes on standard input too",
        )
    pieces: list[tuple[Any, str]] = []
    if given["title"] is not None:
        own = given["title_label"]
        label = checked(own or given["label"], "the title", "--title-label" if own else "--label")
        pieces.append((draft.title_piece(given["title"]), label))
    if file is not None:
        text = given.get("text")
        piece = draft.read_piece(file) if text is None else draft.text_piece(text.encode(), "--reason")
        pieces.append((piece, checked(given["label"], file, "--label")))
    for text in given["portions"]:
        path, label = draft.split_portion(text)
        pieces.append((draft.read_piece(path), checked(label, path, "--portion")))
    if not pieces:
        raise ConfigError(
            "INPUT_INVALID", "there is nothing to send", hint="give FILE, --portion, or text on stdin"
        )
    return pieces


def _submit(client: Client, request: pb.SubmitRequest, given: dict[str, Any]) -> pb.SubmitResponse:
    from intelshare.client import answered, forget, new_key, parse_key, remember, show_key

    spool, now = client.profile.spool, _now()
    again = given["key"] is not None
    key = parse_key(given["key"]) if again else new_key(now, os.urandom)
    request.key = key
    remember(spool, key, now)
    try:
        answer = client.submit(request)
    except DeliveryError as error:
        if error.code == "OUTCOME_UNKNOWN":
            raise DeliveryError(
                error.code,
                error.message,
                place=error.place,
                hint=f"run: {_resolving(given, show_key(key), request)}",
            ) from None
        if not again:
            forget(spool, key)
        raise
    except ConfigError:
        if not again:
            forget(spool, key)
        raise
    answered(spool, key, answer.bulletin)
    return answer


def _resolving(given: dict[str, Any], key: str, request: pb.SubmitRequest) -> str:
    """The command that asks for the lost answer: the same one with its key, and times that do not move."""
    from intelshare.instant import show

    words = ["intelshare", "send"]
    if given["file"] is not None:
        words.append(given["file"])
    for code in request.to:
        words += ["--to", code]
    for option in (
        "label", "category", "title", "title_label", "precedence", "grade", "supersedes", "in_reply_to",
        "rfi", "due",
    ):  # fmt: skip
        if given[option]:
            words += ["--" + option.replace("_", "-"), given[option]]
    for option, name in (("portions", "--portion"), ("flags", "--flag")):
        for value in given[option]:
            words += [name, value]
    if request.valid_until != NEVER:
        words += ["--valid-until", show(Instant(request.valid_until))]
    profile = click.get_current_context().params.get("profile")
    if profile:
        words += ["--as", profile]
    command = shlex.join([*words, "--key", key])
    if given.get("text") is not None:
        return f"printf %s {shlex.quote(given['text'])} | {command}"
    return f"{command}  (with the same text on standard input)" if given["file"] in (None, "-") else command


def _asking(given: dict[str, Any]) -> bool:
    return not given["yes"] and sys.stdin.isatty() and sys.stdout.isatty()


def _confirm(planned: pb.SubmitResponse) -> None:
    """On a terminal, show what would be withheld and ask. Raises click.Abort."""
    from intelshare.cli.shared.output import draw
    from intelshare.cli.shared.tables import recipient_table

    if any(portion.outcome == "deny" for pair in planned.pairs for portion in pair.portions):
        draw(recipient_table(planned.pairs), sys.stderr)
        click.confirm("Some of it is withheld. Send the rest?", abort=True, err=True)


def _wait(
    client: Client, answer: pb.SubmitResponse, given: dict[str, Any], out: Out
) -> Mapping[str, pb.OutboxPair]:
    """The pairs once all that can still be accepted is. Raises DeliveryError TIMED_OUT."""
    with Progress(out, f"recipients have {given['wait']} it") as progress:
        return _waited(client, answer, given, progress)


def _waited(
    client: Client, answer: pb.SubmitResponse, given: dict[str, Any], progress: Progress
) -> Mapping[str, pb.OutboxPair]:
    wanted = _WAITED[given["wait"]]
    end = time.monotonic() + given["timeout"]
    while True:
        entries = client.outbox(answer.bulletin.hex()).entries
        pairs = {pair.recipient: pair for pair in entries[0].pairs} if entries else {}
        waiting = [
            code
            for code, pair in pairs.items()
            if pair.word not in wanted and (pair.word in _OPEN or pair.word == "accepted")
        ]
        if not waiting:
            return pairs
        progress.at(len(pairs) - len(waiting), len(pairs))
        if time.monotonic() > end:
            raise DeliveryError(
                "TIMED_OUT",
                f"bulletin {answer.bulletin.hex()} is stored; {', '.join(waiting)} did not answer within "
                f"{given['timeout']:g} s",
                hint=f"intelshare outbox {answer.bulletin.hex()[:8]}",
            )
        time.sleep(_POLL)


def _print(
    answer: pb.SubmitResponse,
    states: Mapping[str, pb.OutboxPair],
    given: dict[str, Any],
    out: Out,
    tables: Any,
) -> None:
    from intelshare.cli.shared.plain import plain

    if out.json:
        out.document(
            "submit", plain(answer) | {"states": {code: plain(pair) for code, pair in states.items()}}
        )
        return
    identity = "dry run: nothing stored" if given["dry_run"] else f"bulletin {answer.bulletin.hex()}"
    out.line(f"{identity}  {answer.banner}")
    out.table(tables.recipient_table(answer.pairs, states))
    if given["explain"]:
        for line in tables.explanation(answer.pairs, answer.portion_banners):
            out.line(line)


def _exit(answer: pb.SubmitResponse, *, strict: bool) -> int:
    outcomes = [portion.outcome for pair in answer.pairs for portion in pair.portions]
    if outcomes and all(outcome == "deny" for outcome in outcomes):
        return Exit.DENIED
    return Exit.PARTLY if strict and "deny" in outcomes else Exit.DONE


def _now() -> Instant:
    # Whole seconds: a span such as 36h can then be written down and read again as the same instant.
    return Instant(time.time_ns() // 1000 // SECOND * SECOND)
