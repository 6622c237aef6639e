"""The committed generated code is what the present .proto files give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
NAMES = ("peer", "user")


def test_generated_code_is_that_of_the_proto_files(tmp_path: Path) -> None:
    scripts = Path(sys.executable).parent
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc",
            f"-Iintelshare/wire/v1={ROOT / 'proto/intelshare/v1'}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}",
            f"--mypy_out=quiet:{tmp_path}", f"--mypy_grpc_out=quiet:{tmp_path}",
            *(f"intelshare/wire/v1/{name}.proto" for name in NAMES),
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    made = {path.name: path.read_text() for path in (tmp_path / "intelshare/wire/v1").iterdir()}
    committed = ROOT / "src/intelshare/wire/v1"
    assert len(made) == 4 * len(NAMES)
    for name, text in made.items():
        assert (committed / name).read_text() == text, f"{name}: run `make proto`"
