"""An engine file, deserialised by TensorRT or TensorRT-RTX: its tensors, its profile, its execution contexts.

Shapes: B clips, T frames, T' output steps, C classes. Runtime, engine and contexts must be gone before the CUDA context
is, so none is ever kept in a local variable: an exception's traceback would hold on to it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporters.input_names import INPUT_NAME, OUTPUT_NAME
from exporters.tensorrt_library import Library, LibraryUnavailableError, explain_cuda, load_library, plain
from slrbench.errors import BadInputError, RunFailedError, SlrbenchError, UnavailableError

if TYPE_CHECKING:
    import tensorrt as trt_types

Shape = tuple[int, ...]

RTX_SUFFIX = ".rtx.engine"
_PROFILE = 0
_EXPORT_AGAIN = "python -m slrbench export MODEL --formats trt    on this machine builds one that runs here"
_TENSORRT_ITSELF = (
    "pip install -e '.[gpu]' brings TensorRT, which may support this GPU; then export --formats trt here again"
)
_SEE_DRIVER = "nvidia-smi shows the driver; python -m slrbench doctor shows what is available"
_MORE_MEMORY = "end what else uses the GPU, or export with a smaller --batch or --frames range"
_REFUSALS = (
    # Words of TensorRT's first error when it deserialises nothing, and what they mean.
    (("incompatible device", "compute capability", "not compatible with this hardware"), "was built for another GPU"),
    (("not compatible with this version", "version tag"), "was built by another version"),
    (("magictag",), "is damaged, or was built by another library or version"),
    (("blobsize", "empty memory"), "is damaged or cut off"),
)
_AXES = {"float32": ("batch", "channels", "frames", "height", "width")}
_AXES["uint8"] = ("batch", "frames", "height", "width", "channels")
_OPTIONS = {"batch": "--batch", "frames": "--frames"}
_REAL_TYPES = {"fp16": ("fp16", "half"), "bf16": ("bf16", "bfloat16"), "int8": ("int8",), "fp32": ("fp32", "float")}


def library_for(path: Path) -> Library:
    """The library that an engine file is for, by its name: ``.rtx.engine`` is TensorRT-RTX's.

    Raises:
        UnavailableError: it is not installed, does not load or is too old.
    """
    name = "tensorrt-rtx" if path.name.endswith(RTX_SUFFIX) else "tensorrt"
    try:
        return load_library("tensorrt-rtx" if name == "tensorrt-rtx" else "tensorrt")
    except LibraryUnavailableError as error:
        raise UnavailableError(f"{name} cannot run {path.name}: {error.message}", hint=error.hint) from error


class Engine:
    """One engine and the runtime that holds it. Needs a current CUDA context, also to close."""

    def __init__(self, library: Library) -> None:
        """Load nothing yet."""
        self.library = library
        self._runtime: trt_types.Runtime | None = None
        self._engine: trt_types.ICudaEngine | None = None
        self._runtime_config: Any = None
        self._input_kind = ""
        self.smallest: Shape = ()
        self.usual: Shape = ()
        self.largest: Shape = ()

    @property
    def engine(self) -> "trt_types.ICudaEngine":
        """The library's own engine; do not keep it."""
        assert self._engine is not None
        return self._engine

    def load(self, path: Path, input_kind: str) -> None:
        """Deserialise the file and check its tensors.

        Raises:
            UnavailableError: the library cannot work here: no GPU, or a driver that is too old for it.
            BadInputError: the file is not an engine, not one of this library, version or GPU, or takes another input.
            RunFailedError: there is not enough device memory.
        """
        plan = path.read_bytes()
        self.library.messages.clear()
        try:
            self._runtime = self.library.trt.Runtime(self.library.logger)
        except (TypeError, RuntimeError) as error:  # pybind's words for a factory that gave nothing
            raise UnavailableError(
                f"{self._who} cannot start here: {self._first_error()}",
                hint=_SEE_DRIVER,
            ) from error
        assert self._runtime is not None
        if self.library.name == "tensorrt":
            _allow_version_compatible(self._runtime)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise self._explain_refusal(path)
        self._check_tensors(path, input_kind)
        profile = self.engine.get_tensor_profile_shape(INPUT_NAME, _PROFILE)
        self.smallest, self.usual, self.largest = (as_shape(each) for each in profile)
        self._input_kind = input_kind

    def new_context(self) -> "trt_types.IExecutionContext":
        """An execution context for profile 0, with memory for the profile's largest shape.

        Raises:
            RunFailedError: there is not enough device memory.
        """
        self.library.messages.clear()
        if self.library.is_rtx:
            if self._runtime_config is None:
                self._runtime_config = _rtx_runtime_config(self)
            made = self.engine.create_execution_context(self._runtime_config)
        else:
            made = self.engine.create_execution_context()
        if made is None:
            needed = self.engine.device_memory_size_v2 / 1e6
            raise RunFailedError(
                f"{self._who} could not create an execution context, which needs {needed:.1f} MB of device memory: "
                f"{self._first_error()}",
                hint=_MORE_MEMORY,
            )
        return made

    def check_shape(self, shape: Shape) -> None:
        """Return where the profile takes the shape.

        Raises:
            BadInputError: an axis is outside of the profile; the message names it, its range and the value.
        """
        axes = _AXES[self._input_kind]
        for axis, size, low, high in zip(axes, shape, self.smallest, self.largest, strict=True):
            if low <= size <= high:
                continue
            expected = str(low) if low == high else f"{low} to {high}"
            if axis in _OPTIONS:
                hint = (
                    f"export the engine with a range that has it: {_OPTIONS[axis]} {min(low, size)}:{max(high, size)}"
                )
            else:
                hint = "the engine takes frames of the size that it was exported for"
            raise BadInputError(
                f"the video has {axis} {size}, but this engine's optimisation profile takes {expected} "
                f"(shape {shape}; the profile goes from {self.smallest} to {self.largest})",
                hint=hint,
            )

    def facts(self) -> dict[str, Any]:
        """What the library says of the engine, for ``Runner.actual``."""
        facts = {
            "library": self.library.name,
            "version": self.library.version,
            "auxiliary_streams": self.engine.num_aux_streams,
            "profile": {"min": list(self.smallest), "opt": list(self.usual), "max": list(self.largest)},
            "profiles": self.engine.num_optimization_profiles,
            "engine_layers": self.engine.num_layers,
            "activation_bytes": self.engine.device_memory_size_v2,
            "tensor_types": self._tensor_types(),
            "tf32": "not told by an engine: its manifest says what it was built with",
        }
        if self.library.is_rtx:
            facts["kernel_specialisation"] = "EAGER"
            facts["library_cuda_graphs"] = "DISABLED"
        return facts

    def precision(self, requested: str, tensor_types: Mapping[str, int]) -> str:
        """``requested``, unless the types of the engine's tensors contradict it.

        Types are part of a strongly typed engine, and tensors inside fused layers are not shown: an fp32 tensor is no
        evidence against fp16, but an fp16 tensor is against fp32.
        """
        seen = {name for name, words in _REAL_TYPES.items() if any(word in tensor_types for word in words)}
        reduced = seen - {"fp32"}
        allowed = {"fp32": set(), "tf32": set(), "int8": {"int8", "fp16", "bf16"}}.get(requested, {requested})
        return requested if reduced <= allowed else "+".join(sorted(reduced))

    def last_error(self) -> str:
        """The library's newest error, in a line."""
        return explain_cuda(self.library.messages.last_error())

    def close(self) -> None:
        """Let go of the engine, then of the runtime."""
        self._runtime_config = None
        self._engine = None
        self._runtime = None

    @property
    def _who(self) -> str:
        return f"{self.library.name} {self.library.version}"

    def _check_tensors(self, path: Path, input_kind: str) -> None:
        trt = self.library.trt
        names = [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]
        inputs = [name for name in names if self.engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
        outputs = [name for name in names if name not in inputs]
        if inputs != [INPUT_NAME] or outputs != [OUTPUT_NAME]:
            raise BadInputError(
                f"{path} takes {inputs} and gives {outputs}, expected {[INPUT_NAME]} and {[OUTPUT_NAME]}",
                hint=_EXPORT_AGAIN,
            )
        found = self.engine.get_tensor_dtype(INPUT_NAME)
        if found != {"float32": trt.float32, "uint8": trt.uint8}[input_kind]:
            raise BadInputError(
                f"{path} takes {_word(found)}, expected {input_kind} for {input_kind} input",
                hint="--input says which flavour of artifact is meant",
            )
        given = self.engine.get_tensor_dtype(OUTPUT_NAME)
        if given != trt.float32:
            raise BadInputError(
                f"{path} gives {_word(given)}, expected log-probabilities in float32", hint=_EXPORT_AGAIN
            )

    def _tensor_types(self) -> dict[str, int]:
        """Tensors between the engine's layers by type, as the inspector tells them; empty where it tells none."""
        json_format = self.library.trt.LayerInformationFormat.JSON
        return count_types(self.engine.create_engine_inspector().get_engine_information(json_format))

    def _first_error(self) -> str:
        """The first of several errors is the cause, the others are what came of it."""
        errors = self.library.messages.errors
        return explain_cuda(plain(errors[0])) if errors else self.last_error()

    def _explain_refusal(self, path: Path) -> SlrbenchError:
        """Why deserialising gave nothing, from what the library logged."""
        reason = self._first_error()
        text = " ".join(self.library.messages.errors[:1]).lower()
        if "out of memory" in text or "outofmemory" in text:
            return RunFailedError(f"{self._who} cannot load {path.name}: {reason}", hint=_MORE_MEMORY)
        if any(word in text for word in ("cuda runtime", "cudaerror", "cuda initialization", "cuda driver")):
            return UnavailableError(f"{self._who} cannot load {path.name} here: {reason}", hint=_SEE_DRIVER)
        if "does not support this compute capability" in text:
            return BadInputError(f"{path} cannot run on this GPU: {self._who} says: {reason}", hint=_TENSORRT_ITSELF)
        what = next(
            (verdict for words, verdict in _REFUSALS if any(word in text for word in words)),
            "is damaged, or was built by another version or for another GPU",
        )
        return BadInputError(f"{path} {what}: {self._who} says: {reason}", hint=_EXPORT_AGAIN)


# api: tensorrt
def _allow_version_compatible(runtime: "trt_types.Runtime") -> None:
    """Engines built with ``--version-compatible`` bring the code of their own runtime along."""
    runtime.engine_host_code_allowed = True


# api: tensorrt-rtx
def _rtx_runtime_config(loaded: Engine) -> Any:
    """Kernels specialised before the first call returns, and no graphs but our own.

    TensorRT-RTX's defaults would time a stand-in kernel while the real one is compiled in the background.
    """
    trt = loaded.library.trt
    config: Any = loaded.engine.create_runtime_config()
    config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
    config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED
    return config


# api: tensorrt-rtx
def rtx_can_capture(context: Any, stream: int) -> bool:
    """Whether TensorRT-RTX lets the stream be captured: not while it allocates memory or compiles inside."""
    return bool(context.is_stream_capturable(stream))


def as_shape(dims: "trt_types.Dims") -> Shape:
    """The library's own kind of shape as a tuple."""
    return tuple(int(dims[index]) for index in range(len(dims)))


def count_types(information: str) -> dict[str, int]:
    """Tensors by type, lower case, in the engine inspector's JSON.

    TensorRT 10 has one field for format and type (``Row major linear FP16 format``), 11 has two.
    """
    try:
        document = json.loads(information)
    except ValueError:
        return {}
    known = {word: 0 for words in _REAL_TYPES.values() for word in words}
    for text in _type_fields(document):
        for word in text.lower().replace("/", " ").split():
            if word in known:
                known[word] += 1
    return {word: count for word, count in known.items() if count}


def _type_fields(node: Any) -> list[str]:
    if isinstance(node, list):
        return [text for each in node for text in _type_fields(each)]
    if not isinstance(node, dict):
        return []
    own = [value for key, value in node.items() if "datatype" in key.lower() and isinstance(value, str)]
    return own + [text for value in node.values() for text in _type_fields(value)]


def _word(value: Any) -> str:
    return str(getattr(value, "name", value)).lower()
