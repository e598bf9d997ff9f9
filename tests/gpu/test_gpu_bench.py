"""bench on a GPU: engines that are made where they are missing, and what a measurement holds of the GPU."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from exporters.tensorrt_library import Library
    from slrbench.records import Report

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def folder(checkpoints: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A verified student with an ONNX file and no engine."""
    from slrbench.workflows.export import export_model

    copied = shutil.copytree(checkpoints["student"], tmp_path_factory.mktemp("bench") / "tiny-student")
    export_model(copied, formats=("onnx",)).raise_for_failures()
    assert not list(copied.glob("*.engine"))
    return copied


def measured(folder: Path, backends: tuple[str, ...], written: Path) -> "Report":
    from slrbench.measure.rounds import MeasureSettings
    from slrbench.measure.sampling import SamplingRule
    from slrbench.reporting.store import read_report
    from slrbench.workflows.bench import BenchOptions, bench
    from slrbench.workflows.bench_axes import Axes

    sampling = SamplingRule(min_calls=5, min_time_s=0.0, throughput_time_s=0.01, warmup_cap_s=1.0)
    options = BenchOptions(
        models=(str(folder),),
        axes=Axes(backends=backends, devices=("cuda",), frames=(16,)),
        wer_clips=4,
        settings=MeasureSettings(rounds=2, processes=1, sampling=sampling),
    )
    bench(options, folder=written)
    report = read_report(written)
    assert [skipped.reason for skipped in report.skipped] == []
    assert {m.candidate.backend for m in report.measurements} == set(backends)
    return report


@pytest.fixture(scope="module")
def engine_report(tensorrt: "Library", folder: Path, tmp_path_factory: pytest.TempPathFactory) -> "Report":
    return measured(folder, ("trt",), tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> "Report":
    return measured(folder, ("onnx", "torch"), tmp_path_factory.mktemp("report"))


@pytest.fixture(
    params=[pytest.param("engine_report", marks=pytest.mark.tensorrt), "report"], ids=["trt", "onnx and torch"]
)
def each_report(request: pytest.FixtureRequest) -> "Report":
    found: Report = request.getfixturevalue(request.param)
    return found


def test_bench_makes_the_engine_that_is_missing_and_measures_it(engine_report: "Report", folder: Path) -> None:
    from exporters.artifact import read_manifest

    manifest = read_manifest(folder)
    assert manifest is not None
    (entry,) = manifest.find_all("trt", "fp32", "float32")
    assert entry.parity_word == "passed"
    (measured_engine,) = engine_report.measurements
    assert measured_engine.candidate.artifact_sha256 == entry.artifact.sha256


def test_measurements_name_the_gpu_and_its_driver(each_report: "Report") -> None:
    import torch

    for measurement in each_report.measurements:
        assert measurement.gpu["name"] == torch.cuda.get_device_name(0)
        assert measurement.gpu["driver"]
        assert measurement.gpu["rounds"]
        assert measurement.actual["device"].startswith("cuda")
    assert each_report.environment.gpus


def test_device_time_and_memory_stand_beside_the_clock(each_report: "Report") -> None:
    for measurement in each_report.measurements:
        assert len(measurement.compute_s) >= 10
        if measurement.candidate.backend != "onnx":  # ONNX Runtime tells neither
            assert len(measurement.device_s) == len(measurement.compute_s)
            assert all(seconds > 0 for seconds in measurement.device_s)
            assert measurement.device_memory_bytes["peak"] > 0
