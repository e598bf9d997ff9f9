"""Precisions and variants: what is refused, in which words."""

from pathlib import Path

import pytest

from exporters import cuda_driver
from exporters.cuda_driver import CudaDriver
from slrbench.errors import BadInputError, UnavailableError
from slrbench.runners.open import open_runner
from slrbench.runners.options import check_options


@pytest.mark.parametrize("backend", ["torch", "torchscript", "openvino"])
@pytest.mark.parametrize("precision", ["tf32", "fp16", "bf16", "int8"])
def test_a_cpu_computes_in_fp32_only(backend: str, precision: str) -> None:
    with pytest.raises(BadInputError, match=f"on cpu does not compute in '{precision}', expected fp32") as caught:
        open_runner(backend, Path("any"), threads=1, precision=precision)
    assert caught.value.hint


def test_onnx_on_a_cpu_takes_the_types_that_it_has_kernels_for() -> None:
    for precision in ("fp32", "fp16", "int8"):
        check_options("onnx", "cpu", precision, "")
    for precision in ("tf32", "bf16"):
        with pytest.raises(BadInputError, match="expected one of fp32, fp16, int8") as caught:
            check_options("onnx", "cpu", precision, "")
        assert "--device cuda" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("backend", "device", "variant", "words"),
    [
        ("torch", "cpu", "compiled", "has no variant 'compiled', expected one of compile, "),
        ("torchscript", "cpu", "compile", "has no variant 'compile', expected none"),
        ("onnx", "cpu", "tensorrt", "has no variant 'tensorrt', expected none"),
        ("onnx", "cuda", "trt", "has no variant 'trt', expected tensorrt, or none"),
        ("openvino", "cpu", "compile", "expected none"),
    ],
)
def test_a_variant_that_a_backend_does_not_have_is_refused(backend: str, device: str, variant: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        check_options(backend, device, "fp32", variant)


def test_a_misspelt_precision_gets_a_suggestion() -> None:
    with pytest.raises(BadInputError) as caught:
        check_options("torch", "cuda", "fp61", "")
    assert caught.value.hint == "did you mean 'fp16'?"


@pytest.mark.parametrize(("override", "precision"), [("1", "fp32"), ("0", "tf32")])
def test_an_override_of_tf32_in_the_environment_is_not_overlooked(
    monkeypatch: pytest.MonkeyPatch, override: str, precision: str
) -> None:
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", override)
    for backend in ("torch", "torchscript", "onnx"):
        with pytest.raises(BadInputError, match=f"NVIDIA_TF32_OVERRIDE is {override}.*contradicts"):
            check_options(backend, "cuda", precision, "")
        check_options(backend, "cpu", "fp32", "")
        check_options(backend, "cuda", {"fp32": "tf32", "tf32": "fp32"}[precision], "")


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_gpu_without_the_arithmetic_is_told(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    monkeypatch.setattr(cuda_driver, "cuda_driver", lambda: CudaDriver(((7, 5), (8, 0)), (13, 0), None))
    with pytest.raises(UnavailableError, match=f"compute capability 7.5 and no {precision} arithmetic"):
        check_options("torch", "cuda", precision, "")
    check_options("torch", "cuda:1", precision, "")
    check_options("torch", "cuda", "fp16", "")
