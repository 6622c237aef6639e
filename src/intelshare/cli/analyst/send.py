"""``send``: submits text and files, and shows one row per recipient.

The idempotency key is on disk before the call. If the answer is lost, the command exits with 11 and prints
the command that resolves it, which carries the same key and stores nothing twice.
"""

from __future__ import annotations

import os
import shlex
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from intelshare.cli.analyst.compose import (
    PRECEDENCES,
    Composition,
    request_of,
    with_standard_input,
    words_of,
)
from intelshare.cli.shared.beside import NodeRegistry
from intelshare.cli.shared.codes import Exit
from intelshare.cli.shared.completion import bulletins, categories, flag_words, labels, members
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import originator, printing, talking
from intelshare.cli.shared.output import Out
from intelshare.errors import DeliveryError, IntelshareError
from intelshare.instant import SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from intelshare.client import Client
    from intelshare.wire.v1 import user_pb2 as pb

_OPEN = frozenset(("queued", "held", "sent", "in doubt"))
_WAITED = {
    "accepted": frozenset(("accepted", "read", "destroyed")),
    "read": frozenset(("read", "destroyed")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """The options that state how a bulletin is sent, and how much of it is shown."""

    dry_run: bool = False
    explain: bool = False
    strict: bool = False
    wait: str | None = None
    timeout: float = 30.0
    """The seconds that ``wait`` may take."""
    key: str | None = None
    yes: bool = False


@click.command(
    epilog=examples(
        'intelshare send report.txt --to USA,KEN --category cyber --label "//FRA SECRET//REL TO FRA, USA"',
        'intelshare send report.txt --to KEN --category cyber --label "//FRA SECRET" --dry-run --explain',
        'intelshare send --attach annex.pdf:"//FRA SECRET//REL TO FRA, USA" --to USA --category cyber',
    )
)
@click.argument("file", required=False)
@click.option(
    "--to",
    multiple=True,
    metavar="CODES",
    shell_complete=members,
    help="Recipients; repeatable, or separated by commas.",
)
@click.option(
    "--label",
    shell_complete=labels,
    help="Label of FILE (and of the title, unless --title-label is given).",
)
@click.option(
    "--category",
    shell_complete=categories,
    help="Subject category, as named in treaties: cyber, terrorism ...",
)
@click.option("--title", help="Title of the bulletin; it is a portion too.")
@click.option("--title-label", shell_complete=labels, help="Label of the title.")
@click.option(
    "--portion",
    "portions",
    multiple=True,
    metavar="FILE:LABEL",
    help='A further portion, as annex.pdf:"//FRA SECRET"; repeatable.',
)
@click.option(
    "--attach",
    "attached",
    multiple=True,
    metavar="FILE[:LABEL]",
    help="A file of up to 2 GiB that goes beside the bulletin; repeatable. Default label: that of FILE.",
)
@click.option(
    "--precedence",
    type=click.Choice(PRECEDENCES, case_sensitive=False),
    default=PRECEDENCES[0],
    show_default=True,
    help="Priority when messages have to queue.",
)
@click.option("--grade", default="", help="Admiralty grade of source and information, such as B2.")
@click.option(
    "--valid-until", metavar="TIME", help="Nothing is released or read after this: date, time, 36h or 7d."
)
@click.option(
    "--flag",
    "flags",
    multiple=True,
    shell_complete=flag_words,
    help="Flag such as personal-data, where law requires it; repeatable.",
)
@click.option(
    "--supersedes",
    default="",
    metavar="ID",
    shell_complete=bulletins,
    help="An earlier bulletin of your member that this one replaces.",
)
@click.option(
    "--in-reply-to",
    default="",
    metavar="ID",
    shell_complete=bulletins,
    help="A bulletin, received or sent, that this one answers.",
)
@originator("in_reply_to_from", of="the bulletin of --in-reply-to")
@click.option(
    "--from-bulletin",
    default="",
    metavar="ID",
    shell_complete=bulletins,
    help="The received bulletin that contains the portions under another member's label.",
)
@click.option("--rfi", type=click.Choice(["ask", "answer", "decline", "close"]), hidden=True)
@click.option("--due", metavar="TIME", hidden=True)
@click.option("--dry-run", is_flag=True, help="Show the decision; store nothing.")
@click.option("--explain", is_flag=True, help="Show every portion's reasons, basis and obligations.")
@click.option("--strict", is_flag=True, help="Exit with 5 if any portion is withheld from any recipient.")
@click.option(
    "--wait",
    type=click.Choice(["accepted", "read", "whole"]),
    help="Wait until every recipient has accepted (or read) it; whole: until all attachments have arrived.",
)
@click.option(
    "--timeout", type=click.FloatRange(0, 86400), default=30.0, show_default=True, help="Seconds to wait."
)
@click.option(
    "--batch",
    metavar="FILE",
    help="Send one bulletin for each line of FILE (- for standard input), as described above.",
)
@click.option(
    "--again", is_flag=True, help="With --batch: send a second copy of what an earlier run has stored."
)
@click.option("--key", help="Send again under this key, after the answer was lost.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation when a portion is withheld.")
@printing
@talking
@click.pass_context
def send(
    context: click.Context,
    /,
    client: Client,
    out: Out,
    batch: str | None,
    again: bool,
    dry_run: bool,
    explain: bool,
    strict: bool,
    wait: str | None,
    timeout: float,
    key: str | None,
    yes: bool,
    portions: tuple[str, ...],
    attached: tuple[str, ...],
    **composed: Any,
) -> int:
    """Send FILE and further portions to members. FILE may be - for standard input, which is also the default.

    A decision is made for each portion and each recipient; portions that may not go are withheld, and the
    table shows why. A recipient that did not get the bulletin of --supersedes or --in-reply-to is not told of
    it.

    With --batch, each line of FILE is one bulletin: a JSON object with the fields to (list), category, and
    label with text or file. Optional are title, title_label, portions (list of objects with file and label),
    precedence, grade, valid_until (a date or time), flags (list), supersedes, in_reply_to, from,
    from_bulletin, and key (UUID). All lines are checked before the first is sent. Run it again after an
    interruption, or after correcting a line: nothing is stored twice.
    """
    if batch is not None:
        _need_nothing_else(context)
        from intelshare.cli.analyst.batch import send_batch

        return send_batch(client, out, batch, again=again)
    if again:
        raise click.UsageError("--again can only be used with --batch")
    for name in ("to", "category"):
        if not composed[name]:
            raise click.MissingParameter(ctx=context, param=_parameter(context, name))
    how = Sending(
        dry_run=dry_run, explain=explain, strict=strict, wait=wait, timeout=timeout, key=key, yes=yes
    )
    from intelshare.cli.analyst.attach import split_attached
    from intelshare.cli.analyst.draft import split_portion

    composition = Composition(
        portions=tuple([split_portion(text) for text in portions]),
        attached=tuple([split_attached(text) for text in attached]),
        **composed,
    )
    return deliver(client, out, with_standard_input(composition), how)


_BESIDE_BATCH = frozenset(("batch", "again", "profile", "as_json", "quiet"))


def _need_nothing_else(context: click.Context) -> None:
    """Check that no other option is given: a batch's lines state what is sent. Raises click.UsageError."""
    for name in context.params:
        given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if given and name not in _BESIDE_BATCH:
            option = _parameter(context, name).get_error_hint(context)
            raise click.UsageError(f"{option} does not go with --batch: each line says what is sent")


def _parameter(context: click.Context, name: str) -> click.Parameter:
    return next(param for param in context.command.params if param.name == name)


def deliver(client: Client, out: Out, composition: Composition, how: Sending) -> int:
    """Send a composition, for ``send`` and ``rfi``. Return the exit code."""
    from intelshare.cli.shared import tables

    request = request_of(composition, _now(), NodeRegistry(client))
    if how.dry_run:
        answer = client.dry_run(request)
    else:
        if not how.yes and sys.stdin.isatty() and sys.stdout.isatty():
            _confirm(client.dry_run(request))
        answer = _submit(client, out, request, composition, how.key)
    states: Mapping[str, pb.OutboxPair] = {}
    if how.wait and not how.dry_run:
        out.note(f"bulletin {answer.bulletin.hex()} is stored and goes on its way")
        try:
            states = _wait(client, request, answer, how, out)
        except (KeyboardInterrupt, IntelshareError) as ended:
            # With --json the error is the one document.
            if not (out.json and isinstance(ended, IntelshareError)):
                _print(answer, {}, how, out, tables)
            out.note(_stored(answer.bulletin))
            raise
    _print(answer, states, how, out, tables)
    return _exit(answer, strict=how.strict)


def _stored(bulletin: bytes) -> str:
    """Say after an interruption that the bulletin is stored, and which commands follow."""
    name = bulletin.hex()[:8]
    return (
        f"bulletin {bulletin.hex()} is stored and goes on its way: `intelshare outbox {name}` shows it, "
        f"`intelshare recall {name} --reason ...` takes it back"
    )


def _submit(
    client: Client, out: Out, request: pb.SubmitRequest, composition: Composition, given: str | None
) -> pb.SubmitResponse:
    from intelshare.cli.analyst.attach import upload_attached
    from intelshare.client import (
        answered,
        content_digest,
        digest_key,
        forget,
        new_key,
        parse_key,
        remember,
        show_key,
    )

    spool, now = client.profile.spool, _now()
    key = parse_key(given) if given is not None else new_key(now, os.urandom)
    request.key = key
    upload_attached(client, out, request, [path for path, _ in composition.attached], key)
    digest = content_digest(digest_key(client.profile.key.parent), request)
    new = remember(spool, key, digest, now)
    stored = b""
    try:
        answer = client.submit(request)
        stored = answer.bulletin
        answered(spool, key, stored)
    except KeyboardInterrupt:
        resolving = _resolving(composition, show_key(key), request)
        doubt = "interrupted before the answer came: it may be stored; this stores nothing twice"
        out.note(_stored(stored) if stored else f"{doubt}: {resolving}")
        raise
    except IntelshareError as error:
        if error.code == "OUTCOME_UNKNOWN":
            raise DeliveryError(
                error.code,
                error.message,
                place=error.place,
                hint=f"run: {_resolving(composition, show_key(key), request)}",
            ) from None
        if new:
            forget(spool, key)
        raise
    return answer


def _resolving(given: Composition, key: str, request: pb.SubmitRequest) -> str:
    """Return the command that asks for the lost answer: the same one with its key and absolute times."""
    words = ["intelshare", "send", *words_of(given, request)]
    if given.text is not None:
        words.insert(2, "-")
    profile = click.get_current_context().params.get("profile")
    if profile:
        words += ["--as", profile]
    command = shlex.join([*words, "--key", key])
    if given.text is not None:
        return f"printf %s {shlex.quote(given.text)} | {command}"
    return f"{command}  (with the same text on standard input)" if given.file in (None, "-") else command


def _confirm(planned: pb.SubmitResponse) -> None:
    """On a terminal, show what would be withheld and ask.

    Raises DeliveryError POLICY_DENIED where nothing would go, ConfigError NOT_CONFIRMED.
    """
    from intelshare.cli.shared.confirm import confirm
    from intelshare.cli.shared.output import draw
    from intelshare.cli.shared.tables import recipient_table

    if any(portion.outcome == "deny" for pair in planned.pairs for portion in pair.portions):
        draw(recipient_table(planned.pairs), sys.stderr)
        if all(portion.outcome == "deny" for pair in planned.pairs for portion in pair.portions):
            raise DeliveryError(
                "POLICY_DENIED",
                "nothing of it would go to anybody; not sent, and nothing was stored",
                hint="--dry-run --explain shows every reason; --yes stores it all the same",
            )
        confirm(
            "Some portions are withheld. Send the rest?",
            yes=False,
            otherwise="not sent, and nothing was stored",
        )


def _wait(
    client: Client, request: pb.SubmitRequest, answer: pb.SubmitResponse, how: Sending, out: Out
) -> Mapping[str, pb.OutboxPair]:
    """Return the pairs once every recipient that still can has accepted. Raises DeliveryError TIMED_OUT."""
    from intelshare.cli.analyst.wait_for_pairs import wait_for_pairs

    files = _given_files(request, answer) if how.wait == "whole" else frozenset()

    def waits(pair: pb.OutboxPair) -> bool:
        whole = how.wait == "whole"
        return _may_still(pair, "accepted" if whole and pair.recipient not in files else how.wait)

    return wait_for_pairs(
        client,
        answer.bulletin,
        [pair.recipient for pair in answer.pairs],
        waits,
        done=f"have {'all of' if files else how.wait} it",
        timeout=how.timeout,
        out=out,
    )


def _given_files(request: pb.SubmitRequest, answer: pb.SubmitResponse) -> frozenset[str]:
    """Return the recipients to which an attachment goes."""
    from intelshare.cli.analyst.draft import ATTACHMENT

    places = {place for place, portion in enumerate(request.portions) if portion.kind == ATTACHMENT}
    return frozenset(
        pair.recipient
        for pair in answer.pairs
        if any(one.position in places and one.outcome != "deny" for one in pair.portions)
    )


def _may_still(pair: pb.OutboxPair, what: str | None) -> bool:
    """Return true if the state waited for has not been reached for a pair but still can be."""
    if what == "whole":
        return "WHOLE" not in pair.codes and pair.word in (*_OPEN, "accepted", "read")
    return pair.word not in _WAITED[what or "accepted"] and pair.word in (*_OPEN, "accepted")


def _print(
    answer: pb.SubmitResponse,
    states: Mapping[str, pb.OutboxPair],
    how: Sending,
    out: Out,
    tables: Any,
) -> None:
    from intelshare.cli.shared.plain import plain

    if out.json:
        out.document("submit", {**plain(answer), "pairs": [_pair(pair, states) for pair in answer.pairs]})
        return
    identity = "dry run: nothing stored" if how.dry_run else f"bulletin {answer.bulletin.hex()}"
    out.line(f"{identity}  {answer.banner}")
    out.table(tables.recipient_table(answer.pairs, states))
    if how.explain:
        for line in tables.explanation(answer.pairs, answer.portion_banners):
            out.line(line)


def _pair(pair: pb.PairDecision, states: Mapping[str, pb.OutboxPair]) -> dict[str, Any]:
    """The decision, with how the pair stands by now if that was waited for."""
    from intelshare.cli.shared.plain import plain

    now, decided = states.get(pair.recipient), plain(pair)
    if now is None:
        return {**decided, "took_seconds": None}
    stands = plain(now)
    return {**decided, **{name: stands[name] for name in ("word", "codes", "took_seconds")}}


def _exit(answer: pb.SubmitResponse, *, strict: bool) -> int:
    outcomes = [portion.outcome for pair in answer.pairs for portion in pair.portions]
    if outcomes and all(outcome == "deny" for outcome in outcomes):
        return Exit.DENIED
    return Exit.PARTLY if strict and "deny" in outcomes else Exit.DONE


def _now() -> Instant:
    # Whole seconds, so that a span such as 36h can be written down and read back as the same instant.
    return Instant(time.time_ns() // 1000 // SECOND * SECOND)
