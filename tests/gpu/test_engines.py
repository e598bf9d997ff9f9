"""Engines of TensorRT on the GPU that they were built on: parity, profiles, several builds, the timing cache."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.gpu.on_device import PRECISIONS, call, noise, opened

if TYPE_CHECKING:
    from exporters.artifact import ManifestEntry, ParityVerdict
    from exporters.tensorrt_library import Library
    from slrbench.workflows.export import ExportResult

pytestmark = pytest.mark.gpu
NETWORKS = ("teacher", "student")
Build = Callable[..., dict[str, Any]]


def engine_of(result: "ExportResult", precision: str) -> "ManifestEntry":
    found = [e for e in result.entries if e.artifact.format == "trt" and e.artifact.precision == precision]
    if not found and precision in ("tf32", "bf16") and not result.failed:
        pytest.skip(f"this GPU has no {precision}")
    assert len(found) == 1, result.failed
    return found[0]


def verdict_of(result: "ExportResult", precision: str) -> "ParityVerdict":
    verdict = engine_of(result, precision).parity
    assert verdict is not None
    return verdict


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("network", NETWORKS)
def test_an_engine_computes_what_its_network_computes(
    engines: dict[str, "ExportResult"], network: str, precision: str
) -> None:
    entry, verdict = engine_of(engines[network], precision), verdict_of(engines[network], precision)
    assert entry.not_run_because == ""
    assert verdict.artifact_sha256 == entry.artifact.sha256
    assert verdict.gates == precision
    assert verdict.backend == "tensorrt"
    assert "driver" in verdict.machine
    if precision == "int8":  # random weights may not bear it; that it runs at every shape is what is asked here
        assert verdict.wer is not None
        assert [case.why for case in verdict.cases if case.max_abs_error is None] == []
    else:
        assert verdict.passed, verdict.reasons


@pytest.mark.parametrize("network", NETWORKS)
def test_fp32_means_without_tf32_and_within_1e_4(engines: dict[str, "ExportResult"], network: str) -> None:
    verdict = verdict_of(engines[network], "fp32")
    assert (verdict.tolerance_atol, verdict.tolerance_rtol) == (1e-4, 1e-4)
    assert verdict.needed_atol is not None
    assert verdict.needed_atol <= 1e-4
    built_with = engine_of(engines[network], "fp32").artifact.built_with
    assert built_with["tf32"] is False
    assert "TF32" not in built_with["flags"]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("network", NETWORKS)
def test_profiles_and_neighbours_in_a_batch_change_nothing(
    engines: dict[str, "ExportResult"], network: str, precision: str
) -> None:
    from exporters.parity import IDENTICAL_ROWS, REPETITION, ROWS_ALONE
    from slrbench.workflows.engine_building import STATIC_PROFILE

    found = {each.name: each for each in verdict_of(engines[network], precision).invariances}
    for name in (STATIC_PROFILE, ROWS_ALONE, IDENTICAL_ROWS, REPETITION):
        assert found[name].passed, f"{name}: {found[name].why}"


def test_an_engine_says_which_gpu_it_is_for(engines: dict[str, "ExportResult"], tensorrt: "Library") -> None:
    from exporters.tensorrt_library import compute_capability_here

    here = compute_capability_here()
    assert here is not None
    artifact = engine_of(engines["student"], "fp16").artifact
    assert artifact.target == f"trt.sm{here.replace('.', '')}"
    assert artifact.built_with["compute_capabilities"] == [here]
    assert artifact.built_with["builder_version"] == tensorrt.version


@pytest.mark.parametrize(("batch", "frames"), [(1, 1), (1, 23), (2, 16), (3, 9), (4, 64)])
def test_a_static_engine_gives_what_the_dynamic_one_gives(
    build: Build, recurrent_graph: Path, tmp_path: Path, batch: int, frames: int
) -> None:
    from exporters.engine_options import Range

    build(recurrent_graph, tmp_path / "dynamic.engine", timing_cache=tmp_path / "cache")
    build(
        recurrent_graph,
        tmp_path / "static.engine",
        timing_cache=tmp_path / "cache",
        batch=Range(min=batch, opt=batch, max=batch),
        frames=Range(min=frames, opt=frames, max=frames),
    )
    video = noise(batch, frames, 8)
    with opened("trt", tmp_path / "dynamic.engine") as dynamic, opened("trt", tmp_path / "static.engine") as static:
        found = call(dynamic, video)
        np.testing.assert_allclose(call(static, video), found, atol=1e-4, rtol=1e-4)
        rows = [call(dynamic, video[row : row + 1]) for row in range(batch)]
    with opened("onnx", recurrent_graph, device="cpu") as reference:
        np.testing.assert_allclose(found, call(reference, video), atol=1e-4, rtol=1e-4)
    np.testing.assert_allclose(np.concatenate(rows, axis=1), found, atol=1e-4, rtol=1e-4)


def test_a_second_build_finds_everything_in_the_timing_cache(
    build: Build, recurrent_graph: Path, tmp_path: Path
) -> None:
    first, second = (
        build(recurrent_graph, tmp_path / f"{index}.engine", timing_cache=tmp_path / "cache")["timing_cache"]
        for index in range(2)
    )
    assert first["used"] is False
    assert first["bytes_before"] == 0
    assert second["used"] is True
    assert second["bytes_before"] == first["bytes_after"] > 0
    assert second["bytes_after"] == second["bytes_before"]  # nothing had to be measured again


def test_a_timing_cache_of_something_else_is_replaced(build: Build, recurrent_graph: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_bytes(b"no timing cache at all")
    told = build(recurrent_graph, tmp_path / "a.engine", timing_cache=tmp_path / "cache")["timing_cache"]
    assert told["used"] is False
    again = build(recurrent_graph, tmp_path / "a.engine", timing_cache=tmp_path / "cache")["timing_cache"]
    assert again["used"] is True


@pytest.mark.usefixtures("tensorrt")
def test_several_builds_report_latency_and_parity_and_keep_the_best(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    from exporters.engine_options import EngineOptions
    from slrbench.workflows.export import export_model

    folder = shutil.copytree(checkpoints["student"], tmp_path / "model")
    options = EngineOptions(builder="tensorrt", builds=2, timing_cache=tmp_path / "cache")
    result = export_model(folder, formats=("trt",), engine=options)
    assert not result.failed
    (entry,) = result.entries
    builds = entry.artifact.built_with["builds"]
    assert builds["count"] == 2
    assert builds["parity_passed"] == [True, True]
    assert all(0 < latency < 10 for latency in builds["latency_s"])
    assert all(0 <= error < 1e-2 for error in builds["max_abs_error"])
    assert builds["latency_s"][builds["kept"]] == min(builds["latency_s"])
    assert builds["sha256"][builds["kept"]] == entry.artifact.sha256
    assert [path.name for path in folder.glob("*.engine")] == [entry.artifact.path]
