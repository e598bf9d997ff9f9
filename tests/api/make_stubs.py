"""Write the committed stubs again: names and signatures of libraries that cannot be installed without a GPU.

    python tests/api/make_stubs.py tensorrt WHEEL    # tensorrt_cu13_bindings-11.x or tensorrt_cu12_bindings-10.x
    python tests/api/make_stubs.py pycuda FOLDER     # the folder above a compiled pycuda

The wheel comes from ``pip download --no-deps`` and must be for the Python that runs this. pycuda is published as source
and compiles without a driver: ``setup.py build_ext`` against CUDA's headers and an empty ``libcuda.so``, with
``CUDA_ENABLE_CURAND = False`` in ``siteconf.py``; put the compiled module into ``FOLDER/pycuda``, by the .py files.

A binding needs libraries that need a GPU's machine, but calls nothing of them when it is imported. So stand-ins of the
same names are made by gcc, the binding is imported, and its real classes and signatures are read. Names are facts;
documentation is not copied.
"""

import ctypes
import hashlib
import importlib
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from other_stubs import BoostStub, python_module_stub
from pybind_stub import PybindStub

STUBS = Path(__file__).resolve().parent / "stubs"
REPLACED = re.compile(r"lib(?:nvinfer\w*|nvonnxparser|cuda|curand)\.so\.[\d.]+")
"""Libraries of NVIDIA's that the bindings are linked to."""


def _header(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


def empty_libraries(binding: Path, folder: Path) -> None:
    """Make libraries that have what the binding wants of its own, so that it can be imported.

    Raises:
        subprocess.CalledProcessError: ``readelf``, ``nm`` or ``gcc`` failed.
    """

    def output(*command: str) -> str:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    needed = REPLACED.findall(output("readelf", "-d", str(binding)))
    symbols = re.findall(r" U (\w+)$", output("nm", "-D", "--undefined-only", str(binding)), re.MULTILINE)
    wanted = [
        name for name in symbols if re.match(r"cu[A-Z]|curand|create\w+_INTERNAL|get\w*Plugin|getNv|initLib", name)
    ]
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in wanted), encoding="utf-8")
    for name in needed:
        output("gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{name}", "-o", str(folder / name), str(source))


def read_tensorrt(wheel: Path, folder: Path) -> None:
    """Write ``stubs/tensorrt-<version>``."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (binding,) = (folder / "tensorrt_bindings").glob("tensorrt.*so")
    _preload(binding, folder)
    sys.path.insert(0, str(folder))
    package = importlib.import_module("tensorrt_bindings")
    text = PybindStub(importlib.import_module("tensorrt_bindings.tensorrt"), package).text()
    version = package.__version__
    number = ".".join(version.split(".")[:3])
    made = _header(
        f"Names, arguments and types of TensorRT {version}, read out of its binding by tests/api/make_stubs.py from\n"
        f"{wheel.name}\nsha256 {hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    )
    _write(STUBS / f"tensorrt-{number}" / "tensorrt.pyi", made + text)


def read_pycuda(package: Path, folder: Path) -> None:
    """Write ``stubs/pycuda-<version>``."""
    (driver,) = package.glob("pycuda/_driver.*so")
    _preload(driver, folder)
    sys.path.insert(0, str(package))
    version = importlib.import_module("pycuda").VERSION_TEXT
    made = _header(
        f"Names, arguments and types of pycuda {version}, read by tests/api/make_stubs.py out of its _driver,\n"
        "compiled from the published source, and out of its Python files."
    )
    target = STUBS / f"pycuda-{version}" / "pycuda"
    _write(target / "driver.pyi", made + BoostStub(importlib.import_module("pycuda.driver")).text())
    contexts = {
        "context": "Context",
        "device": "Device",
        "make_default_context": "Context",
        "get_default_device": "Device",
    }
    for name in ("__init__", "autoinit", "autoprimaryctx", "tools"):
        text = python_module_stub(package / "pycuda" / f"{name}.py", contexts)
        _write(target / f"{name}.pyi", made + text)


def _preload(binding: Path, folder: Path) -> None:
    """Load the empty libraries, by whose names the binding then finds them."""
    empty_libraries(binding, folder)
    for library in sorted(folder.glob("lib*.so.*")):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(f"{path.relative_to(STUBS.parents[2])}: {len(text.splitlines())} lines")  # noqa: T201 - a script


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        {"tensorrt": read_tensorrt, "pycuda": read_pycuda}[sys.argv[1]](Path(sys.argv[2]), Path(temporary))
