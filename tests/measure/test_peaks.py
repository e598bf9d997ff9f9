"""The machine's peaks and what rows are worth beside them."""

from pathlib import Path

import pytest

from slrbench.measure.peak_worker import copy_peak, gemm_peak
from slrbench.measure.peaks import better_of, measure_peaks, peak_precision
from slrbench.models.cost import count_macs, count_traffic
from slrbench.models.spec import ModelSpec
from slrbench.records import Candidate, MachinePeak
from slrbench.reporting.roofline import LEAST_SHARE, roof_of

FIELDS = {
    "model": "m", "backend": "onnx", "format": "onnx", "threads": 1, "batch": 1, "frames": 8, "height": 32, "width": 32,
    "path": "m.onnx", "artifact_sha256": "0", "size_bytes": 1,
}  # fmt: skip


def candidate(**changes: object) -> Candidate:
    return Candidate.model_validate(FIELDS | changes)


def peak(**changes: object) -> MachinePeak:
    return MachinePeak.model_validate({"threads": 1, "flops_per_s": 1e9, "bytes_per_s": 1e8} | changes)


@pytest.mark.parametrize("library", ["numpy", "onnxruntime", "openvino"])
def test_every_library_multiplies_at_a_rate_that_a_cpu_can_have(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slrbench.measure.peak_worker.GEMM_SIZE", 256)
    monkeypatch.setattr("slrbench.measure.peak_worker.TIME_S", 0.01)
    assert 1e8 < gemm_peak(threads=1, library=library, precision="fp32")["per_second"] < 1e14


def test_int8_has_a_peak_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slrbench.measure.peak_worker.GEMM_SIZE", 256)
    monkeypatch.setattr("slrbench.measure.peak_worker.TIME_S", 0.01)
    assert gemm_peak(threads=1, library="onnxruntime", precision="int8")["per_second"] > 1e8
    assert [peak_precision(word) for word in ("fp32", "fp16", "int8")] == ["fp32", "fp32", "int8"]


def test_a_copy_counts_bytes_read_and_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slrbench.measure.peak_worker.COPY_BYTES", 4 << 20)
    monkeypatch.setattr("slrbench.measure.peak_worker.TIME_S", 0.01)
    assert 1e8 < copy_peak(threads=2)["per_second"] < 1e13


def test_peaks_are_measured_for_each_thread_count_on_the_cpu_only() -> None:
    found = measure_peaks([candidate(), candidate(backend="openvino"), candidate(device="cuda", backend="trt")])
    assert [(p.threads, p.precision, p.device) for p in found] == [(1, "fp32", "cpu")]
    assert found[0].flops_per_s
    assert found[0].bytes_per_s


def test_the_better_of_two_measurements_of_each_figure_stands() -> None:
    first, second = peak(flops_per_s=5.0, bytes_per_s=1.0), peak(flops_per_s=3.0, bytes_per_s=2.0)
    assert better_of([first], [second]) == (peak(flops_per_s=5.0, bytes_per_s=2.0),)
    assert better_of([first], [peak(threads=2)]) == (first,)
    assert better_of([peak(flops_per_s=None)], [second])[0].flops_per_s == 3.0


@pytest.mark.parametrize(
    ("macs", "traffic", "measured", "share", "bound"),
    [
        (10**9, 10**6, 4.0, 0.5, "compute"),  # 2 s of arithmetic, 0.01 s of traffic
        (10**6, 10**8, 2.0, 0.5, "memory"),
        (10**9, 10**6, 2.0 / LEAST_SHARE + 0.1, 2.0 / (2.0 / LEAST_SHARE + 0.1), "overhead"),
        (10**9, 10**6, 1.0, 2.0, "compute"),  # faster than the count allows, as Winograd's convolutions are
    ],
)
def test_the_larger_limit_bounds_a_row(macs: int, traffic: int, measured: float, share: float, bound: str) -> None:
    roof = roof_of(candidate(macs=macs, traffic_bytes=traffic), measured, [peak()])
    assert roof is not None
    assert roof.share == pytest.approx(share)
    assert roof.bound_by == bound
    assert roof.intensity == 2 * macs / traffic


def test_without_a_cost_or_a_peak_nothing_is_said() -> None:
    known = {"macs": 1, "traffic_bytes": 1}
    assert roof_of(candidate(), 1.0, [peak()]) is None
    assert roof_of(candidate(**known), 1.0, [peak(threads=2)]) is None
    assert roof_of(candidate(**known), 1.0, [peak(flops_per_s=None)]) is None
    assert roof_of(candidate(**known, precision="int8"), 1.0, [peak()]) is None
    assert roof_of(candidate(**known, precision="fp16"), 1.0, [peak()]) is not None


def test_traffic_grows_with_the_clips_and_holds_the_weights_once() -> None:
    spec = ModelSpec(architecture="student", num_classes=5, width_mult=0.35, conv_channels=8, lstm_hidden=8)
    shape = {"frames": 8, "height": 32, "width": 32}
    one, two, three = (count_traffic(spec, batch=batch, **shape) for batch in (1, 2, 3))
    assert three - two == two - one
    assert 0 < one - (two - one) < one  # what does not grow is the weights
    assert count_macs(spec, batch=1, **shape) > 0


def test_the_workers_module_loads_no_torch(repository: Path) -> None:
    text = (repository / "slrbench" / "measure" / "peak_worker.py").read_text(encoding="utf-8")
    assert "import torch" not in text
