"""Which rows a measurement gives."""

from typing import Any

import pytest

from slrbench.records import Accuracy, ErrorCounts, Measurement, Report
from slrbench.reporting.statistics import summarise, throughput_clips_per_s
from tests.reporting.alike import assert_alike


def test_the_golden_summary_follows_from_its_measurements(golden_report: Report) -> None:
    found = summarise(golden_report.measurements, golden_report.accuracies)
    assert_alike([row.model_dump() for row in found], [row.model_dump() for row in golden_report.summary])


def _changed(measurement: Measurement, **fields: Any) -> Measurement:
    return measurement.model_copy(update=fields)


def test_a_scope_without_samples_gives_no_row(golden_report: Report) -> None:
    measurement = _changed(golden_report.measurements[0], compute_s=())
    assert [row.scope for row in summarise([measurement], [])] == ["end_to_end"]


def test_throughput_is_calls_times_batch_by_the_time_of_the_pass(golden_report: Report) -> None:
    measurement = next(m for m in golden_report.measurements if m.candidate.batch == 8)
    measurement = _changed(measurement, throughput_calls=5, throughput_s=2.0)
    assert throughput_clips_per_s(measurement) == 20.0
    row = summarise([measurement], [])[0]
    assert row.frames_per_s == 20.0 * 32
    assert row.real_time_factor == 20.0 * 32 / 25
    without = summarise([_changed(measurement, throughput_calls=0, throughput_s=0.0)], [])[0]
    assert (without.throughput_clips_per_s, without.frames_per_s, without.real_time_factor) == (None, None, None)


def _accuracy(measurement: Measurement, split: str, errors: int, **fields: Any) -> Accuracy:
    counts = ErrorCounts(substitutions=errors, deletions=0, insertions=0, reference_words=100)
    names = ("artifact_sha256", "backend", "input_kind", "height", "width")
    known = measurement.candidate.model_dump(include=set(names))
    return Accuracy(
        **{**known, **fields},
        model=measurement.candidate.model,
        split=split,
        data="fingerspelling",
        data_fingerprint="00",
        clips=10,
        counts=counts,
        wer=counts.wer,
        sequences_wrong=errors,
    )


@pytest.mark.parametrize(
    "other",
    [
        {"artifact_sha256": "f" * 64},
        {"backend": "openvino"},
        {"input_kind": "uint8"},
        {"height": 24},
        {"width": 24},
        {"height": None, "width": None},
        {"precision": "fp16"},
        {"variant": "compile"},
        {"device": "cuda"},
    ],
    ids=str,
)
def test_the_wer_of_something_else_is_not_taken(golden_report: Report, other: dict[str, Any]) -> None:
    measurement = golden_report.measurements[0]
    row = summarise([measurement], [_accuracy(measurement, "test", 3, **other)])[0]
    assert (row.wer, row.wer_split) == (None, None)
    assert summarise([measurement], [_accuracy(measurement, "test", 3)])[0].wer == 0.03


def test_the_wer_is_that_of_test_where_there_are_several_splits(golden_report: Report) -> None:
    measurement = golden_report.measurements[0]
    dev, test = _accuracy(measurement, "dev", 9), _accuracy(measurement, "test", 3)
    for order in ([dev, test], [test, dev]):
        row = summarise([measurement], order)[0]
        assert (row.wer, row.wer_split) == (0.03, "test")
    assert summarise([measurement], [dev])[0].wer_split == "dev"


def test_random_weights_have_no_wer(golden_report: Report) -> None:
    measurement = next(m for m in golden_report.measurements if m.candidate.untrained)
    row = summarise([measurement], [_accuracy(measurement, "test", 3)])[0]
    assert (row.wer, row.wer_split) == ("untrained", None)


def test_a_trained_network_may_be_called_untrained(golden_report: Report) -> None:
    measurement = golden_report.measurements[0]
    candidate = measurement.candidate.model_copy(update={"model": "untrained-x"})
    measurement = _changed(measurement, candidate=candidate)
    assert summarise([measurement], [_accuracy(measurement, "test", 3)])[0].wer == 0.03


def test_device_time_is_a_median_over_rounds_of_its_own(golden_report: Report) -> None:
    measurement = golden_report.measurements[0]
    rounds = tuple(i // 30 for i in range(90))
    times = tuple(0.001 * (1 + number) for number in rounds)
    row = summarise([_changed(measurement, device_s=times, round_of=rounds, device_memory_bytes={"peak": 5})], [])[0]
    assert (row.device_p50_s, row.device_memory_bytes) == (0.002, 5)
    assert row.p50_s == summarise([_changed(measurement, round_of=rounds)], [])[0].p50_s
    held = _changed(measurement, device_memory_bytes={"peak": 5, "process": 9})
    assert summarise([held], [])[0].device_memory_bytes == 9
    without = summarise([measurement], [])[0]
    assert (without.device_p50_s, without.device_memory_bytes) == (None, None)
