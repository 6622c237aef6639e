"""Commands that explain: error codes, exit codes, version, the caller's identity, completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from intelshare import __version__
from intelshare.cli.shared.codes import EXIT_MEANINGS, catalogue
from intelshare.cli.shared.completion import codes as code_names
from intelshare.cli.shared.help import examples
from intelshare.cli.shared.options import printing, talking
from intelshare.cli.shared.output import Out, Table
from intelshare.errors import ConfigError

if TYPE_CHECKING:
    from intelshare.client import Client


@click.command(epilog=examples("intelshare errors EXCEEDS_CEILING", "intelshare errors"))
@click.argument("code", required=False, shell_complete=code_names)
@printing
def errors(code: str | None, out: Out) -> None:
    """Explain CODE, or list all codes. Needs no node."""
    codes = catalogue()
    if code is None:
        out.document(
            "codes", {"codes": {n: {"exit": int(c.exit), "means": c.means} for n, c in codes.items()}}
        )
        out.table(
            Table(("code", "exit", "means"), [(n, str(int(c.exit)), c.means) for n, c in codes.items()])
        )
        return
    known = codes.get(code.upper())
    if known is None:
        from difflib import get_close_matches

        close = get_close_matches(code.upper(), codes, n=1)
        hint = f'did you mean "{close[0]}"?' if close else "`intelshare errors` lists all codes"
        raise ConfigError("NOT_FOUND", f'there is no code "{code}"', hint=hint)
    out.document(
        "code", {"code": code.upper(), "exit": int(known.exit), "means": known.means, "next": known.next}
    )
    out.line(code.upper())
    out.line(f"  {known.means}")
    out.line(f"  next: {known.next}")
    out.line(f"  exit code: {int(known.exit)} ({EXIT_MEANINGS[known.exit]})")


@click.command("help", epilog=examples("intelshare help exit-codes", "intelshare help treaty list"))
@click.argument("words", metavar="[exit-codes | COMMAND ...]", nargs=-1)
@printing
def help_(words: tuple[str, ...], out: Out) -> None:
    """Explain the exit codes or a command. Without an argument, list the commands."""
    if words == ("exit-codes",):
        exits = {str(int(e)): meaning for e, meaning in EXIT_MEANINGS.items()}
        out.document("exit-codes", {"exit_codes": exits})
        out.table(Table(("exit", "meaning"), list(exits.items())))
        return
    context = click.get_current_context().find_root()
    for word in words:
        group = context.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"`{context.command_path}` has no subcommands")
        name, command, _ = group.resolve_command(context, [word])
        context = click.Context(command or group, info_name=name, parent=context)
    out.document("help", {"text": context.get_help()})
    out.block(context.get_help())


@click.command(epilog=examples("intelshare version"))
@printing
def version(out: Out) -> None:
    """Print the version."""
    out.document("version", {"version": __version__})
    out.line(__version__)


@click.command(epilog=examples("intelshare whoami"))
@printing
@talking
def whoami(client: Client, out: Out) -> None:
    """Show who you are to the node: user, role, clearance."""
    from intelshare.cli.shared.plain import plain

    me = client.whoami()
    out.document("whoami", plain(me))
    rows = [
        ("user", me.user),
        ("member", me.member),
        ("role", me.role),
        ("clearance", me.clearance or "none"),
        ("nationality", me.nationality or "not stated"),
        ("categories", " ".join(me.categories) or "none"),
        ("node", me.node),
    ]
    for name, value in rows:
        out.line(f"{name:<12} {value}")


@click.command(epilog=examples("intelshare completion bash > intelshare.bash"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL: eval "$(intelshare completion bash)"."""
    from click.shell_completion import get_completion_class

    from intelshare.cli.shared.shells import use

    use()
    found = get_completion_class(shell)
    if found is None:
        raise ConfigError("NOT_FOUND", f"completion for {shell} is not available")
    script = found(click.get_current_context().find_root().command, {}, "intelshare", "_INTELSHARE_COMPLETE")
    click.echo(script.source())
