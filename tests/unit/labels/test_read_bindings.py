"""``read --out --binding``: a companion for each file, also for one that comes in pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from intelshare.cli.analyst.read import _write
from intelshare.cli.app import run
from intelshare.cli.shared.output import Out
from intelshare.wire.v1 import user_pb2 as pb

LABEL = "//FRA SECRET//REL TO FRA, USA"


class Pieces:
    """A node that gives an attachment in two pieces."""

    def download(self, _id: str, _number: int, write: Callable[[bytes], object], **_: Any) -> None:
        write(b"first ")
        write(b"second")

    def own_files(self) -> dict[str, str]:
        return {}


def portions() -> list[tuple[int, pb.ReadPortion]]:
    text = pb.Portion(kind=1, label=LABEL, category="cyber", content=b"a text")
    file = pb.Portion(kind=5, label=LABEL, category="cyber", media="application/pdf; name=a b.pdf")
    return [
        (1, pb.ReadPortion(portion=text, mark=LABEL)),
        (2, pb.ReadPortion(portion=file, mark=LABEL, file_size=12, file_here=True)),
    ]


@pytest.mark.parametrize("forms", [("xml",), ("json",), ("xml", "json")])
def test_a_companion_is_written_beside_each_file_and_fits_it(
    tmp_path: Path, forms: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, opened = tmp_path / "got", pb.ReadResponse(created_at=1_800_000_000_000_000)
    client: Any = Pieces()
    _write(client, opened, folder, portions(), forms, Out(quiet=True))
    bindings = sorted(map(str, folder.glob("*.bdo*")))
    assert len(bindings) == 2 * len(forms)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert run(["label", "check", *bindings]) == 0
    assert capsys.readouterr().out.count("as bound") == len(bindings)


def test_nothing_is_written_beside_a_file_unless_it_is_asked_for(tmp_path: Path) -> None:
    client: Any = Pieces()
    _write(client, pb.ReadResponse(), tmp_path / "got", portions(), (), Out(quiet=True))
    assert [path.suffix for path in sorted((tmp_path / "got").iterdir())] == [".txt", ".pdf"]
