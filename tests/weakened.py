"""Weakened copies: a rule switched off in the function that holds it, in place, for as long as a test needs.

The function keeps its identity and gets other code, so that whoever has imported it runs the weakened one.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any


@contextmanager
def weakened(function: Any, find: str, put: str) -> Iterator[None]:
    """With this text of the function's source replaced. Raises ValueError where it does not stand once."""
    module = inspect.getmodule(function)
    whole, own = inspect.getsource(module), inspect.getsource(function)  # type: ignore[arg-type]
    if own.count(find) != 1 or whole.count(own) != 1:
        raise ValueError(f"{find!r} does not stand once in {function.__qualname__}")
    source = whole.replace(own, own.replace(find, put))
    with other_code(function, source):
        yield


@contextmanager
def other_code(function: FunctionType, source: str) -> Iterator[None]:
    """With the code that this source of its module has for the function."""
    made = compile(source, function.__code__.co_filename, "exec", dont_inherit=True)
    kept = function.__code__
    function.__code__ = _found(made, function.__qualname__.split("."))
    try:
        yield
    finally:
        function.__code__ = kept


def _found(code: CodeType, path: list[str]) -> CodeType:
    for name in path:
        code = next(one for one in code.co_consts if isinstance(one, CodeType) and one.co_name == name)
    return code
