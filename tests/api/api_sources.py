"""Which files are checked, and for which TensorRT libraries each of their lines is.

Code is for every library unless a comment says otherwise, ``# api: tensorrt-rtx`` or ``# api: tensorrt``:

- before everything else in a file, it is about all of the file;
- on a line of its own, about the statement below, be it a class, a function or a single call;
- at the end of a line, about the statement that begins there, without its ``else``.

``tensorrt`` stands for all its versions, ``tensorrt-10`` and ``tensorrt-11`` for one.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TARGETS = ("tensorrt-10", "tensorrt-11", "tensorrt-rtx")
WORDS = {"tensorrt": ("tensorrt-10", "tensorrt-11"), **{name: (name,) for name in TARGETS}}
TENSORRT_MODULES = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
MODULES = (*TENSORRT_MODULES, "pycuda", "cuda")
TENSORRT_NAMES = ("trt", "trt_types")
"""What is called so, a variable or an attribute, is a TensorRT module, wherever it comes from."""

_MARK = re.compile(r"#\s*api:\s*(.*)")


class MarkError(Exception):
    """A comment that begins with ``api:`` and cannot be followed."""


@dataclass(frozen=True)
class Region:
    """Lines, counted from 1, both ends included, and the libraries that they are for."""

    first: int
    last: int
    targets: frozenset[str]


@dataclass(frozen=True)
class Source:
    """A file under check."""

    path: Path
    tree: ast.Module
    regions: tuple[Region, ...]

    def is_for(self, line: int, target: str) -> bool:
        """Whether a line runs with that library."""
        return all(target in region.targets for region in self.regions if region.first <= line <= region.last)


def find_sources(root: Path) -> list[Source]:
    """Every Python file below ``root`` that uses one of the libraries; environments and hidden folders are left out.

    A test that imports none of them has a stand-in for ``trt``, or the real TensorRT-RTX, with which it is run: it
    counts only in ``tests/gpu``, which is seldom run.

    Raises:
        MarkError: a mark is misspelt, or stands where it is about nothing.
    """
    found = []
    for path in sorted(_python_files(root)):
        text = path.read_text(encoding="utf-8")
        if re.search(r"\b(tensorrt|pycuda|cuda|trt)", text):
            tree = ast.parse(text, filename=str(path))
            place = path.relative_to(root).parts
            by_name = place[0] != "tests" or place[1] == "gpu"
            if any(_imports_a_library(node) or (by_name and _names_a_library(node)) for node in ast.walk(tree)):
                found.append(Source(path, tree, tuple(_regions(str(path.relative_to(root)), text, tree))))
    return found


def _python_files(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.suffix == ".py":
            yield entry
        elif entry.is_dir() and not _is_left_out(entry):
            yield from _python_files(entry)


def _is_left_out(folder: Path) -> bool:
    return folder.name.startswith((".", "__")) or folder.name in ("build", "dist") or (folder / "pyvenv.cfg").exists()


def _imports_a_library(node: ast.AST) -> bool:
    match node:
        case ast.Import():
            return any(alias.name.partition(".")[0] in MODULES for alias in node.names)
        case ast.ImportFrom(module=str(module), level=0):
            return module.partition(".")[0] in MODULES
    return False


def _names_a_library(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
            return name in TENSORRT_NAMES
    return False


def _regions(file: str, text: str, tree: ast.Module) -> Iterator[Region]:
    statements = sorted((node for node in ast.walk(tree) if isinstance(node, ast.stmt)), key=_first_line)
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        match = _MARK.fullmatch(token.string) if token.type == tokenize.COMMENT else None
        if match is None:
            continue
        line, column = token.start
        targets = _targets(f"{file}:{line}", match[1])
        alone = not lines[line - 1][:column].strip()
        region = _below(line, lines, statements, targets) if alone else _beside(line, statements, targets)
        if region is None:
            raise MarkError(f"{file}:{line}: this api mark is about no statement")
        yield region


def _targets(where: str, words: str) -> frozenset[str]:
    found: set[str] = set()
    for word in re.split(r"[,\s]+", words.strip()):
        if word not in WORDS:
            raise MarkError(f"{where}: unknown library {word!r} in an api mark, expected one of {', '.join(WORDS)}")
        found.update(WORDS[word])
    return frozenset(found)


def _below(line: int, lines: list[str], statements: list[ast.stmt], targets: frozenset[str]) -> Region | None:
    if statements and line < _first_line(statements[0]):
        return Region(1, len(lines), targets)
    numbers = range(line + 1, len(lines) + 1)
    after = next((number for number in numbers if not re.match(r"\s*(#.*)?$", lines[number - 1])), 0)
    for statement in statements:  # the outermost that begins there comes first
        if _first_line(statement) == after:
            return Region(after, statement.end_lineno or after, targets)
    return None


def _beside(line: int, statements: list[ast.stmt], targets: frozenset[str]) -> Region | None:
    for statement in reversed(statements):
        end = statement.end_lineno or statement.lineno
        body = getattr(statement, "body", None)
        if body is None and statement.lineno <= line <= end:
            return Region(statement.lineno, end, targets)
        if body is not None and statement.lineno <= line < body[0].lineno:
            return Region(_first_line(statement), body[-1].end_lineno or end, targets)
    return None


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])
