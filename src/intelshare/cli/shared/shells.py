"""Answers for bash and fish, where those of click break on spaces and commas."""

from __future__ import annotations

from shlex import quote
from typing import Any

from click.shell_completion import BashComplete, CompletionItem, FishComplete, add_completion_class


class Bash(BashComplete):
    """Quotes what has spaces: bash puts the word into the line as it is."""

    @staticmethod
    def _check_version() -> None:
        """Every bash of the last ten years knows what the script uses; asking costs a process."""

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """One line of the answer."""
        value = str(item.value)
        return f"{item.type},{quote(value) if item.type == 'plain' and ' ' in value else value}"


class Fish(FishComplete):
    """Cuts the answer at its first comma only: values and descriptions have commas."""

    source_template = FishComplete.source_template.replace(
        'split "," $completion', 'split -m 1 "," $completion'
    )


def use() -> None:
    """From now on click completes so."""
    add_completion_class(Bash, "bash")
    add_completion_class(Fish, "fish")
