"""What bench is asked for, in ways: each once, on its own device, and a reason for every one that makes no sense."""

from typing import Any

import pytest

from slrbench.errors import BadInputError
from slrbench.workflows.bench_axes import Axes, Way, why_senseless


def ways(**axes: Any) -> list[tuple[str, str, str, str]]:
    return [(way.backend, way.device, way.precision, way.variant) for way in Axes(**axes).ways()]


def test_the_usual_ways_are_fp32_on_the_cpu() -> None:
    assert ways() == [(backend, "cpu", "fp32", "") for backend in ("torch", "torchscript", "onnx", "openvino")]


def test_tensorrt_runs_on_a_gpu_whatever_the_device_and_each_way_occurs_once() -> None:
    assert ways(backends=("trt",)) == [("trt", "cuda", "fp32", "")]
    assert ways(backends=("trt",), devices=("cpu", "cuda")) == [("trt", "cuda", "fp32", "")]
    graph = ways(backends=("trt",), devices=("cuda:1",), precisions=("fp16", "int8"), cuda_graph=True)
    assert graph == [("trt", "cuda:1", "fp16", "cuda-graph"), ("trt", "cuda:1", "int8", "cuda-graph")]


def test_modes_are_torchs_and_providers_are_onnx_runtimes() -> None:
    asked = ways(backends=("torch", "torchscript", "onnx"), torch_modes=("eager", "compile"), providers=("cpu",))
    assert asked == [
        ("torch", "cpu", "fp32", ""), ("torch", "cpu", "fp32", "compile"), ("torchscript", "cpu", "fp32", ""),
        ("onnx", "cpu", "fp32", ""),
    ]  # fmt: skip


def test_a_provider_says_its_device() -> None:
    found = ways(backends=("onnx",), providers=("cpu", "cuda", "tensorrt"), devices=("cpu", "cuda:1"))
    assert found == [
        ("onnx", "cpu", "fp32", ""), ("onnx", "cuda:1", "fp32", ""), ("onnx", "cuda:1", "fp32", "tensorrt"),
    ]  # fmt: skip
    assert ways(backends=("onnx",), providers=("cuda",)) == [("onnx", "cuda", "fp32", "")]


@pytest.mark.parametrize(
    ("backend", "device", "precision", "words"),
    [
        ("torch", "cpu", "fp16", "fp16 of torch is measured on a GPU only"),
        ("torch", "cpu", "tf32", "TF32 is a format of NVIDIA's GPUs"),
        ("onnx", "cpu", "bf16", "bf16 of onnx is measured on a GPU only"),
        ("openvino", "cpu", "fp16", "exported in fp32 only, not in fp16"),
        ("openvino", "cuda", "fp32", "OpenVINO has no CUDA device"),
        ("torchscript", "cuda", "fp16", "exported in fp32 only, not in fp16"),
        ("torch", "cuda", "int8", "no int8"),
        ("onnx", "cuda", "bf16", "no bf16 ONNX file"),
    ],
)
def test_what_makes_no_sense_has_a_reason(backend: str, device: str, precision: str, words: str) -> None:
    reason = why_senseless(Way(backend=backend, device=device, precision=precision, variant=""))
    assert reason is not None
    assert words in reason


@pytest.mark.parametrize(
    ("backend", "device", "precision"),
    [
        *[("trt", "cuda", precision) for precision in ("fp32", "tf32", "fp16", "bf16", "int8")],
        *[("torch", "cuda", precision) for precision in ("fp32", "tf32", "fp16", "bf16")],
        ("torchscript", "cuda", "tf32"),
        ("onnx", "cuda", "fp16"),
        ("onnx", "cpu", "int8"),
    ],
)
def test_what_can_run_somewhere_is_left_to_the_machine(backend: str, device: str, precision: str) -> None:
    assert why_senseless(Way(backend=backend, device=device, precision=precision, variant="")) is None


def test_tf32_opens_an_fp32_file_but_for_engines() -> None:
    opened = {
        backend: Way(backend=backend, device="cuda", precision="tf32", variant="").file_precision
        for backend in ("torch", "onnx", "trt")
    }
    assert opened == {"torch": "fp32", "onnx": "fp32", "trt": "tf32"}
    assert Way(backend="torch", device="cuda", precision="fp16", variant="").file_precision == "fp32"
    assert Way(backend="onnx", device="cuda", precision="fp16", variant="").file_precision == "fp16"


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"precisions": ("fp8",)}, "--precision 'fp8' is not known, expected some of fp32, tf32, fp16, bf16, int8"),
        ({"torch_modes": ("jit",)}, "--torch-mode 'jit' is not known, expected some of eager, compile"),
        ({"providers": ("dml",)}, "--provider 'dml' is not known, expected some of cpu, cuda, tensorrt"),
        ({"devices": ("cuda:x",)}, "unknown device 'cuda:x'"),
        ({"devices": ()}, "no devices given"),
        ({"precisions": ()}, "no precisions given"),
        ({"torch_modes": ()}, "no torch_modes given"),
    ],
    ids=str,
)
def test_an_unknown_word_or_an_empty_list_is_refused(axes: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInputError, match=words) as caught:
        Axes(**axes)
    assert caught.value.hint
