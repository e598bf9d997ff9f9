"""An engine's library on :mod:`host_cuda`: it runs the ONNX file in onnxruntime, on the bytes at the bound addresses.

It has those names of TensorRT and TensorRT-RTX that the runner uses, answers False or None and logs where they do, and
is as strict as their documentation: a shape outside of the profile is refused, a graph must not be launched once its
context has another shape. Its "engine file" is JSON that names the ONNX file and the profile.
"""

import json
import weakref
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from exporters.tensorrt_library import Library, Messages
from tests.runners.host_cuda import HostCuda

WEIGHTS_BYTES, ACTIVATION_BYTES = 3_000_000, 5_000_000
Shape = tuple[int, ...]

TensorIOMode = Enum("TensorIOMode", ["INPUT", "OUTPUT"])
DataType = Enum("DataType", ["FLOAT", "HALF", "UINT8"])
LayerInformationFormat = Enum("LayerInformationFormat", ["JSON"])
Specialisation = Enum("Specialisation", ["LAZY", "EAGER", "NONE"])
GraphStrategy = Enum("GraphStrategy", ["DISABLED", "WHOLE_GRAPH_CAPTURE"])


def write_plan(path: Path, onnx: Path, *, smallest: Shape, largest: Shape, **changes: Any) -> Path:
    """An engine file for :class:`HostTrt`."""
    plan = {
        "onnx": str(onnx),
        "profile": [list(smallest), list(smallest), list(largest)],
        "inputs": {"video": "FLOAT" if smallest[1] == 3 else "UINT8"},
        "outputs": {"log_probs": "FLOAT"},
        "information": "{}",
    }
    path.write_text(json.dumps(plan | changes))
    return path


def host_library(host: HostCuda, *, rtx: bool = False) -> Library:
    """The library as the runner takes it."""
    messages = Messages()
    name, version = ("tensorrt-rtx", "1.7.1") if rtx else ("tensorrt", "11.4.0")
    trt = HostTrt(host, messages)
    return Library(name=name, trt=trt, version=version, logger=object(), messages=messages)  # type: ignore[arg-type]


class HostTrt:
    """Stands for the module ``tensorrt`` or ``tensorrt_rtx``."""

    float32, float16, uint8 = DataType.FLOAT, DataType.HALF, DataType.UINT8
    TensorIOMode = TensorIOMode
    LayerInformationFormat = LayerInformationFormat
    DynamicShapesKernelSpecializationStrategy = Specialisation
    CudaGraphStrategy = GraphStrategy

    def __init__(self, host: HostCuda, messages: Messages) -> None:
        self.host, self.messages = host, messages
        self.capturable = True
        self.capture_error = ""  # what a call during a capture says where it is not permitted
        self.contexts_left = 100
        self.output_rows_too_many = 0

    def step(self, name: str) -> bool:
        """Whether this call is the one that fails; it then says why."""
        self.host.require_current(name)
        fails = self.host.step(f"trt.{name}")
        if fails:
            self.messages.errors.append(f"Error Code 1: {name} was told to fail")
        return fails

    def Runtime(self, logger: object) -> "Runtime":  # noqa: N802 - the library's name
        if self.step("Runtime"):
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return Runtime(self)


class Runtime:
    def __init__(self, trt: HostTrt) -> None:
        self.trt = trt
        self.engine_host_code_allowed = False
        trt.host.track(self, "runtime")

    def deserialize_cuda_engine(self, plan: bytes) -> "Engine | None":
        if self.trt.step("deserialize_cuda_engine"):
            return None
        try:
            document = json.loads(plan)
        except ValueError:
            self.trt.messages.errors.append("Error Code 1: Serialization (magicTag == kMAGIC_TAG failed)")
            self.trt.messages.errors.append("Error Code 4: nothing was deserialised")
            return None
        return Engine(self, document)


class Engine:
    num_optimization_profiles = 1
    num_layers = 7
    num_aux_streams = 0
    device_memory_size_v2 = ACTIVATION_BYTES

    def __init__(self, runtime: Runtime, document: dict[str, Any]) -> None:
        self.runtime, self.trt, self.document = runtime, runtime.trt, document
        self.tensors = document["inputs"] | document["outputs"]
        self.num_io_tensors = len(self.tensors)
        self.profile = [Dims(shape) for shape in document["profile"]]
        self.trt.host.track(self, "engine", WEIGHTS_BYTES)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.document["inputs"] else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self.tensors[name]]

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list["Dims"]:
        assert (name, profile_index) == ("video", 0)
        return self.profile

    def create_engine_inspector(self) -> "Engine":
        return self

    def get_engine_information(self, format: LayerInformationFormat) -> str:
        assert format is LayerInformationFormat.JSON
        return str(self.document["information"])

    def create_runtime_config(self) -> "RuntimeConfig":
        return RuntimeConfig()

    def create_execution_context(self, config: "RuntimeConfig | None" = None) -> "Context | None":
        if self.trt.step("create_execution_context"):
            return None
        if self.trt.contexts_left == 0:
            self.trt.messages.errors.append("Error Code 2: OutOfMemory (Requested size was 5000000 bytes.)")
            return None
        self.trt.contexts_left -= 1
        return Context(self, config)


class RuntimeConfig:
    dynamic_shapes_kernel_specialization_strategy = Specialisation.LAZY
    cuda_graph_strategy = GraphStrategy.WHOLE_GRAPH_CAPTURE


class Context:
    def __init__(self, engine: Engine, config: RuntimeConfig | None) -> None:
        self.engine, self.trt, self.config = engine, engine.trt, config
        self.shape: Shape = ()
        self.fresh = True  # no call since the shape changed
        self.addresses: dict[str, int] = {}
        self.trt.host.track(self, "context", ACTIVATION_BYTES)

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        if self.trt.step("set_input_shape"):
            return False
        low, _, high = self.engine.profile
        fits = all(a <= size <= b for a, size, b in zip(low.sizes, shape, high.sizes, strict=True))
        if not fits:
            self.trt.messages.errors.append(f"Error Code 3: {shape} is outside of the profile")
            return False
        self.shape, self.fresh = shape, True
        return True

    def get_tensor_shape(self, name: str) -> "Dims":
        if self.trt.step("get_tensor_shape") or not self.shape:
            return Dims([])
        assert name == "log_probs"
        return Dims([*self._output_shape()])

    def set_tensor_address(self, name: str, address: int) -> bool:
        if self.trt.step("set_tensor_address"):
            return False
        self.trt.host.read(address, 1)
        self.addresses[name] = address
        return True

    def is_stream_capturable(self, stream: int) -> bool:
        return self.trt.capturable

    def execute_async_v3(self, stream_handle: int) -> bool:
        host = self.trt.host
        if self.trt.step("execute_async_v3"):
            return False
        if host.is_capturing(stream_handle):
            if self.trt.capture_error:
                self.trt.messages.errors.append(self.trt.capture_error)
                return False
            if self.fresh:
                host.fault("captured before the first call at a new shape")
        if not self.shape or self.addresses.keys() != {"video", "log_probs"}:
            host.fault("executed without a shape or an address")
        self.fresh = False
        host.enqueue(stream_handle, self._work())
        return True

    def _work(self) -> Any:
        shape, addresses = self.shape, dict(self.addresses)
        document, host, path = self.engine.document, self.trt.host, Path(self.engine.document["onnx"])
        dtype = np.dtype({"FLOAT": "float32", "UINT8": "uint8"}[document["inputs"]["video"]])
        nbytes = int(np.prod(shape)) * dtype.itemsize
        alive = weakref.ref(self)  # neither a call under way nor a graph keeps a context alive

        def work() -> None:
            context = alive()
            if context is None or context.shape != shape:
                host.fault("a graph or a call ran after its context had changed or gone")
            video = host.read(addresses["video"], nbytes).view(dtype).reshape(shape)
            host.write(addresses["log_probs"], run_onnx(path, video).reshape(-1).view(np.uint8))

        return work

    def _output_shape(self) -> Shape:
        batch, frames = self.shape[0], self.shape[2 if self.engine.tensors["video"] == "FLOAT" else 1]
        return (-(-frames // 4) + self.trt.output_rows_too_many, batch, classes(Path(self.engine.document["onnx"])))


class Dims:
    """Has a length and items, as the library's own; no ``__iter__``."""

    def __init__(self, sizes: list[int]) -> None:
        self.sizes = sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def __getitem__(self, index: int) -> int:
        return self.sizes[index]


def run_onnx(path: Path, video: NDArray[Any]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = _session(path).run(None, {"video": np.ascontiguousarray(video)})[0]
    return np.ascontiguousarray(found)


def classes(path: Path) -> int:
    return int(_session(path).get_outputs()[0].shape[2])


@cache
def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
