"""Do the names and arguments of TensorRT, pycuda and cuda-python that we use exist? ``api_check.py [TREE]``.

Most of this code needs a GPU to run, so it is checked against what the libraries themselves declare:

- TensorRT 10, the oldest that we take, and 11 by ``stubs/tensorrt-*``, read out of their wheels' bindings,
- TensorRT-RTX by the installed ``tensorrt_rtx_bindings``, read now,
- pycuda by ``stubs/pycuda-2026.1``, read out of its compiled module,
- cuda-python by the installed ``cuda.bindings``, read now.

Every file of the tree that uses one of them goes through two passes for each TensorRT library: ``api_names`` looks up
names and arguments in the code alone, and mypy types it with ``tensorrt`` being that library. CONTRIBUTING.md says how
code is written so that mypy can, and how code for one library only is marked.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from api_names import check_names  # noqa: E402 - a script, and tests/ is no package
from api_sources import MarkError, Source, find_sources  # noqa: E402
from api_surface import Surface  # noqa: E402

COMMITTED = {"tensorrt-10": "tensorrt-10.12.0", "tensorrt-11": "tensorrt-11.4.0"}
PYCUDA = "pycuda-2026.1"
CUDA_MODULES = ("driver", "runtime", "nvrtc")

NOT_OURS = ("import-not-found", "import-untyped", "annotation-unchecked", "var-annotated", "no-redef")
"""What mypy says of other things than a library's names and arguments; ``make types`` sees to it."""

MYPY_CONFIG = """\
[mypy]
python_version = 3.11
follow_imports = skip
ignore_missing_imports = True
explicit_package_bases = True
check_untyped_defs = True
error_summary = False
[mypy-tensorrt,tensorrt_rtx,tensorrt_rtx_bindings,pycuda.*,cuda.*]
follow_imports = normal
ignore_errors = True
"""
"""Only our files and the stubs are read; everything else is Any, which makes it quick."""

Fault = tuple[str, int, str]
"""File, line, and what is wrong there."""


class CheckError(Exception):
    """The check itself cannot be done; the message says what to do."""


@dataclass(frozen=True)
class Library:
    """One TensorRT library, with a folder of stubs in which ``tensorrt`` is this one."""

    target: str
    title: str
    stubs: Path


def libraries(folder: Path) -> list[Library]:
    """The three, each with all stubs that a file may need.

    Raises:
        CheckError: what has to be installed is not.
    """
    from other_stubs import cython_stub

    rtx = _rtx_stub()
    texts = {}
    if importlib.util.find_spec("cuda") and importlib.util.find_spec("cuda.bindings"):
        texts = {"cuda/__init__.pyi": "", "cuda/bindings/__init__.pyi": ""}
        for name in CUDA_MODULES:
            module = importlib.import_module(f"cuda.bindings.{name}")
            texts[f"cuda/bindings/{name}.pyi"] = cython_stub(module)
    elif _has_wheels():
        raise CheckError("cuda-bindings is not installed: pip install -e '.[test]'")
    for path in (HERE / "stubs" / PYCUDA).rglob("*.pyi"):
        texts[path.relative_to(HERE / "stubs" / PYCUDA).as_posix()] = path.read_text(encoding="utf-8")
    if rtx is not None:
        texts |= {"tensorrt_rtx.pyi": rtx, "tensorrt_rtx_bindings.pyi": rtx}
    found = []
    for target, committed in COMMITTED.items():
        text = (HERE / "stubs" / committed / "tensorrt.pyi").read_text(encoding="utf-8")
        found.append(
            Library(target, committed.replace("-", " "), _write(folder / target, texts | {"tensorrt.pyi": text}))
        )
    if rtx is not None:
        title = f"tensorrt-rtx {importlib.metadata.version('tensorrt-rtx-cu13-bindings')}"
        stubs = _write(folder / "tensorrt-rtx", texts | {"tensorrt.pyi": rtx})
        found.append(Library("tensorrt-rtx", title, stubs))
    return found


def _rtx_stub() -> str | None:
    """A stub of the installed TensorRT-RTX; None on a system that has none."""
    from pybind_stub import PybindStub

    try:
        package = importlib.import_module("tensorrt_rtx_bindings")
    except ImportError as error:
        if _has_wheels():
            raise CheckError(f"tensorrt_rtx_bindings does not load ({error}): pip install -e '.[test]'") from error
        return None
    return PybindStub(importlib.import_module("tensorrt_rtx_bindings.tensorrt_rtx"), package).text()


def _has_wheels() -> bool:
    """Whether NVIDIA publishes these libraries for this system."""
    return sys.platform in ("linux", "win32") and platform.machine() in ("x86_64", "AMD64")


def _write(folder: Path, texts: dict[str, str]) -> Path:
    """Stubs in a folder; those that did not change are left alone, so that mypy's cache stays good."""
    folder = folder / "stubs"
    for path in folder.rglob("*.pyi"):
        if path.relative_to(folder).as_posix() not in texts:
            path.unlink()
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return folder


def check_types(sources: Sequence[Source], library: Library, root: Path) -> list[Fault]:
    """What mypy says where ``tensorrt`` is this library."""
    folder = library.stubs.parent
    config = folder / "mypy.ini"
    config.write_text(MYPY_CONFIG, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(config), "--cache-dir", str(folder / "cache")]
    paths = [str(source.path.relative_to(root)) for source in sources]
    environment = os.environ | {"MYPYPATH": str(library.stubs)}
    done = subprocess.run([*command, *paths], cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode > 1 or (done.returncode == 1 and not done.stdout):
        raise CheckError(f"mypy itself failed: {done.stdout}{done.stderr}")
    found = []
    for line in done.stdout.splitlines():
        match = re.fullmatch(r"(?P<path>.+?):(?P<line>\d+): error: (?P<what>.*)  \[(?P<code>[\w-]+)\]", line)
        if match is not None and match["code"] not in NOT_OURS and match["path"] in paths:
            found.append((match["path"], int(match["line"]), match["what"]))
    return found


def check(root: Path) -> tuple[dict[Fault, list[str]], list[Library], int]:
    """Every fault with the libraries that have it, the libraries, and how many files were checked.

    Raises:
        CheckError: the check cannot be done.
        MarkError: a mark cannot be followed.
    """
    sources = find_sources(root)
    found = libraries(root / ".mypy_cache" / "api")
    faults: dict[Fault, list[str]] = defaultdict(list)
    if not sources:
        return faults, found, 0
    with ThreadPoolExecutor() as pool:
        typed = list(pool.map(lambda library: check_types(sources, library, root), found))
    for library, from_mypy in zip(found, typed, strict=True):
        surface = Surface(library.stubs)
        by_path = {str(source.path.relative_to(root)): source for source in sources}
        every = set(from_mypy)
        for path, source in by_path.items():
            every |= {(path, line, what) for line, what in check_names(source.tree, surface)}
        for fault in every:
            if by_path[fault[0]].is_for(fault[1], library.target):
                faults[fault].append(library.title)
    return faults, found, len(sources)


def main() -> int:
    """Print every fault; 1 where there is one, 2 where the check cannot be done."""
    root = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT
    try:
        faults, found, files = check(root)
    except MarkError as error:
        print(error)  # noqa: T201
        return 1
    except CheckError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 2
    for (path, line, what), titles in sorted(faults.items()):
        print(f"{path}:{line}: [{', '.join(titles)}] {what}")  # noqa: T201
    against = ", ".join([*(library.title for library in found), PYCUDA.replace("-", " "), "cuda-bindings"])
    print(f"{files} files against {against}: {len(faults)} faults")  # noqa: T201
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
