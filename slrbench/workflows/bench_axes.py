"""What ``bench`` is asked to measure: axes, and the ways to run a file that their product gives. Loads no runtime.

A way is a backend, a device, a precision and a variant. Not every product is one: what makes no sense is told apart
here, with the reason that the report then shows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from exporters.gates import PRECISIONS
from slrbench.errors import BadInputError
from slrbench.runners.availability import check_backend, check_device
from slrbench.runners.inputs import check_input_kind

TORCH_MODES = ("eager", "compile", "compile-reduce-overhead", "compile-max-autotune")
PROVIDERS = ("cpu", "cuda", "tensorrt")
CUDA_GRAPH = "cuda-graph"

_NUMBERS = {"threads": "--threads", "batches": "--batch", "frames": "--frames", "sizes": "--size"}
_EXAMPLES = {"--threads": "1,2", "--batch": "1,8", "--frames": "32,64", "--size": "64"}
_WORDS = {
    "precisions": ("--precision", PRECISIONS),
    "torch_modes": ("--torch-mode", TORCH_MODES),
    "providers": ("--provider", PROVIDERS),
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to run a model's file."""

    backend: str
    device: str
    precision: str
    variant: str

    @property
    def file_precision(self) -> str:
        """The precision of the file that is opened: TF32 is a matter of the GPU, and a checkpoint is fp32 always."""
        if self.backend == "torch" or (self.precision == "tf32" and self.backend != "trt"):
            return "fp32"
        return self.precision


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What is measured: the product of all of these."""

    backends: tuple[str, ...] = ("torch", "torchscript", "onnx", "openvino")
    devices: tuple[str, ...] = ("cpu",)
    precisions: tuple[str, ...] = ("fp32",)
    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1,)
    frames: tuple[int, ...] = (32,)
    sizes: tuple[int, ...] = ()
    """Height and width, pixels; the model's own where there is none."""
    input_kinds: tuple[str, ...] = ("float32",)
    torch_modes: tuple[str, ...] = ("eager",)
    providers: tuple[str, ...] = ()
    """Execution providers of ONNX Runtime; the device's own where there is none."""
    cuda_graph: bool = False
    """Whether TensorRT's launches are captured into a CUDA graph."""

    def __post_init__(self) -> None:
        """Refuse unknown words and numbers below 1, before anything is loaded.

        Raises:
            BadInputError: a value cannot be used, or an axis is empty.
        """
        for backend in self.backends:
            check_backend(backend)
        for device in self.devices:
            check_device(device)
        for kind in self.input_kinds:
            check_input_kind(kind)
        for name, (option, known) in _WORDS.items():
            if bad := [word for word in getattr(self, name) if word not in known]:
                raise BadInputError(
                    f"{option} {bad[0]!r} is not known, expected some of {', '.join(known)}",
                    hint=f"{option} {known[0]}",
                )
        for name, option in _NUMBERS.items():
            if bad_numbers := [value for value in getattr(self, name) if value < 1]:
                raise BadInputError(
                    f"{option} is {bad_numbers[0]}, expected at least 1",
                    hint=f"{option} {_EXAMPLES[option]}, for example",
                )
        for name in ("backends", "devices", "precisions", "threads", "batches", "frames", "input_kinds", "torch_modes"):
            if not getattr(self, name):
                raise BadInputError(f"no {name} given", hint="python -m slrbench bench --help shows the defaults")

    def ways(self) -> tuple[Way, ...]:
        """Every way, sensible or not, each once, in the order of the backends."""
        found = [
            Way(backend=backend, device=device, precision=precision, variant=variant)
            for backend in self.backends
            for device, variant in self._places(backend)
            for precision in self.precisions
        ]
        return tuple(dict.fromkeys(found))

    def _places(self, backend: str) -> Iterator[tuple[str, str]]:
        """Devices and variants of a backend."""
        if backend == "trt":  # it has no other device than the GPU
            for device in self.devices:
                yield "cuda" if device == "cpu" else device, CUDA_GRAPH if self.cuda_graph else ""
        elif backend == "torch":
            for device, mode in product(self.devices, self.torch_modes):
                yield device, "" if mode == "eager" else mode
        elif backend == "onnx" and self.providers:
            gpu = next((device for device in self.devices if device != "cpu"), "cuda")
            for provider in self.providers:
                yield "cpu" if provider == "cpu" else gpu, provider if provider == "tensorrt" else ""
        else:
            for device in self.devices:
                yield device, ""


def why_senseless(way: Way) -> str | None:
    """Why nothing can be measured in that way on any machine; None where something can."""
    if way.device == "cpu":
        return _why_senseless_on_cpu(way)
    if way.backend == "openvino":
        return "OpenVINO has no CUDA device"
    if way.backend == "torchscript" and way.precision not in ("fp32", "tf32"):
        return f"a TorchScript file is exported in fp32 only, not in {way.precision}"
    if way.backend == "torch" and way.precision == "int8":
        return "torch has no int8 of these networks on a GPU"
    if way.backend == "onnx" and way.precision == "bf16":
        return "no bf16 ONNX file is exported: ONNX Runtime computes none"
    return None


def _why_senseless_on_cpu(way: Way) -> str | None:
    if way.precision == "tf32":
        return "TF32 is a format of NVIDIA's GPUs, a CPU has none"
    if way.precision == "fp32":
        return None
    if way.backend == "onnx" and way.precision in ("fp16", "int8"):
        return None
    if way.backend == "openvino":
        return f"an OpenVINO file is exported in fp32 only, not in {way.precision}"
    return f"{way.precision} of {way.backend} is measured on a GPU only"
