"""Why a backend cannot run on a GPU here, and what to do about it. Imports no runtime and asks no package for CUDA."""

import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from exporters import cuda_driver as driver
from exporters.cuda_driver import device_index
from exporters.engine_options import RTX_COMPUTE_CAPABILITIES
from exporters.tensorrt_library import MODULES, PACKAGES

Refusal = tuple[str, str]
"""Why not, and how to get it."""

TENSORRT_PACKAGES, RTX_PACKAGES = PACKAGES["tensorrt"], PACKAGES["tensorrt-rtx"]
RTX_MODULES = MODULES["tensorrt-rtx"]

NO_DEVICE = "no CUDA device is visible"


def why_not_on_gpu(backend: str, device: str) -> Refusal | None:
    """What stands in the way of a backend on ``cuda`` or ``cuda:N``; None where nothing does."""
    if backend == "openvino":
        return "OpenVINO has no CUDA device", "use --device cpu"
    count = driver.cuda_device_count()
    if count == 0:
        reason = driver.cuda_driver().why_none or "the driver finds no device"
        instead = "" if backend == "trt" else ", or use --device cpu"
        return NO_DEVICE, f"{reason}: run it on a machine with an NVIDIA GPU{instead}"
    index = device_index(device)
    if device != "cpu" and index >= count:
        most = "cuda is the only one" if count == 1 else f"cuda:0 to cuda:{count - 1} are there"
        return f"there is no CUDA device {index}", f"{most} (CUDA_VISIBLE_DEVICES counts)"
    if backend == "trt":
        return _why_not_trt(index if device != "cpu" else 0)
    return _why_not_onnx() if backend == "onnx" else _why_not_torch()


def _why_not_torch() -> Refusal | None:
    if find_spec("torch") is None:
        return "the package torch is not installed", "pip install torch"
    built_for = _assigned("torch", "version.py", "cuda")
    if built_for is None:
        return "this torch was built without CUDA", "pip install torch from PyTorch's index of CUDA wheels"
    return _too_old("torch", built_for)


def _why_not_onnx() -> Refusal | None:
    spec = find_spec("onnxruntime")
    if spec is None:
        return "the package onnxruntime-gpu is not installed", "pip install onnxruntime-gpu"
    if not _libraries("onnxruntime", "*onnxruntime_providers_cuda*"):
        return (
            "this ONNX Runtime has no CUDA provider",
            "pip uninstall onnxruntime onnxruntime-gpu, then pip install onnxruntime-gpu: they overwrite each other",
        )
    built_for = _assigned("onnxruntime", "capi/build_and_package_info.py", "cuda_version")
    return _too_old("ONNX Runtime", built_for) if built_for is not None else None


def _too_old(what: str, built_for: str) -> Refusal | None:
    """A driver runs what was built for its own major version of CUDA or an older one."""
    supported = driver.cuda_driver().version
    if supported is None or supported[0] >= int(built_for.partition(".")[0]):
        return None
    return (
        f"the driver supports CUDA {supported[0]}.{supported[1]}, {what} was built for CUDA {built_for}",
        f"update the NVIDIA driver, or install {what} for CUDA {supported[0]}",
    )


def _why_not_trt(index: int) -> Refusal | None:
    rtx = rtx_is_installed()
    if not tensorrt_is_installed() and not rtx:
        return "the package tensorrt is not installed", "pip install -e '.[gpu]'"
    if not tensorrt_is_installed():
        major, minor = driver.cuda_driver().capabilities[index]
        if f"{major}.{minor}" not in RTX_COMPUTE_CAPABILITIES:
            return (
                f"only tensorrt-rtx is installed, and it does not know this GPU (compute capability {major}.{minor})",
                "pip install -e '.[gpu]' brings tensorrt, which does",
            )
    if find_spec("pycuda") is None:
        return "the package pycuda is not installed", "pip install -e '.[gpu]' (it is compiled: CUDA's toolkit)"
    return None


def tensorrt_is_installed() -> bool:
    """Whether TensorRT itself is: its type stubs alone make an empty package of the same name importable."""
    spec = find_spec("tensorrt")
    return spec is not None and spec.origin is not None and installed_version(TENSORRT_PACKAGES) is not None


def rtx_is_installed() -> bool:
    """Whether TensorRT-RTX is."""
    return any(find_spec(name) is not None for name in RTX_MODULES)


def trt_module() -> str:
    """The module that the trt backend would load here."""
    if tensorrt_is_installed() or not rtx_is_installed():
        return "tensorrt"
    return next(name for name in RTX_MODULES if find_spec(name) is not None)


def installed_version(packages: tuple[str, ...]) -> str | None:
    """Version of the first of the packages that is installed; None where none is."""
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def _folder(package: str) -> Path | None:
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None


def _libraries(package: str, pattern: str) -> list[Path]:
    folder = _folder(package)
    return sorted((folder / "capi").glob(pattern)) if folder is not None else []


def _assigned(package: str, file: str, name: str) -> str | None:
    """The string that a package's own version file assigns to ``name``: read, since importing takes seconds."""
    folder = _folder(package)
    try:
        text = (folder / file).read_text(encoding="utf-8") if folder is not None else ""
    except OSError:
        return None
    match = re.search(rf"""^{name}\b[^=\n]*=\s*["']([^"']+)["']""", text, re.MULTILINE)
    return match[1] if match else None
