"""``config show``: every setting in effect, and its source: flag, environment, file or default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import click

from intelshare.cli.shared.help import CommandGroup, examples
from intelshare.cli.shared.options import printing
from intelshare.cli.shared.output import Out, Table
from intelshare.errors import ConfigError

_ENVIRONMENT = (
    ("INTELSHARE_PASSPHRASE_FILE", "passphrase file"),
    ("INTELSHARE_SECRETS", "folder of secrets"),
    ("INTELSHARE_DEBUG", "debug"),
    ("INTELSHARE_PATIENCE", "patience"),
    ("NO_COLOR", "no colour"),
)


class Setting(NamedTuple):
    """One value and its source."""

    name: str
    value: str
    origin: str


@click.group(cls=CommandGroup)
def config() -> None:
    """Show the settings in effect."""


@config.command(epilog=examples("intelshare config show --origin", "intelshare config show --folder fra"))
@click.option("--as", "--profile", "profile", metavar="FOLDER", help="Profile folder, as for other commands.")
@click.option(
    "--folder",
    envvar="INTELSHARE_FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Also show the node settings of this data folder.",
)
@click.option("--origin", is_flag=True, help="Show the source of each value.")
@printing
def show(out: Out, profile: str | None, folder: Path | None, origin: bool) -> None:
    """Show every setting. A flag overrides the environment, which overrides a profile, which overrides the
    default.
    """
    settings = [*_folder(folder), *_environment(), *_profile(profile)]
    if folder is not None:
        settings += _node(folder)
    out.document("config", {"settings": [setting._asdict() for setting in settings]})
    shown = [setting if origin else setting[:2] for setting in settings]
    out.table(Table(Setting._fields if origin else Setting._fields[:2], shown))


def _folder(folder: Path | None) -> list[Setting]:
    if folder is None:
        return [Setting("data folder", "", "default")]
    named = os.environ.get("INTELSHARE_FOLDER") == str(folder)
    return [Setting("data folder", str(folder), "INTELSHARE_FOLDER" if named else "--folder")]


def _environment() -> list[Setting]:
    # No secret is ever shown here: only the names of files.
    return [
        Setting(meaning, os.environ[name], name) if name in os.environ else Setting(meaning, "", "default")
        for name, meaning in _ENVIRONMENT
    ]


def _profile(given: str | None) -> list[Setting]:
    from intelshare.client import address_of, choose_profile, read_profile

    chosen = choose_profile(given, os.environ, Path.cwd())
    if chosen is None:
        return [Setting("profile", "", "default")]
    folder, origin = chosen
    found = read_profile(folder)
    file = str(folder / "profile.toml")
    try:
        address, where = address_of(found), file if found.address else "run.json of the node"
    except ConfigError:
        address, where = "", "the node is not running"
    return [
        Setting("profile", str(folder), origin),
        Setting("member", found.member, file),
        Setting("user", found.user, file),
        Setting("server name", found.server_name, file),
        Setting("address", address, where),
        Setting("spool", str(found.spool), file),
    ]


def _node(folder: Path) -> list[Setting]:
    import tomllib
    from dataclasses import asdict

    from intelshare.node.settings_file import read_settings
    from intelshare.private_files import read_trusted

    path = folder / "node.toml"
    settings = asdict(read_settings(path))
    written = tomllib.loads(read_trusted(path).decode("utf-8"))
    names = {*written, *written.get("listen", ()), *written.get("peers", ())}
    if "member" in written.get("peers", {}):
        names.add("dial_member")
    return [
        Setting(
            f"node {name.replace('_', ' ')}",
            _text(value),
            str(path) if name in names else "default",
        )
        for name, value in settings.items()
    ]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return ", ".join(f"{name}={_text(one)}" for name, one in sorted(value.items()))
    return str(value)
