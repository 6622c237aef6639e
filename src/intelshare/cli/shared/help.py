"""Help texts: examples on separate lines, and the whole first sentence of each command.

Also suggests the command that a mistyped word may have meant.
"""

from __future__ import annotations

import click


def examples(*lines: str) -> str:
    """Return an epilog of command lines, each on a separate line and never wrapped, so that it can be copied.

    ``tests/e2e/test_examples.py`` runs every one of them.
    """
    return "\n".join(("\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)))


class CommandGroup(click.Group):
    """A group whose help truncates no sentence, and that suggests a command for a mistyped one."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with its first sentence, wrapped."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, one.get_short_help_str(formatter.width * 9))
                    for name, one in commands
                    if one and not one.hidden
                ]
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Raise UsageError, with a similar name, for a command that does not exist."""
        names = self.list_commands(ctx)
        if args[0] not in names and not ctx.resilient_parsing:
            from difflib import get_close_matches

            close = get_close_matches(args[0], names, n=1)
            hint = (
                f'did you mean "{close[0]}"?' if close else f"`{ctx.command_path} --help` lists all commands"
            )
            ctx.fail(f'there is no command "{args[0]}"; {hint}')
        return super().resolve_command(ctx, args)
