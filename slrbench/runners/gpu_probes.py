"""Try one library of the GPU's side: ``python -m slrbench.runners.gpu_probes NAME`` prints a JSON object.

Each is tried for real in a process of its own, since it may crash or hang: TensorRT makes a builder, TensorRT-RTX
builds an engine, ONNX Runtime opens a session and runs it. :mod:`slrbench.runners.gpu_libraries` starts the processes.
"""

import importlib
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from exporters.cuda_driver import cuda_driver
from exporters.engine_options import RTX_COMPUTE_CAPABILITIES
from slrbench.runners.gpu_availability import (
    RTX_MODULES,
    RTX_PACKAGES,
    TENSORRT_PACKAGES,
    installed_version,
    tensorrt_is_installed,
)

Answer = dict[str, Any]
"""``available``; ``version``, ``why_not`` and ``note`` where there is one."""


def _yes(version: str | None, note: str | None = None) -> Answer:
    return {"available": True, "version": version, "note": note}


def _no(why_not: str, version: str | None = None) -> Answer:
    return {"available": False, "version": version, "why_not": why_not}


def tensorrt() -> Answer:
    """Whether TensorRT makes a builder, which needs a GPU."""
    if not tensorrt_is_installed():
        stubs = installed_version(("tensorrt-stubs",))
        return _no("not installed" + ("; what `import tensorrt` finds are type stubs" if stubs else ""))
    trt: Any = importlib.import_module("tensorrt")
    if not hasattr(trt, "Builder"):
        return _no("the module tensorrt holds no Builder", installed_version(TENSORRT_PACKAGES))
    fault = _builder_fault(trt)
    return _no(fault, trt.__version__) if fault else _yes(trt.__version__, "builds and runs engines here")


# api: tensorrt-rtx
def tensorrt_rtx() -> Answer:
    """Whether TensorRT-RTX builds an engine, which needs no GPU."""
    for name in RTX_MODULES:
        try:
            trt: Any = importlib.import_module(name)
            break
        except ModuleNotFoundError:
            continue
    else:
        return _no("not installed", installed_version(RTX_PACKAGES))
    if fault := _builder_fault(trt):
        return _no(fault, trt.__version__)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    tensor = network.add_input("x", trt.float32, (1, 4))
    network.mark_output(network.add_activation(tensor, trt.ActivationType.RELU).get_output(0))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)
    if builder.build_serialized_network(network, config) is None:
        return _no("it did not build a network of one layer", trt.__version__)
    capabilities = [f"{major}.{minor}" for major, minor in cuda_driver().capabilities]
    if any(each in RTX_COMPUTE_CAPABILITIES for each in capabilities):
        return _yes(trt.__version__, "builds engines here, for this GPU, too")
    here = "the one here is none" if capabilities else "none is visible"
    return _yes(trt.__version__, f"builds engines here; running them needs an RTX GPU, and {here}")


def _builder_fault(trt: Any) -> str | None:
    """Why no builder can be made; pybind's own words for it say nothing, the logger's do."""
    logged: list[str] = []

    class Listener(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(trt.ILogger.Severity.ERROR):
                logged.append(message)

    listener = Listener()
    try:
        trt.Builder(listener)
    except (TypeError, RuntimeError) as error:
        code = re.search(r"error:? (\d+)", " ".join(logged))
        reason = cuda_driver().why_none or (logged[-1] if logged else str(error))
        return f"it makes no builder{f' (CUDA error {code[1]})' if code else ''}: {reason}"
    return None


def pycuda() -> Answer:
    """Whether pycuda loads the driver and finds a device."""
    version = installed_version(("pycuda",))
    if version is None:
        return _no("not installed")
    driver: Any = importlib.import_module("pycuda.driver")
    driver.init()
    count = driver.Device.count()
    return _yes(version) if count else _no("it finds no CUDA device", version)


def cuda_python() -> Answer:
    """Whether CUDA's runtime answers through cuda-python."""
    version = installed_version(("cuda-python", "cuda-bindings"))
    if version is None:
        return _no("not installed")
    runtime: Any = importlib.import_module("cuda.bindings.runtime")
    error, count = runtime.cudaGetDeviceCount()
    if int(error) != 0 or not count:
        reason = cuda_driver().why_none or "no device"
        return _no(f"it finds no CUDA device: {getattr(error, 'name', error)}, {reason}", version)
    return _yes(version)


def onnxruntime_cuda() -> Answer:
    """Whether ONNX Runtime runs a graph on its CUDA provider."""
    return _provider("cuda", "")


def onnxruntime_tensorrt() -> Answer:
    """Whether it does on its TensorRT provider."""
    return _provider("cuda", "tensorrt")


def _provider(device: str, variant: str) -> Answer:
    from slrbench.errors import SlrbenchError
    from slrbench.runners import onnx_providers as providers

    version: str = importlib.import_module("onnxruntime").__version__
    with TemporaryDirectory(prefix="slrbench-") as folder:
        path = Path(folder) / "probe.onnx"
        _write_graph(path)
        try:
            session = providers.open_session(
                path, threads=1, device=device, input_kind="float32", precision="fp32", variant=variant
            )
            session.run(None, {"x": np.ones((1, 3, 1, 4, 4), np.float32)})
        except SlrbenchError as error:
            wanted = providers.wanted_provider(device, variant)
            return _no(error.message.partition(f"{wanted} is not to be had: ")[2] or error.message, version)
    return _yes(version, "it has run a graph")


def _write_graph(path: Path) -> None:
    onnx: Any = importlib.import_module("onnx")
    make = onnx.helper
    value = [
        make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", 3, "time", 4, 4]) for name in ("x", "y")
    ]
    graph = make.make_graph([make.make_node("Relu", ["x"], ["y"])], "probe", value[:1], value[1:])
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), path)


def nvml() -> Answer:
    """Whether the driver's management library answers."""
    version = installed_version(("nvidia-ml-py",))
    if version is None:
        return _no("not installed")
    library: Any = importlib.import_module("pynvml")
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return _no(str(error), version)
    driver = library.nvmlSystemGetDriverVersion()
    count = library.nvmlDeviceGetCount()
    library.nvmlShutdown()
    return _yes(version, f"driver {driver}, {count} GPU(s)")


PROBES: dict[str, Callable[[], Answer]] = {
    "tensorrt": tensorrt,
    "tensorrt-rtx": tensorrt_rtx,
    "pycuda": pycuda,
    "cuda-python": cuda_python,
    "onnxruntime CUDA provider": onnxruntime_cuda,
    "onnxruntime TensorRT provider": onnxruntime_tensorrt,
    "NVML": nvml,
}
"""What is tried, by the name that ``doctor`` shows."""


def main() -> None:
    """Try the one that is named and print its answer; what libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        found = PROBES[sys.argv[1]]()
    except Exception as error:  # whatever a library throws when it is loaded
        lines = str(error).strip().splitlines() or ["no reason given"]
        found = _no(f"{type(error).__name__}: {lines[0]}")
    answers.write(json.dumps(found) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
