"""Write the committed stubs again: names and signatures of libraries that cannot be installed without a GPU.

    python tests/api/make_stubs.py tensorrt WHEEL    # tensorrt_cu13_bindings-11.x, from `pip download --no-deps`
    python tests/api/make_stubs.py pycuda FOLDER     # the folder above a compiled pycuda, from `setup.py build_ext`

TensorRT's binding needs libnvinfer, which needs a GPU's machine. But it takes only about ten functions from it, and
calls none when it is imported. So stand-ins of the same names are made by gcc, the binding is imported, and mypy's
stubgen reads its real classes and signatures. pycuda compiles against CUDA's headers and a libcuda made the same way
(``siteconf.py``: CUDA_ENABLE_CURAND = False); what it is linked against is put beside it as ``libcuda.so.1``.

Names are facts; documentation is not copied.
"""

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARIES = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")
STUBGEN = "import sys; from mypy.stubgen import main; main(sys.argv[1:])"


def tensorrt(wheel: Path) -> Path:
    """Read a wheel of ``tensorrt_cu13_bindings``."""
    version = wheel.name.split("-")[1]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(scratch / "wheel")
        binding = scratch / "wheel/tensorrt_bindings/tensorrt.so"
        symbols = subprocess.run(
            ["nm", "-D", "--undefined-only", str(binding)], check=True, capture_output=True, text=True
        ).stdout
        wanted = re.findall(r" U ((?:create\w+_INTERNAL|get\w*Plugin\w*|getNvOnnxParser\w*|initLib\w+))\b", symbols)
        source = scratch / "stand_in.c"
        source.write_text("".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name in wanted), encoding="utf-8")
        for library in LIBRARIES:
            command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", str(scratch / library), str(source)]
            subprocess.run(command, check=True)
        text = _stub("tensorrt_bindings.tensorrt", scratch / "wheel", scratch)
    number = ".".join(version.split(".")[:3])
    return _write(
        HERE / f"stubs/tensorrt-{number}/tensorrt/__init__.pyi",
        f"# Names and signatures of TensorRT {version}, without documentation.\n"
        f"# Read out of the wheel {wheel.name.partition('-cp')[0]} by tests/api/make_stubs.py.\n",
        text,
    )


def pycuda(folder: Path, version: str = "2026.1") -> Path:
    """Read a compiled pycuda."""
    environment = os.environ | {"PYTHONPATH": str(folder), "LD_LIBRARY_PATH": str(folder)}
    command = [sys.executable, str(HERE / "boost_stub.py"), "pycuda._driver"]
    text = subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout
    # pycuda/driver.py takes all of these and adds this one in Python.
    text += 'def pagelocked_zeros(shape: Any, dtype: Any, order: str = "C", mem_flags: int = 0) -> Any: ...\n'
    header = (
        f"# Names and signatures of pycuda {version}'s driver module, without documentation.\n"
        "# Read out of the compiled sdist by tests/api/make_stubs.py.\n"
    )
    return _write(HERE / f"stubs/pycuda-{version}/pycuda/driver.pyi", header, text)


def _stub(module: str, path: Path, scratch: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(path), "LD_LIBRARY_PATH": f"{scratch}:{path}"}
    command = [sys.executable, "-c", STUBGEN, "--quiet", "--inspect-mode", "-m", module, "-o", str(scratch / "out")]
    subprocess.run(command, check=True, env=environment)
    return next((scratch / "out").rglob("*.pyi")).read_text(encoding="utf-8")


def _write(path: Path, header: str, text: str) -> Path:
    text = re.sub(r"(channel_axis: [\w.]+)\)", r"\1 = ...)", text)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + re.sub(r"\bin: ", "in_: ", text), encoding="utf-8")
    return path


if __name__ == "__main__":
    made = {"tensorrt": tensorrt, "pycuda": pycuda}[sys.argv[1]](Path(sys.argv[2]))
    print(f"wrote {made}")  # noqa: T201 - a script
