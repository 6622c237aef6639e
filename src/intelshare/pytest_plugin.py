"""pytest collects ``*_test.toml``: one item per case, failing as ``intelshare policy test`` does.

Registered as the entry point ``intelshare``; ``-p no:intelshare`` leaves it out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from intelshare.policy import World
    from intelshare.policy_tools import Case

_SUFFIX = "_test.toml"


class DeniedWithoutReason(UserWarning):
    """A case that expects a denial for any reason, so that it also passes for the wrong one."""


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.File | None:
    """Collect policy tests as test files."""
    if file_path.name.endswith(_SUFFIX):
        found: pytest.File = PolicyFile.from_parent(parent, path=file_path)
        return found
    return None


class PolicyFile(pytest.File):
    """One ``*_test.toml`` file."""

    def collect(self) -> Iterator[PolicyCase]:
        """Yield its cases. Raises CollectError with everything that is wrong in the files."""
        from intelshare.cli.policy.files import Shelf
        from intelshare.cli.shared.output import error_lines
        from intelshare.cli.shared.times import moment
        from intelshare.errors import PolicyFileError

        bench, found = Shelf(moment(None)).bench(self.path)
        if bench is None:
            errors = [
                PolicyFileError(result.code, result.message, place=result.place, hint=result.hint)
                for result in found
            ]
            raise self.CollectError("\n".join(line for error in errors for line in error_lines(error)))
        world = bench.world()
        for case in bench.suite.cases:
            yield PolicyCase.from_parent(self, name=case.name, world=world, case=case)


class CaseFailedError(Exception):
    """A case whose outcome is not the expected one."""


class PolicyCase(pytest.Item):
    """One case."""

    def __init__(self, *, world: World, case: Case, **given: Any) -> None:
        super().__init__(**given)
        self._world = world
        self._case = case

    def runtest(self) -> None:
        """Run the case. Raises CaseFailedError; warns if an expected denial states no reason."""
        from intelshare.policy_tools import Severity, result_of, try_case

        result = result_of(try_case(self._world, self._case))
        hint = f" ({result.hint})" if result.hint else ""
        if result.severity is Severity.ERROR:
            raise CaseFailedError(result.message + hint)
        if result.severity is Severity.WARNING:
            warnings.warn(f"{result.name}: {result.message}{hint}", DeniedWithoutReason, stacklevel=1)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the expected and the actual outcome, without this plugin's traceback."""
        if isinstance(excinfo.value, CaseFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return file, line and name."""
        place = self._case.place
        line = None if place is None or place.line is None else place.line - 1
        return self.path, line, self.name
