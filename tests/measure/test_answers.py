"""What a worker may answer beside samples, joined over rounds."""

from typing import Any

from slrbench.measure.answers import optional_fields


def answer(samples: int, **more: Any) -> dict[str, Any]:
    return {"compute_s": [0.1] * samples, **more}


def test_answers_without_them_give_no_fields() -> None:
    assert optional_fields([answer(5), answer(5, marks={}, energy=None, parallel=[])]) == {}


def test_marks_are_indices_into_all_samples() -> None:
    found = optional_fields([answer(5, marks={"steal": [0, 4]}), answer(3), answer(5, marks={"steal": [1], "x": []})])
    assert found == {"marks": {"steal": (0, 4, 9)}}


def test_memory_is_the_most_and_requests_are_added_up() -> None:
    runs = [
        [{"requests": n, "calls": 10, "seconds": 2.0} for n in (1, 2)],
        [{"requests": 2, "calls": 5, "seconds": 1.0}],
    ]
    found = optional_fields([answer(1, steady_rss_bytes=i + 5, parallel=run) for i, run in enumerate(runs)])
    assert found["steady_rss_bytes"] == 6
    assert [(run.requests, run.calls, run.seconds) for run in found["parallel"]] == [(1, 10, 2.0), (2, 15, 3.0)]


def test_energy_is_added_up_where_it_could_be_read() -> None:
    read = {"source": "RAPL package", "joules": 4.0, "calls": 2, "seconds": 1.0}
    none = {"unavailable": "not available here: no RAPL"}
    energy = optional_fields([answer(1, energy=e) for e in (read, none, read)])["energy"]
    assert (energy.joules, energy.calls, energy.seconds, energy.source) == (8.0, 4, 2.0, "RAPL package")
    assert optional_fields([answer(1, energy=none)])["energy"].unavailable == "not available here: no RAPL"


def test_one_failed_check_of_outputs_fails_all() -> None:
    good = {"compared_with": "the first", "calls": 2, "max_abs_error": 0.1, "decoded_alike": True, "passed": True}
    bad = {**good, "max_abs_error": 0.7, "decoded_alike": False, "passed": False, "repeated_ratio": 0.8, "caches": True}
    check = optional_fields([answer(1, output_check=c) for c in (good, bad, good)])["output_check"]
    assert (check.calls, check.max_abs_error, check.decoded_alike, check.passed) == (6, 0.7, False, False)
    assert (check.repeated_ratio, check.caches) == (0.8, False)
    assert optional_fields([answer(1, output_check=good)])["output_check"].passed
