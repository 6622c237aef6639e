"""Labels on the command line: reads any form and writes any form. Pure: needs no node."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from intelshare.cli.policy.binding import bind, check
from intelshare.cli.shared.beside import own_option, registry_of
from intelshare.cli.shared.completion import members
from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table
from intelshare.cli.shared.times import moment
from intelshare.errors import ConfigError, LabelError, Place

if TYPE_CHECKING:
    from intelshare.instant import Instant
    from intelshare.labels import Found, Label, Registry

MAX_FILE_BYTES = 1 << 20
FORMS = ("shown", "banner", "portion", "prose", "stanag4774", "stix")

F = TypeVar("F", bound=Callable[..., Any])

at_option = click.option(
    "--at", "at", metavar="TIME", help="Interpret labels as of this date or time. Default: now."
)
form_option = click.option(
    "--form",
    type=click.Choice(FORMS),
    help="Write the label in this form; shown and banner differ only in accents.",
)


def file_option(function: F) -> F:
    """Add ``--file``, repeatable; the command gets ``files``."""
    return click.option(
        "--file",
        "files",
        metavar="FILE",
        multiple=True,
        help="Read from FILE (-: standard input): text, STANAG 4774 XML, a STANAG 4778 binding, STIX 2.1.",
    )(function)


@click.group(cls=CommandGroup)
def label() -> None:
    """Read, convert and roll up labels in any form. Needs no node.

    A label is a text (banner, portion, prose or TLP), a STANAG 4774 originatorConfidentialityLabel, or the
    markings of a STIX 2.1 object; what begins with < or { is read as XML or JSON.
    """


label.add_command(bind)
label.add_command(check)


@label.command(epilog=examples('intelshare label parse "//FRA S//REL TO FRA, USA"'))
@click.argument("text", required=False)
@file_option
@at_option
@own_option
@printing
def parse(text: str | None, files: tuple[str, ...], at: str | None, folder: Path | None, out: Out) -> None:
    """Show how TEXT is interpreted: authority, level, releasability, controls."""
    registry, when = registry_of(folder), moment(at)
    found = read_labels(() if text is None else (text,), files, when, registry)
    contents = [_content(each.label, registry, when) for each in found]
    labels = [each.label for each in found]
    if at is None and any(map(_named_by_group, labels)):
        out.note("groups in REL TO stand for their current members; --at chooses another time")
    unverified = dict.fromkeys(line for each in labels for line in _unverified(each, registry))
    for line in (*_own_meanings(labels, registry, when), *unverified):
        out.note(line)
    if len(found) == 1 and not found[0].subject:
        _show_one(contents[0], out)
    else:
        _show_many(found, contents, out)


def _show_one(content: Mapping[str, Any], out: Out) -> None:
    out.document("label", content)
    for name, value in content.items():
        if value not in (None, []):
            out.line(f"{name:<14} {', '.join(value) if isinstance(value, list) else value}")


def _show_many(found: Sequence[Found], contents: Sequence[dict[str, Any]], out: Out) -> None:
    places = [{"object": each.subject, "selector": each.selector} for each in found]
    out.document(
        "labels",
        {"labels": [place | content for place, content in zip(places, contents, strict=True)]},
    )
    rows = [
        (each.subject, each.selector or "(all of it)", content["shown"], content["reference"] or "")
        for each, content in zip(found, contents, strict=True)
    ]
    out.table(Table(("object", "selector", "label", "worth"), rows))


def _own_meanings(labels: Iterable[Label], registry: Registry, when: Instant) -> Iterator[str]:
    """Yield a note on each label whose level an American reader would take for another one."""
    for each in labels:
        meant = registry.english_meaning(each.authority or "", each.level or "", when)
        if meant is not None:
            own = f"{each.authority} {each.level}"
            yield f"{own} has its own meaning; in United States practice it would be {meant.name}"


def _unverified(label: Label, registry: Registry) -> Iterator[str]:
    """Yield notes on unverified definitions in the ladder and the groups that the label names."""
    if label.authority and (what := registry.ladder(label.authority).unverified):
        yield f"unverified in the ladder of {label.authority}: {what}"
    for code in (*(label.releasable_to or ()), *(label.displayable_to or ())):
        group = registry.groups.get(code)
        if group is not None and group.unverified:
            yield f"unverified in the group {code}: {group.unverified}"


@label.command(
    epilog=examples(
        'intelshare label convert "//NATO RESTRICTED" --to USA',
        'intelshare label convert "//FRA S//NF" --form stanag4774',
    )
)
@click.argument("text", required=False)
@file_option
@click.option(
    "--to", metavar="MEMBER", shell_complete=members, help="Authority into whose ladder to convert the level."
)
@form_option
@at_option
@own_option
@printing
def convert(
    text: str | None,
    files: tuple[str, ...],
    to: str | None,
    form: str | None,
    at: str | None,
    folder: Path | None,
    out: Out,
) -> None:
    """Convert the level of TEXT into another ladder (--to), or the whole label into another form (--form).

    Levels are converted by the general table: rounded up, never down.
    """
    registry, when = registry_of(folder), moment(at)
    if (to is None) == (form is None):
        raise click.UsageError("give either --to or --form")
    read = _single(read_labels(() if text is None else (text,), files, when, registry))
    if form is not None:
        _print_form(read, form, registry, when, out)
    elif to is not None:
        _print_level(read, to, registry, when, out)


@label.command(
    epilog=examples('intelshare label rollup "//FRA S//REL TO FRA, USA" "//FRA NP" --originator FRA')
)
@click.argument("texts", nargs=-1)
@file_option
@click.option(
    "--originator",
    metavar="MEMBER",
    shell_complete=members,
    required=True,
    help="Member whose banner it will be.",
)
@form_option
@at_option
@own_option
@printing
def rollup(
    texts: tuple[str, ...],
    files: tuple[str, ...],
    originator: str,
    form: str | None,
    at: str | None,
    folder: Path | None,
    out: Out,
) -> None:
    """Show the banner of a bulletin whose portions have these labels.

    Every label in a STIX file counts, those of objects and those of their properties.
    """
    from intelshare.labels import format_banner, show_banner
    from intelshare.labels import rollup as roll_up

    registry, when = registry_of(folder), moment(at)
    _member(originator, "--originator", registry)
    labels = [each.label for each in read_labels(texts, files, when, registry)]
    rolled = roll_up(originator, when, labels, registry)
    if form is not None:
        _print_form(rolled, form, registry, when, out)
        return
    shown = show_banner(rolled, registry)
    out.document("banner", {"banner": format_banner(rolled, registry), "shown": shown})
    out.line(shown)


def _named_by_group(read: Label) -> bool:
    """Return true if REL TO covers the owner of the information only through a group, which depends on the
    time.
    """
    named = read.releasable_to or ()
    owners = read.owners or ((read.authority,) if read.authority is not None else ())
    return bool(named) and any(owner not in named for owner in owners)


def _content(read: Label, registry: Registry, when: Instant) -> dict[str, Any]:
    from intelshare.labels import format_banner, format_portion, level_reference, show_banner

    reference = level_reference(read, registry, when)
    return {
        "label": format_banner(read, registry),
        "portion": format_portion(read, registry),
        "shown": show_banner(read, registry),
        "authority": read.authority,
        "level": read.level,
        "reference": None if reference is None else reference.name,
        "releasable_to": None if read.releasable_to is None else list(read.releasable_to),
        "displayable_to": None if read.displayable_to is None else list(read.displayable_to),
        "fgi": None if read.fgi is None else list(read.fgi),
        "controls": list(read.controls),
        "tlp": read.tlp,
        "owners": list(read.owners),
    }


def _print_level(read: Label, to: str, registry: Registry, when: Instant, out: Out) -> None:
    from intelshare.labels import convert as convert_level
    from intelshare.labels import format_banner, level_reference

    if read.authority is None or read.level is None:
        message = "a label that is only TLP has no level to convert"
        raise ConfigError(
            "INPUT_INVALID", message, place=Place("TEXT"), hint="--form writes it in another form"
        )
    _member(to, "--to", registry)
    converted = convert_level(registry, read.authority, read.level, to, when)
    there = registry.ladder(to).read(converted.name, when)
    shown = converted.name if there is None or there.display is None else there.display
    own = level_reference(read, registry, when)
    rounded = own is not None and converted.reference > own
    content = {
        "authority": to,
        "level": converted.name,
        "shown": shown,
        "reference": converted.reference.name,
        "rounded_up": rounded,
        "from": format_banner(read, registry),
    }
    out.document("conversion", content)
    out.line(f"{to} {shown}")
    if rounded and own is not None:
        out.note(f"{to} has no level for {own.word}: rounded up, with modified handling")


def _print_form(read: Label, form: str, registry: Registry, when: Instant, out: Out) -> None:
    written = _written(read, form, registry, when)
    if isinstance(written, str):
        out.document("label-form", {"form": form, "text": written, "bundle": None})
        out.block(written)
    else:
        out.document("label-form", {"form": form, "text": None, "bundle": written})
        out.block(json.dumps(written, indent=2))


def _written(read: Label, form: str, registry: Registry, when: Instant) -> str | Mapping[str, Any]:
    from intelshare.labels import (
        format_banner,
        format_portion,
        format_prose,
        show_banner,
        write_bundle,
        write_stanag4774,
    )

    if form == "stix":
        return write_bundle(read, registry)
    if form == "stanag4774":
        return write_stanag4774(read, registry, when)
    texts = {"shown": show_banner, "banner": format_banner, "portion": format_portion, "prose": format_prose}
    write = texts[form]
    return write(read, registry)


def _single(found: Sequence[Found]) -> Label:
    if len(found) == 1:
        return found[0].label
    message = f"{len(found)} labels were given, and only one can be converted"
    raise ConfigError("INPUT_INVALID", message, hint="`intelshare label parse` lists them")


def _member(code: str, option: str, registry: Registry) -> None:
    if not registry.is_member(code):
        message = f'"{code}" is not a state or organisation'
        raise ConfigError("UNKNOWN_MEMBER", message, place=Place(option), hint="FRA, USA, NATO ...")


def read_labels(texts: Sequence[str], files: Sequence[str], at: Instant, registry: Registry) -> list[Found]:
    """Return the labels in arguments and files, whatever their form.

    Raises LabelError, ConfigError NOT_FOUND, TOO_LARGE, INPUT_INVALID (not UTF-8), and click.UsageError if
    nothing is given.
    """
    if not texts and not files:
        raise click.UsageError("give a label, or --file")
    given = [(text, "TEXT" if len(texts) == 1 else f"TEXTS[{n}]") for n, text in enumerate(texts)]
    given += [(file_text(path), "standard input" if path == "-" else path) for path in files]
    return [found for text, source in given for found in _read_form(text, source, at, registry)]


def _read_form(text: str, source: str, at: Instant, registry: Registry) -> Sequence[Found]:
    from intelshare.labels import (
        WHOLE,
        Found,
        is_binding,
        read_binding,
        read_bundle,
        read_stanag4774,
    )

    begins = text.lstrip(" \t\r\n")[:1]
    try:
        if is_binding(text):
            bound = read_binding(text, registry, at, source=source)
            return [Found(one.uri, WHOLE, one.label) for one in bound]
        if begins == "{":
            return read_bundle(text, registry, at, source=source)
        if begins == "<":
            return [Found("", WHOLE, read_stanag4774(text, registry, at, source=source))]
    except LabelError as error:
        if error.place is None or error.place.source == source:
            raise
        # The label itself is wrong, not the XML or JSON around it: it is shown as text.
        place = replace(error.place, source=f"{source}, its label")
        raise LabelError(error.code, error.message, place=place, hint=error.hint) from None
    return [Found("", WHOLE, read_label(text, source, at, registry))]


def file_text(path: str) -> str:
    """Return the text of a file, or of standard input (``-``).

    Raises ConfigError NOT_FOUND, TOO_LARGE, INPUT_INVALID.
    """
    from intelshare.cli.shared.files import read_given

    source = "standard input" if path == "-" else path
    content = read_given(path, MAX_FILE_BYTES)
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError("TOO_LARGE", f"a file may have at most {MAX_FILE_BYTES} bytes", place=Place(source))
    try:
        # A text file ends with a line end, which a label must not contain.
        return content.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ConfigError("INPUT_INVALID", "this is not UTF-8", place=Place(source)) from None


def read_label(text: str, source: str, at: Instant, registry: Registry, *, writing: bool = False) -> Label:
    """Return the label in an argument; errors name the argument."""
    from intelshare.labels import parse_label

    try:
        return parse_label(text, registry, at, "write" if writing else "read")
    except LabelError as error:
        place = Place(source) if error.place is None else replace(error.place, source=source)
        raise LabelError(error.code, error.message, place=place, hint=error.hint) from None
