"""The check of names and arguments itself: each kind of fault is found, with file and line."""

import subprocess
import sys
from pathlib import Path

import pytest

CHECK = Path(__file__).parent / "api_check.py"

SAMPLE = """
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorrt as trt_types


def configure(trt: Any, builder: "trt_types.Builder") -> None:
    config = builder.create_builder_config()
    config.set_flag(trt.BuilderFlag.TF32)
    config.builder_optimization_level = 3


# api: tensorrt
def of_tensorrt_only(trt: Any, config: "trt_types.IBuilderConfig") -> None:
    config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.NONE
    config.set_timing_cache(config.create_timing_cache(b""), ignore_mismatch=False)


# api: tensorrt-rtx
def of_rtx_only(trt: Any, config: "trt_types.IBuilderConfig") -> None:
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM89, 0)


def copy(target: int, source: Any) -> None:
    import pycuda.driver as cuda
    from cuda.bindings import runtime as cudart

    cuda.memcpy_htod_async(target, source, cuda.Stream(1))
    cudart.cudaGraphLaunch(None, None)
"""

FAULTS = {
    "a misspelt method": ("create_builder_config()", "create_builder_confg()", "create_builder_confg"),
    "a misspelt flag": ("BuilderFlag.TF32", "BuilderFlag.TF23", "there is no BuilderFlag.TF23"),
    "a flag that TensorRT 11 removed": ("BuilderFlag.TF32", "BuilderFlag.FP16", "there is no BuilderFlag.FP16"),
    "explicit batch, which TensorRT 11 removed": (
        "trt.BuilderFlag.TF32",
        "trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
        "there is no NetworkDefinitionCreationFlag.EXPLICIT_BATCH",
    ),
    "a misspelt keyword": ("ignore_mismatch=False", "ignore_mismatches=False", "ignore_mismatches"),
    "a missing argument": (
        'create_timing_cache(b""), ignore_mismatch=False',
        'create_timing_cache(b"")',
        "ignore_mism",
    ),
    "a misspelt property": ("builder_optimization_level", "builder_optimisation_level", "builder_optimisation_level"),
    "what only TensorRT-RTX has, unmarked": ("# api: tensorrt-rtx\n", "", "there is no ComputeCapability"),
    "a type that does not exist": ('"trt_types.Builder"', '"trt_types.Bilder"', "Bilder"),
    "a misspelt function of pycuda": ("memcpy_htod_async", "memcpy_htod_asinc", "there is no memcpy_htod_asinc"),
    "a misspelt function of cuda-python": ("cudaGraphLaunch", "cudaGraphLunch", "there is no cudaGraphLunch"),
}


FILES = {name: f"case_{index:02}.py" for index, name in enumerate(FAULTS)}
RIGHT = "right.py"


def broken(name: str) -> str:
    """The sample with one fault."""
    right, wrong, _ = FAULTS[name]
    assert right in SAMPLE
    return SAMPLE.replace(right, wrong)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the check says of a tree that holds every broken sample and the right one, as a command."""
    root = tmp_path_factory.mktemp("tree")
    folder = root / "exporters"
    folder.mkdir()
    (folder / RIGHT).write_text(SAMPLE, encoding="utf-8")
    for name, file in FILES.items():
        (folder / file).write_text(broken(name), encoding="utf-8")
    done = subprocess.run([sys.executable, str(CHECK), str(root)], capture_output=True, text=True, check=False)
    assert not done.stderr
    assert done.returncode == 1
    return done.stdout


def test_right_code_passes(output: str) -> None:
    assert RIGHT not in output


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found_with_its_file_and_line(output: str, name: str) -> None:
    _, wrong, expected = FAULTS[name]
    found = [line for line in output.splitlines() if f"/{FILES[name]}:" in line]
    assert any(expected in line for line in found), found
    lines = [number for number, line in enumerate(broken(name).splitlines(), start=1) if wrong and wrong in line]
    if lines:
        assert any(f"{FILES[name]}:{lines[0]}: [" in line for line in found)


def test_what_tensorrt_11_removed_is_still_right_for_tensorrt_10_alone(output: str) -> None:
    file = FILES["a flag that TensorRT 11 removed"]
    libraries = {line.split("[")[1].split("]")[0].split(".")[0] for line in output.splitlines() if f"/{file}:" in line}
    assert libraries == {"tensorrt 11", "tensorrt-rtx 1"}


def test_the_tree_itself_passes() -> None:
    done = subprocess.run([sys.executable, str(CHECK)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 faults" in done.stdout
