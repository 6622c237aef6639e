"""Small wrong changes of a function, one at a time: what a programmer could have written instead.

A condition that always or never holds, a part of it left out, a comparison turned round or moved by one. Each
is made in place (``weakened``), so that whoever has imported the function runs it.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

_OTHER: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A function, what stands in it, and what stands there instead."""

    function: FunctionType
    line: int
    was: str
    now: str
    source: str
    """Of the whole module."""

    @property
    def name(self) -> str:
        module = self.function.__module__.removeprefix("intelshare.")
        return f"{module}.{self.function.__qualname__}: {self.was} -> {self.now}"


def mutants_of(module: ModuleType) -> Iterator[Mutant]:
    """Every mutant of every function of a module."""
    text = inspect.getsource(module)
    tree = ast.parse(text)
    for path, function in _functions(module, tree):
        for node in _inside(path):
            for change in _changes(node):
                kept, was = dict(vars(node)), ast.unparse(node)
                line = getattr(node, "lineno", path.lineno)
                change()
                now, source = ast.unparse(node), ast.unparse(tree)
                vars(node).clear()
                vars(node).update(kept)
                yield Mutant(function, line, _short(was), _short(now), source)


def _inside(node: Any) -> Iterator[Any]:
    """All that is run of a function: its body, but for types and for functions inside, which run too."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "args", "decorator_list") and not isinstance(node, ast.Call):
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.AST):
                yield one
                yield from _inside(one)


def _functions(module: ModuleType, tree: ast.Module) -> Iterator[tuple[Any, FunctionType]]:
    rows: list[tuple[Any, Any]] = [
        (node, vars(module)[node.name])
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    for node, found in rows:
        if isinstance(node, ast.ClassDef):
            inner = [one for one in node.body if isinstance(one, ast.FunctionDef)]
            rows += [(one, inspect.getattr_static(found, one.name)) for one in inner]
            continue
        function = getattr(found, "fget", None) or getattr(found, "__func__", None) or found
        function = inspect.unwrap(function)
        if isinstance(function, FunctionType) and not function.__code__.co_freevars:
            yield node, function


def _changes(node: Any) -> Iterator[Any]:
    """What can be done to this node, as functions that do it."""

    def put(**values: Any) -> Any:
        return lambda: vars(node).update(values)

    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield put(test=ast.Constant(True))
        yield put(test=ast.Constant(False))
    if isinstance(node, ast.BoolOp):
        for place in range(len(node.values)):
            left = [*node.values[:place], *node.values[place + 1 :]]
            yield put(values=left)
        yield put(op=ast.And() if isinstance(node.op, ast.Or) else ast.Or())
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in _OTHER[type(node.ops[0])]:
            yield put(ops=[other()])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield put(op=ast.Not(), operand=ast.UnaryOp(ast.Not(), node.operand))
    if isinstance(node, ast.comprehension) and node.ifs:
        yield put(ifs=[])
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.BitOr | ast.BitAnd):
        yield put(op=ast.BitOr() if isinstance(node.op, ast.Sub | ast.BitAnd) else ast.BitAnd())


def _short(text: str) -> str:
    first = " ".join(text.split())
    return first if len(first) < 90 else f"{first[:87]}..."
