"""Why a backend cannot run on a GPU, told from packages and a driver that the test describes; and probes for real."""

import importlib.util
import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from exporters import cuda_driver
from exporters.cuda_driver import CudaDriver
from slrbench.runners import gpu_availability, gpu_libraries
from slrbench.runners.availability import availability, tried_availability
from slrbench.runners.gpu_libraries import NAMES, try_library
from slrbench.runners.gpu_probes import PROBES

RTX_4090, H100 = (8, 9), (9, 0)
needs_no_gpu = pytest.mark.skipif(cuda_driver.cuda_device_count() > 0, reason="says what a machine without a GPU says")


@pytest.fixture
def describe(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Let the machine have this driver and these packages: a folder for a real module, None for a missing one."""

    def set_up(
        *capabilities: tuple[int, int], cuda: tuple[int, int] = (13, 0), packages: dict[str, Path | None] | None = None
    ) -> None:
        monkeypatch.setattr(cuda_driver, "cuda_driver", lambda: CudaDriver(capabilities, cuda, None))
        real = importlib.util.find_spec

        def find(name: str) -> ModuleSpec | None:
            if packages is None or name not in packages:
                return real(name)
            folder = packages[name]
            if folder is None:
                return None
            spec = ModuleSpec(name, None, origin=str(folder / "__init__.py"), is_package=True)
            spec.submodule_search_locations = [str(folder)]
            return spec

        monkeypatch.setattr(gpu_availability, "find_spec", find)

    return set_up


def why_not(backend: str, device: str = "cuda") -> str:
    found = availability(backend, device)
    assert found.available == (found.why_not is None)
    assert (found.why_not is None) == (found.how_to_get is None)
    return str(found.why_not)


@needs_no_gpu
@pytest.mark.parametrize("backend", ["torch", "torchscript", "onnx", "trt"])
def test_without_a_driver_the_missing_library_is_named(backend: str) -> None:
    assert why_not(backend) == "no CUDA device is visible"
    assert "libcuda.so.1" in str(availability(backend, "cuda").how_to_get) or sys.platform != "linux"


def test_with_a_gpu_and_a_new_driver_torch_and_onnx_runtime_are_available(describe) -> None:  # type: ignore[no-untyped-def]
    describe(H100)
    assert why_not("onnx") == "None"
    assert why_not("openvino") == "OpenVINO has no CUDA device"


def test_a_device_beyond_those_that_are_there_is_named(describe) -> None:  # type: ignore[no-untyped-def]
    describe(H100)
    assert why_not("onnx", "cuda:1") == "there is no CUDA device 1"
    describe(H100, H100)
    assert why_not("onnx", "cuda:1") == "None"
    assert "cuda:0 to cuda:1" in str(availability("onnx", "cuda:2").how_to_get)


def test_a_driver_that_is_too_old_is_told_with_both_versions(describe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "version.py").write_text("cuda: Optional[str] = '13.0'\n")
    describe(H100, cuda=(12, 4), packages={"torch": tmp_path})
    assert why_not("torch") == "the driver supports CUDA 12.4, torch was built for CUDA 13.0"
    assert why_not("onnx").startswith("the driver supports CUDA 12.4, ONNX Runtime was built for CUDA 13")
    describe(H100, cuda=(13, 0), packages={"torch": tmp_path})
    assert why_not("torch") == "None"


def test_a_torch_without_cuda_is_told(describe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "version.py").write_text("__version__ = '2.14.1+cpu'\ncuda: Optional[str] = None\n")
    describe(H100, packages={"torch": tmp_path})
    assert why_not("torchscript") == "this torch was built without CUDA"


def test_an_onnx_runtime_without_its_cuda_part_is_told(describe, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    describe(H100, packages={"onnxruntime": tmp_path})
    assert why_not("onnx") == "this ONNX Runtime has no CUDA provider"
    assert "overwrite each other" in str(availability("onnx", "cuda").how_to_get)


def test_the_stubs_of_tensorrt_are_not_taken_for_tensorrt(describe, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(gpu_availability, "rtx_is_installed", lambda: False)
    describe(H100)
    stubs = ModuleSpec("tensorrt", None, is_package=True)  # no origin: a namespace package, as the stubs make it
    monkeypatch.setattr(gpu_availability, "find_spec", lambda name: stubs)
    assert not gpu_availability.tensorrt_is_installed()
    monkeypatch.setattr(gpu_availability, "installed_version", lambda packages: "11.4.0")  # what is left of another
    assert not gpu_availability.tensorrt_is_installed()
    assert why_not("trt") == "the package tensorrt is not installed"
    assert availability("trt", "cuda").how_to_get == "pip install -e '.[gpu]'"


def test_what_trt_lacks_is_told_one_after_another(describe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    rtx_only = {"tensorrt": None, "tensorrt_rtx": tmp_path, "pycuda": None}
    describe(H100, packages=rtx_only)
    assert "does not know this GPU (compute capability 9.0)" in why_not("trt")
    describe(H100, RTX_4090, packages=rtx_only)
    assert why_not("trt", "cuda:1") == "the package pycuda is not installed"
    describe(RTX_4090, packages=rtx_only | {"pycuda": tmp_path})
    assert why_not("trt") == "None"
    monkeypatch.setattr(gpu_availability, "installed_version", lambda packages: "11.4.0")
    describe(H100, packages={"tensorrt": tmp_path, "pycuda": tmp_path})
    assert why_not("trt") == "None"


@needs_no_gpu
@pytest.mark.parametrize(("backend", "words"), [("torch", "driver"), ("onnx", "CUDA provider: lib"), ("trt", "pycuda")])
def test_a_gpu_that_packages_promise_is_tried_for_real(describe, tmp_path: Path, backend: str, words: str) -> None:  # type: ignore[no-untyped-def]
    if backend == "trt":
        pytest.importorskip("tensorrt_rtx_bindings")
        describe(RTX_4090, packages={"tensorrt": None, "pycuda": tmp_path})
    else:
        describe(H100)
    assert why_not(backend) == "None"
    found = tried_availability(backend, "cuda")
    assert not found.available
    assert words in str(found.why_not)
    assert found.how_to_get


# --- probes -----------------------------------------------------------------------------------------------------------


def test_every_library_has_a_probe_and_a_way_to_get_it() -> None:
    assert tuple(PROBES) == NAMES


@needs_no_gpu
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tensorrt", "not installed"),
        ("onnxruntime CUDA provider", "lib"),
        ("onnxruntime TensorRT provider", "lib"),
        ("NVML", "NVML Shared Library Not Found"),
    ],
)
def test_the_real_libraries_say_in_words_what_is_missing_without_a_gpu(name: str, words: str) -> None:
    found = try_library(name)
    assert not found.available
    assert words in str(found.why_not)
    assert found.how_to_get


def test_tensorrt_rtx_builds_where_it_is_installed() -> None:
    pytest.importorskip("tensorrt_rtx_bindings")
    found = try_library("tensorrt-rtx")
    assert found.available, found.why_not
    assert "builds engines here" in str(found.note)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "it crashed: killed by SIGSEGV"),
        ("import signal; signal.pause()", "it hung: no answer within 0.5 s"),
        ("raise OSError('libnvinfer.so.11: cannot open')", "process ended with code 1, OSError: libnvinfer.so.11"),
    ],
)
def test_a_library_that_crashes_or_hangs_is_an_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, words: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text("")
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\nexec {sys.executable} -c {json.dumps(code)}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(gpu_libraries.sys, "executable", str(fake))
    found = try_library.__wrapped__("pycuda", limit_s=0.5 if "hung" in words else 60.0)
    assert not found.available
    assert words in str(found.why_not)
    assert found.how_to_get
