"""The root command: imports commands lazily, runs one, and turns its result into an exit code."""

from __future__ import annotations

import contextlib
import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from intelshare import __version__
from intelshare.cli.shared.codes import Exit, exit_of
from intelshare.cli.shared.commands import COMMANDS
from intelshare.cli.shared.help import CommandGroup
from intelshare.cli.shared.output import print_error
from intelshare.errors import IntelshareError, Place

_STDOUT: Final = 1
"""The descriptor of standard output, whatever writes to it by now."""


class LazyGroup(CommandGroup):
    """A group that imports a command only when it runs; the group's help needs the table alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return the command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands by section."""
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(name, entry.help) for name, entry in COMMANDS.items() if entry.section == section]
                )


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, "--version", message="%(version)s", help="Print the version and exit.")
def root() -> None:
    """Share intelligence between sovereign members: each portion, for each recipient, under an article.

    `intelshare COMMAND --help` shows what a command does, with examples.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return the exit code. Prints errors itself and raises nothing."""
    session: dict[str, bool] = {"json": False}
    output = sys.stdout
    try:
        ended = root.main(list(arguments), prog_name="intelshare", standalone_mode=False, obj=session)
        sys.stdout.flush()
    except IntelshareError as error:
        print_error(error, as_json=session["json"])
        return exit_of(error.code)
    except NoArgsIsHelpError as error:
        sys.stderr.write(error.format_message() + "\n")
        return Exit.USAGE
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx is not None else "intelshare"
        hint = f"{where} --help"
        print_error(
            IntelshareError("USAGE", error.format_message(), place=Place(where), hint=hint),
            as_json="--json" in arguments,
        )
        return Exit.USAGE
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return Exit.INTERRUPTED
    except click.ClickException as error:
        print_error(IntelshareError("INPUT_INVALID", error.format_message()), as_json=session["json"])
        return Exit.FAILED
    except (BrokenPipeError, SystemExit) as error:
        if isinstance(error, SystemExit) and sys.stdout is output:
            raise
        # The reader of the pipe has closed it: click then replaces the output, and exits by itself. Nothing
        # more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), _STDOUT)
        return Exit.DONE
    except Exception as error:
        if os.environ.get("INTELSHARE_DEBUG"):
            raise
        if isinstance(error, OSError):
            # Where standard output is what has no room, the document has none either.
            with contextlib.suppress(OSError):
                print_error(found := _of_file(error), as_json=session["json"])
            return exit_of(found.code)
        message = f"{type(error).__name__}: {error}"
        hint = "set INTELSHARE_DEBUG=1 and run it again to see where it failed"
        print_error(IntelshareError("INTERNAL", message, hint=hint), as_json=session["json"])
        return Exit.FAILED
    return ended if isinstance(ended, int) else Exit.DONE


def _of_file(error: OSError) -> IntelshareError:
    """Return the error for a file that a command cannot use, or was writing if the file has no name."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    message = f"cannot be {'written' if full else 'used'}: {error.strerror}"
    hint = "check the file's name and permissions, and that the disk has space"
    place = None if error.filename is None else Place(os.fsdecode(error.filename))
    return IntelshareError("DISK_FULL" if full else "INPUT_INVALID", message, place=place, hint=hint)


def _open_closed_streams() -> None:
    """Open whichever standard stream the caller has closed, on nothing: the next file that is opened would
    have its number, and get what a library writes to standard error.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8"))


def main() -> NoReturn:
    """Run the ``intelshare`` script. It prints UTF-8 in every locale, because names of levels need it."""
    if "_INTELSHARE_COMPLETE" in os.environ:
        from intelshare.cli.shared.shells import use

        use()
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    code = run(sys.argv[1:])
    # The system takes back all memory at once. To look through it first would be a sixth of a long start.
    gc.freeze()
    sys.exit(code)
