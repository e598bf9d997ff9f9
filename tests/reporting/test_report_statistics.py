"""Statistics of raw samples: properties of the percentiles, and which rows a measurement gives."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.records import Accuracy, ErrorCounts, Measurement, Report
from slrbench.reporting.statistics import (
    MIN_SAMPLES,
    median_over_rounds,
    percentile,
    percentile_if_known,
    summarise,
    throughput_clips_per_s,
)

times = st.floats(min_value=1e-7, max_value=1e3)
samples = st.lists(times, min_size=1, max_size=300)
shares = st.floats(min_value=0.001, max_value=1.0)


@given(samples, shares)
def test_a_percentile_is_a_sample_with_its_share_at_or_below_and_no_smaller_one_has_it(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert found in values
    needed = share * len(values) - 1e-6
    assert sum(v <= found for v in values) >= needed
    below = [v for v in values if v < found]
    if below:
        assert sum(v <= max(below) for v in values) < share * len(values) + 1e-6


@given(samples, shares, shares)
def test_percentiles_rise_with_the_share(values: list[float], a: float, b: float) -> None:
    assert percentile(values, min(a, b)) <= percentile(values, max(a, b))


@given(samples, st.randoms())
def test_percentiles_do_not_depend_on_the_order(values: list[float], random: Any) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    assert percentile(shuffled, 0.9) == percentile(values, 0.9)


def test_percentile_of_a_hundred_numbers_is_the_number_itself() -> None:
    values = [float(n) for n in range(1, 101)]
    assert [percentile(values, share / 100) for share in range(1, 101)] == values


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="is not in"):
        percentile([1.0], share)


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        percentile([], 0.5)


@pytest.mark.parametrize("share", list(MIN_SAMPLES))
def test_a_percentile_needs_the_samples_that_can_show_it(share: float) -> None:
    enough = [1.0] * MIN_SAMPLES[share]
    assert percentile_if_known(enough, share) == 1.0
    assert percentile_if_known(enough[1:], share) is None


def test_the_minimum_counts_are_those_of_mlperfs_early_stopping() -> None:
    """The fewest n so that, were the percentile worse, at most one of n would exceed it in less than 1 % of cases."""
    for share, least in MIN_SAMPLES.items():

        def at_most_one_above(n: int, share: float = share) -> float:
            return share**n + n * share ** (n - 1) * (1 - share)

        assert at_most_one_above(least) <= 0.01 < at_most_one_above(least - 1)


@given(st.integers(1, 9), st.integers(1, 20), st.data())
def test_the_median_over_rounds_has_a_quarter_of_equal_rounds_on_each_side(
    rounds: int, calls: int, data: st.DataObject
) -> None:
    values = data.draw(st.lists(times, min_size=rounds * calls, max_size=rounds * calls))
    found = median_over_rounds(values, [i // calls for i in range(len(values))])
    assert min(values) <= found <= max(values)
    assert sum(v <= found for v in values) >= len(values) / 4
    assert sum(v >= found for v in values) >= len(values) / 4


def test_a_disturbed_round_weighs_as_one_round() -> None:
    quiet, disturbed = [1.0] * 5, [9.0] * 500
    assert median_over_rounds([*quiet, *quiet, *disturbed], [0] * 5 + [1] * 5 + [2] * 500) == 1.0


def test_a_round_is_needed_for_every_sample() -> None:
    with pytest.raises(ValueError, match="zip"):
        median_over_rounds([1.0, 2.0], [0])
    with pytest.raises(ValueError, match="no samples"):
        median_over_rounds([], [])


def test_the_golden_summary_follows_from_its_measurements(golden_report: Report) -> None:
    assert summarise(golden_report.measurements, golden_report.accuracies) == golden_report.summary


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
    assert row.p50_s == summarise([measurement], [])[0].p50_s
    held = _changed(measurement, device_memory_bytes={"peak": 5, "process": 9})
    assert summarise([held], [])[0].device_memory_bytes == 9
    without = summarise([measurement], [])[0]
    assert (without.device_p50_s, without.device_memory_bytes) == (None, None)
