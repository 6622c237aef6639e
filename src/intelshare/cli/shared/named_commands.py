"""Completes the commands that an answer names, so that they can be copied: with the data folder that the
command was given.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

import click
from click.core import ParameterSource

_COMMAND: Final = re.compile(r"`intelshare ([^`]+)`")
_BLANK: Final = re.compile(r"--folder FOLDER\b")
_WORD: Final = re.compile(r"[a-z][a-z-]*")

_AT_OTHERS: Final = ("member import", "trust root")
"""The commands that are also meant for partners, or for the holders of the root: they have other folders."""


def complete(text: str) -> str:
    """Return the text with the folder of the running command in each command that takes one and names none.

    The text itself, if the command was given no folder: where INTELSHARE_FOLDER is set, a copied command
    finds it too.
    """
    context = click.get_current_context(silent=True)
    if context is None or not _has_data_folder(context.command):
        return text
    if context.get_parameter_source("folder") is not ParameterSource.COMMANDLINE:
        return text
    given = f"--folder {shlex.quote(str(context.params['folder']))}"
    root = context.find_root().command

    def completed(found: re.Match[str]) -> str:
        words = found[1].split()
        named = {"--folder", "--as"} & set(words)
        if named or found[1].startswith(_AT_OTHERS) or not _takes_folder(root, words):
            return found[0]
        return f"`intelshare {found[1].rstrip()} {given}`"

    return _COMMAND.sub(completed, _BLANK.sub(lambda _: given, text))


def _takes_folder(command: click.Command, words: list[str]) -> bool:
    context = click.Context(command)
    for word in words:
        if not isinstance(command, click.Group) or not _WORD.fullmatch(word):
            break
        found = command.get_command(context, word)
        if found is None:
            return False
        command = found
    return _has_data_folder(command)


def _has_data_folder(command: click.Command) -> bool:
    """Return true if ``--folder`` of a command is the data folder: of some it is where to write, or read."""
    return any(parameter.envvar == "INTELSHARE_FOLDER" for parameter in command.params)
