"""New law is written whole or not at all, whatever ends the program that writes it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intelshare.errors import ConfigError, PolicyFileError
from intelshare.ids import MemberCode, NodeUri
from intelshare.node.folder import Folder
from intelshare.node.new_law import NewLaw, new_law, write_law
from intelshare.node.policies import law_texts
from intelshare.node.settings import Settings

FRA = Settings(MemberCode("FRA"), NodeUri("spiffe://fra.example/node/node-1"))
TREATY = 'id = "{0}"\ntitle = "t"\nkind = "bilateral"\nin_force = {1}\nsource = "s"\n'
GROUPS = 'source = "s"\n[state]\nXAT = "Atlantis"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    for kind in (folder.treaties, folder.overlays):
        kind.mkdir()
    for name in ("one", "two", "three"):
        (folder.treaties / f"{name}.toml").write_text(TREATY.format(name, "2024-01-01"))
    return folder


def change(folder: Folder) -> NewLaw:
    """One file changes, one is new, one of a new kind too, two go."""
    return new_law(
        folder,
        FRA,
        {
            Path("one.toml"): TREATY.format("one", "2025-01-01"),
            Path("four.toml"): TREATY.format("four", "2025-01-01"),
        },
        None,
        {Path("groups/xat.toml"): GROUPS},
        prune=True,
    )


class Power:
    """Fails at the n-th change of the disk that is counted, and at every one after it."""

    def __init__(self, left: int) -> None:
        self.left = left

    def over(self, does: Callable[..., Any]) -> Callable[..., Any]:
        def done(*given: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return does(*given, **named)

        return done


def test_an_interrupted_change_is_finished_by_whoever_reads_or_has_not_begun(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = law_texts(folder)
    law = change(folder)
    after = law.wanted
    seen = set()
    for left in range(100):
        power = Power(left)
        with monkeypatch.context() as patched:
            for name in ("rename", "replace", "unlink", "mkdir"):
                patched.setattr(Path, name, power.over(getattr(Path, name)))
            patched.setattr(os, "fsync", power.over(os.fsync))
            ended = False
            try:
                write_law(law)
                ended = True
            except KeyboardInterrupt:
                pass
        found = law_texts(folder)
        assert found in (before, after), left
        seen.add(found == after)
        assert law_texts(folder) == found
        if ended:
            break
        # Back to where it began, also what was left lying about.
        if found == after:
            write_law(back_to(folder, before))
    assert ended
    assert seen == {True, False}
    assert sorted(path.name for path in folder.root.iterdir()) == ["groups", "overlays", "treaties"]


def back_to(folder: Folder, before: dict[Path, bytes]) -> NewLaw:
    treaties = {path: data.decode() for path, data in before.items()}
    return new_law(folder, FRA, treaties, None, {}, prune=True)


def test_a_folder_that_changed_since_its_effect_was_shown_is_not_written(folder: Folder) -> None:
    law = change(folder)
    (folder.treaties / "two.toml").write_text(TREATY.format("two", "2026-01-01"))
    before = law_texts(folder)
    with pytest.raises(ConfigError) as raised:
        write_law(law)
    assert raised.value.code == "LAW_CHANGED"
    assert law_texts(folder) == before


@pytest.mark.parametrize("kind", ["pipe", "folder", "huge", "cycle"])
def test_what_is_no_ordinary_file_is_refused_by_name_and_waited_for_by_nobody(
    folder: Folder, kind: str
) -> None:
    odd = folder.treaties / "odd.toml"
    if kind == "pipe":
        os.mkfifo(odd)
    elif kind == "folder":
        odd.mkdir()
    elif kind == "huge":
        odd.write_bytes(b"#" * ((1 << 20) + 1))
    else:
        odd.symlink_to(odd)
    with pytest.raises((PolicyFileError, OSError)) as raised:
        law_texts(folder)
    if isinstance(raised.value, PolicyFileError):
        assert raised.value.place is not None
        assert raised.value.place.source.endswith("odd.toml")


def test_new_law_is_readable_by_its_owner_alone(folder: Folder) -> None:
    write_law(change(folder))
    for path in (folder.root / "groups", *law_texts(folder)):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077 or path.name in ("three.toml", "two.toml")
