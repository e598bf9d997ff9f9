"""Which precisions and variants a backend has on a device; everything else is refused in words. Loads no runtime."""

import difflib
import os

from exporters import cuda_driver as driver
from slrbench.errors import BadInputError, UnavailableError

COMPILE_MODES = {
    "compile": "default",
    "compile-reduce-overhead": "reduce-overhead",
    "compile-max-autotune": "max-autotune",
}
"""Variants of the torch backend, and ``torch.compile``'s word for each."""

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8")
"""All words for what a runtime computes in; ``tf32`` is fp32 data whose products are rounded to 10 bits."""

_PRECISIONS: dict[tuple[str, bool], tuple[str, ...]] = {  # by backend and whether the device is a GPU
    ("torch", False): ("fp32",),
    ("torch", True): ("fp32", "tf32", "fp16", "bf16"),
    ("torchscript", False): ("fp32",),
    ("torchscript", True): ("fp32", "tf32"),
    ("onnx", False): ("fp32", "fp16", "int8"),  # the graph's own types
    ("onnx", True): PRECISIONS,
    ("openvino", False): ("fp32",),
    ("trt", True): PRECISIONS,
}
_AMPERE = (8, 0)
_VARIANTS: dict[tuple[str, bool], tuple[str, ...]] = {
    ("torch", False): tuple(COMPILE_MODES),
    ("torch", True): tuple(COMPILE_MODES),
    ("onnx", True): ("tensorrt",),
}


def check_options(backend: str, device: str, precision: str, variant: str) -> None:
    """Return where ``backend`` knows this precision and this variant on ``device``. ``trt`` judges its variants itself.

    Raises:
        BadInputError: it does not, or the environment's TF32 override contradicts the precision.
        UnavailableError: the GPU has no such arithmetic.
    """
    on_gpu = device != "cpu" or backend == "trt"
    precisions = _PRECISIONS.get((backend, on_gpu), ("fp32",))
    if precision not in precisions:
        place = device if backend != "trt" else "a GPU"
        known = f"expected {_one_of(precisions)}"
        raise BadInputError(
            f"backend {backend!r} on {place} does not compute in {precision!r}, {known}",
            hint=_precision_hint(backend, precision, on_gpu),
        )
    variants = _VARIANTS.get((backend, on_gpu), ())
    if variant and backend != "trt" and variant not in variants:
        near = difflib.get_close_matches(variant, variants, n=1)
        expected = _one_of(variants) + ", or none" if variants else "none"
        raise BadInputError(
            f"backend {backend!r} on {device} has no variant {variant!r}, expected {expected}",
            hint=f"did you mean {near[0]!r}?" if near else "leave the variant out",
        )
    if on_gpu and backend != "trt":
        check_tf32_override(precision)
        _check_arithmetic(device, precision)


def check_tf32_override(precision: str) -> None:
    """Return where ``NVIDIA_TF32_OVERRIDE``, which overrules what a program asks of NVIDIA's libraries, does no harm.

    Raises:
        BadInputError: it forces TF32 on where fp32 was asked for, or off where tf32 was.
    """
    override = os.environ.get("NVIDIA_TF32_OVERRIDE")
    if (override == "1" and precision == "fp32") or (override == "0" and precision == "tf32"):
        raise BadInputError(
            f"NVIDIA_TF32_OVERRIDE is {override} in the environment, which contradicts precision {precision!r}",
            hint="unset NVIDIA_TF32_OVERRIDE",
        )


def _check_arithmetic(device: str, precision: str) -> None:
    """Older GPUs compute tf32 as fp32 and emulate bf16, and no runtime says so."""
    here = driver.cuda_driver().capabilities[driver.device_index(device) :]
    if precision in ("tf32", "bf16") and here and here[0] < _AMPERE:
        raise UnavailableError(
            f"{device} has compute capability {here[0][0]}.{here[0][1]} and no {precision} arithmetic, which began "
            f"with {_AMPERE[0]}.{_AMPERE[1]}",
            hint="--precision fp32",
        )


def _one_of(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"one of {', '.join(words)}"


def _precision_hint(backend: str, precision: str, on_gpu: bool) -> str:
    if precision not in PRECISIONS:
        near = difflib.get_close_matches(precision, PRECISIONS, n=1)
        return f"did you mean {near[0]!r}?" if near else "--precision fp32"
    gpu_knows = precision in _PRECISIONS.get((backend, True), ())
    return "--device cuda computes in it" if gpu_knows and not on_gpu else "--precision fp32"
