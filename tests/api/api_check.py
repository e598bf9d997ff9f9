"""Do the names and arguments of TensorRT, pycuda and cuda-python that we use exist? ``api_check.py [TREE]``.

No machine of the project's can run this code, so it is checked against what the libraries declare:

- TensorRT 10 by NVIDIA's stubs (the package ``tensorrt-stubs``),
- TensorRT 11 by ``stubs/tensorrt-11.4.0``, read out of its wheel (``make_stubs.py`` says how),
- TensorRT-RTX by the installed ``tensorrt_rtx_bindings``, read now,
- pycuda by ``stubs/pycuda-2026.1``, read out of its compiled module,
- cuda-python by the installed ``cuda.bindings``.

Two passes for each TensorRT library. Names that follow a module (``trt.BuilderFlag.TF32``, ``library.trt.Logger``) are
looked up. And mypy types everything that is annotated with ``trt_types.Something`` (``import tensorrt as trt_types``
under ``TYPE_CHECKING``), so that methods, arguments and keywords count too.

Code for one library only stands in a function under a comment line ``# api: tensorrt`` or ``# api: tensorrt-rtx``.
"""

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from api_names import Names, read_names  # noqa: E402 - a script, and tests/ is no package

MODULE_NAMES = ("trt", "trt_types")
"""What our code calls a TensorRT module."""

MARKER = re.compile(r"^\s*# api: (?P<library>tensorrt|tensorrt-rtx)\s*$")
USES = re.compile(r"\btrt_types\b|\btrt\.[A-Z]|^\s*(?:import|from) (?:pycuda|cuda\.bindings)\b", re.MULTILINE)
CODES = ("attr-defined", "call-arg", "call-overload", "name-defined", "arg-type", "index", "operator", "union-attr")
"""Errors of mypy that tell of a name or an argument; the others are ``make types``'s."""


@dataclass(frozen=True, order=True)
class Fault:
    """One name or argument that a library does not have."""

    path: str
    line: int
    library: str
    what: str

    def __str__(self) -> str:
        """As a compiler would say it."""
        return f"{self.path}:{self.line}: [{self.library}] {self.what}"


@dataclass(frozen=True)
class Library:
    """One version of TensorRT to check against, by its stub."""

    name: str
    marker: str
    """The word of ``# api:`` that is meant for it."""
    stub: Path

    def serves(self, marker: str | None) -> bool:
        """Whether code under that marker is for this library."""
        return marker is None or marker == self.marker


def files_to_check(root: Path = ROOT) -> list[Path]:
    """Files of ours that use any of the libraries."""
    found = [
        path for folder in ("exporters", "slrbench", "tests/gpu") for path in sorted((root / folder).rglob("*.py"))
    ]
    return [path for path in found if USES.search(path.read_text(encoding="utf-8"))]


def libraries(scratch: Path) -> list[Library]:
    """The three, with their stubs; that of TensorRT-RTX is made now."""
    ten = next(
        Path(str(importlib.metadata.distribution("tensorrt-stubs").locate_file(file)))
        for file in importlib.metadata.files("tensorrt-stubs") or ()
        if file.match("tensorrt_bindings/tensorrt.pyi")
    )
    version = importlib.metadata.version("tensorrt-stubs")
    rtx = importlib.metadata.version("tensorrt-rtx-cu13-bindings")
    return [
        Library(f"tensorrt {version}", "tensorrt", mended(ten, scratch / "tensorrt-10.pyi")),
        Library("tensorrt 11.4.0", "tensorrt", HERE / "stubs/tensorrt-11.4.0/tensorrt/__init__.pyi"),
        Library(f"tensorrt-rtx {rtx}", "tensorrt-rtx", mended(make_rtx_stub(scratch), scratch / "rtx.pyi")),
    ]


def mended(stub: Path, target: Path) -> Path:
    """A copy of a stub without the slips of the library's own signatures, which are no Python.

    One has an argument without a default behind others with one, some call an argument ``in``.
    """
    text = re.sub(r"(channel_axis: [\w.]+)\)", r"\1 = ...)", stub.read_text(encoding="utf-8"))
    target.write_text(re.sub(r"\bin: ", "in_: ", text), encoding="utf-8")
    return target


def make_rtx_stub(scratch: Path) -> Path:
    """A stub of the installed TensorRT-RTX."""
    module = "tensorrt_rtx_bindings.tensorrt_rtx"
    # Compiled, mypy.stubgen cannot be run by -m.
    program = "import sys; from mypy.stubgen import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", program, "--quiet", "--inspect-mode", "-m", module, "-o", str(scratch)]
    subprocess.run(command, check=True, cwd=scratch)
    return scratch / "tensorrt_rtx_bindings/tensorrt_rtx.pyi"


def markers_of(path: Path) -> list[tuple[int, int, str]]:
    """First line, last line and library of each marked function or class."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            match = MARKER.match(lines[first - 2]) if first >= 2 else None
            if match is not None:
                found.append((first, node.end_lineno or first, match["library"]))
    return found


def _marker_at(markers: Sequence[tuple[int, int, str]], line: int) -> str | None:
    return next((library for first, last, library in markers if first <= line <= last), None)


def check_names(path: Path, library: Library, names: Names, root: Path = ROOT) -> Iterator[Fault]:
    """Names that follow a TensorRT module."""
    markers = markers_of(path)
    for chain, line in _chains(ast.parse(path.read_text(encoding="utf-8")), MODULE_NAMES):
        if library.serves(_marker_at(markers, line)) and not names.has(chain):
            yield Fault(str(path.relative_to(root)), line, library.name, f"there is no {'.'.join(chain[:2])}")


def _chains(tree: ast.AST, modules: Sequence[str]) -> Iterator[tuple[tuple[str, ...], int]]:
    """What follows one of the modules, at most two names, and the line; each attribute once, as long as it is.

    Annotations in quotes are read too. ``library.trt.X`` counts like ``trt.X``.
    """
    inner = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\btrt_types\.", node.value):
            try:
                quoted = ast.parse(node.value, mode="eval")
            except SyntaxError:
                continue  # prose
            yield from ((chain, node.lineno) for chain, _ in _chains(quoted, modules))
        if not isinstance(node, ast.Attribute) or node in inner:
            continue
        names: list[str] = []
        each: ast.expr = node
        while isinstance(each, ast.Attribute) and each.attr not in modules:
            names.insert(0, each.attr)
            inner.add(each)
            each = each.value
        ends = each.attr if isinstance(each, ast.Attribute) else each.id if isinstance(each, ast.Name) else ""
        if ends in modules and names:
            yield tuple(names), node.lineno


def check_types(paths: Sequence[Path], library: Library, scratch: Path, root: Path = ROOT) -> Iterator[Fault]:
    """What mypy says where ``tensorrt`` is this library and ``pycuda`` our stub."""
    stubs = scratch / re.sub(r"\W+", "-", library.name)
    (stubs / "tensorrt").mkdir(parents=True)
    (stubs / "tensorrt/__init__.pyi").write_text(library.stub.read_text(encoding="utf-8"), encoding="utf-8")
    config = stubs / "mypy.ini"
    config.write_text(
        "[mypy]\nfollow_imports = skip\nignore_missing_imports = True\ncheck_untyped_defs = True\n"
        f"mypy_path = {stubs}:{HERE / 'stubs/pycuda-2026.1'}\nexplicit_package_bases = True\n"
        # What is a stub file is followed all the same.
        "[mypy-tensorrt.*,pycuda.*]\nfollow_imports = normal\nignore_errors = True\n"
        "[mypy-numpy.*]\nfollow_imports = skip\nfollow_imports_for_stubs = True\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--no-error-summary", "--hide-error-context"]
    # From the scratch folder, so that no cache or configuration of the project's is taken.
    done = subprocess.run(
        [*command, "--cache-dir", str(stubs / "cache"), *map(str, paths)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode > 1 or (done.returncode == 1 and not done.stdout):
        raise RuntimeError(f"mypy itself failed: {done.stdout}{done.stderr}")
    markers = {str(path.relative_to(root)): markers_of(path) for path in paths}
    for line in done.stdout.splitlines():
        match = re.match(r"(?P<path>[^:]+):(?P<line>\d+): error: (?P<what>.*)  \[(?P<code>[\w-]+)\]$", line)
        if match is None or match["code"] not in CODES or match["path"] not in markers:
            continue
        number = int(match["line"])
        if library.serves(_marker_at(markers[match["path"]], number)):
            yield Fault(match["path"], number, library.name, match["what"])


def check_cuda(path: Path, root: Path = ROOT) -> Iterator[Fault]:
    """Names of pycuda's driver and of cuda-python's runtime that follow their imported modules."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [(alias.name, alias.asname or alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [(f"{node.module}.{alias.name}", alias.asname or alias.name) for alias in node.names]
        else:
            continue
        for module, name in modules:
            for chain, line in _chains(tree, (name,)):
                if (fault := _cuda_fault(module, chain)) is not None:
                    yield Fault(str(path.relative_to(root)), line, module, fault)


def _cuda_fault(module: str, chain: tuple[str, ...]) -> str | None:
    if module == "pycuda.driver":
        names = read_names(HERE / "stubs/pycuda-2026.1/pycuda/driver.pyi")
        return None if names.has(chain) else f"there is no {'.'.join(chain[:2])}"
    if module.startswith("cuda.bindings."):
        value: object = importlib.import_module(module)
        for position, attribute in enumerate(chain[:2]):
            if not hasattr(value, attribute):
                return f"there is no {'.'.join(chain[: position + 1])}"
            value = getattr(value, attribute)
    return None


def check(root: Path = ROOT) -> tuple[list[Fault], list[str]]:
    """Every fault of the tree, and what it was checked against."""
    paths = files_to_check(root)
    faults: set[Fault] = set()
    with tempfile.TemporaryDirectory(prefix="slrbench-api-") as folder:
        scratch = Path(folder)
        found = libraries(scratch)
        for library in found:
            names = read_names(library.stub)
            for path in paths:
                faults |= set(check_names(path, library, names, root))
            faults |= set(check_types(paths, library, scratch, root))
    for path in paths:
        faults |= set(check_cuda(path, root))
    about = [library.name for library in found]
    return sorted(faults), [*about, "pycuda 2026.1", f"cuda-bindings {importlib.metadata.version('cuda-bindings')}"]


def main() -> int:
    """Print every fault; 1 where there is one."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    faults, about = check(root)
    for fault in faults:
        print(fault)  # noqa: T201 - a script
    files = len(files_to_check(root))
    print(f"{files} files against {', '.join(about)}: {len(faults)} faults")  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
