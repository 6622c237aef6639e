"""Labels on the command line. Pure: needs no node."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from intelshare.cli.options import printing
from intelshare.cli.output import Out
from intelshare.errors import ConfigError, LabelError, Place

if TYPE_CHECKING:
    from intelshare.instant import Instant
    from intelshare.labels import Label


@click.group()
def label() -> None:
    """Read, convert and roll up labels. Needs no node."""


@label.command()
@click.argument("text")
@click.option("--at", "at", metavar="TIME", help="Judge at this date or time; else now.")
@printing
def parse(text: str, at: str | None, out: Out) -> None:
    """Show how TEXT is read: authority, level, releasability, controls."""
    from intelshare.labels import format_banner, format_portion, level_reference, show_banner
    from intelshare.packs import builtin_registry

    registry, when = builtin_registry(), moment(at)
    read = read_label(text, "TEXT", when)
    reference = level_reference(read, registry, when)
    content = {
        "label": format_banner(read, registry),
        "portion": format_portion(read, registry),
        "shown": show_banner(read, registry),
        "authority": read.authority,
        "level": read.level,
        "reference": None if reference is None else reference.name,
        "releasable_to": None if read.releasable_to is None else list(read.releasable_to),
        "controls": list(read.controls),
        "tlp": read.tlp,
        "owners": list(read.owners),
    }
    out.document("label", content)
    for name, value in content.items():
        if value not in (None, []):
            out.line(f"{name:<14} {', '.join(value) if isinstance(value, list) else value}")


@label.command()
@click.argument("text")
@click.option("--to", required=True, help="Authority into whose ladder to convert.")
@click.option("--at", "at", metavar="TIME", help="Judge at this date or time; else now.")
@printing
def convert(text: str, to: str, at: str | None, out: Out) -> None:
    """Convert the level of TEXT into another ladder, by the general table: rounded up, never down."""
    from intelshare.labels import convert as convert_level
    from intelshare.packs import builtin_registry

    registry, when = builtin_registry(), moment(at)
    read = read_label(text, "TEXT", when)
    if read.authority is None or read.level is None:
        raise ConfigError(
            "INPUT_INVALID", "a label of TLP alone has no level to convert", place=Place("TEXT")
        )
    if not registry.is_member(to):
        raise ConfigError(
            "UNKNOWN_MEMBER",
            f'"{to}" is no state or organisation',
            place=Place("--to"),
            hint="FRA, USA, NATO ...",
        )
    converted = convert_level(registry, read.authority, read.level, to, when)
    out.document("conversion", {"authority": to, "level": converted.name})
    out.line(f"{to} {converted.name}")


@label.command()
@click.argument("texts", nargs=-1, required=True)
@click.option("--originator", required=True, help="Member whose banner it will be.")
@click.option("--at", "at", metavar="TIME", help="Judge at this date or time; else now.")
@printing
def rollup(texts: tuple[str, ...], originator: str, at: str | None, out: Out) -> None:
    """Show the banner of a bulletin whose portions have these labels."""
    from intelshare.labels import format_banner
    from intelshare.labels import rollup as roll_up
    from intelshare.packs import builtin_registry

    registry, when = builtin_registry(), moment(at)
    if not registry.is_member(originator):
        raise ConfigError(
            "UNKNOWN_MEMBER", f'"{originator}" is no state or organisation', place=Place("--originator")
        )
    labels = [read_label(text, f"TEXTS[{n}]", when) for n, text in enumerate(texts)]
    banner = format_banner(roll_up(originator, when, labels, registry), registry)
    out.document("banner", {"banner": banner})
    out.line(banner)


def read_label(text: str, source: str, at: Instant, *, writing: bool = False) -> Label:
    """The label of an argument; errors name the argument instead of a nameless text."""
    from intelshare.labels import parse_label
    from intelshare.packs import builtin_registry

    try:
        return parse_label(text, builtin_registry(), at, "write" if writing else "read")
    except LabelError as error:
        place = Place(source) if error.place is None else replace(error.place, source=source)
        raise LabelError(error.code, error.message, place=place, hint=error.hint) from None


def moment(text: str | None) -> Instant:
    """The instant that a person wrote, or now. Raises ConfigError INPUT_INVALID."""
    import time

    from intelshare.instant import Instant
    from intelshare.instant import parse as parse_instant

    if text is None:
        return Instant(time.time_ns() // 1000)
    try:
        return parse_instant(text)
    except ValueError as error:
        raise ConfigError(
            "INPUT_INVALID",
            f"not a time: {error}",
            place=Place("--at"),
            hint="2026-05-01 or 2026-05-01T12:00:00Z",
        ) from None
