"""Prints the results of ``policy check`` and ``policy test`` in the chosen format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from intelshare.cli.shared.output import Out, error_lines

if TYPE_CHECKING:
    from intelshare.policy_tools import Result

FORMATS = ("text", "json", "github", "sarif", "junit", "tap")

format_option = click.option(
    "--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="Output format."
)


def write_results(
    results: list[Result], form: str, title: str, out: Out, figures: Mapping[str, object] | None = None
) -> None:
    """Write the results in one of the formats to stdout; ``figures`` only appear in JSON."""
    from intelshare import __version__
    from intelshare.errors import PolicyFileError
    from intelshare.policy_tools import Severity, as_json, github, junit, sarif, tap

    if form == "json":
        Out(json=True).document(title.replace(" ", "-"), {"results": as_json(results), **(figures or {})})
    elif form == "github":
        out.block(github(results))
    elif form == "sarif":
        click.echo(sarif(results, __version__), nl=False)
    elif form == "junit":
        click.echo(junit(results, title), nl=False)
    elif form == "tap":
        click.echo(tap(results), nl=False)
    else:
        for result in results:
            if result.severity is Severity.PASSED:
                continue
            named = result.place is None or result.name != result.place.source
            message = f"{result.name}: {result.message}" if result.name and named else result.message
            error = PolicyFileError(result.code, message, place=result.place, hint=result.hint)
            lines = error_lines(error)
            if result.severity is Severity.WARNING:
                lines[0] = lines[0].replace("error[", "warning[", 1)
            out.block("\n".join(lines))
            out.line()
