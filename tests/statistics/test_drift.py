"""What the other candidates say of one candidate's rounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.statistics.bootstrap import MIN_ROUNDS
from slrbench.statistics.drift import MIN_OTHERS, between_processes, drift_of_others

ROUNDS = 10


def medians(of_round: list[float], *, takes: float = 1.0) -> dict[int, float]:
    return {round_: takes * value for round_, value in enumerate(of_round)}


def jitter(seed: int, spread: float) -> list[float]:
    return list(np.exp(np.random.default_rng(seed).normal(0.0, spread, ROUNDS)))


def test_a_machine_that_slows_down_explains_the_rounds_of_all() -> None:
    machine = [1.0] * 5 + [2.0] * 5
    found = drift_of_others(medians(machine, takes=0.01), [medians(machine, takes=t) for t in (0.02, 0.03, 0.05)])
    assert found is not None
    assert found.ratio == pytest.approx(2.0)
    assert found.explained == pytest.approx(1.0)


def test_bad_rounds_of_one_candidate_are_its_own() -> None:
    others = [medians(jitter(seed, 0.01)) for seed in (1, 2, 3)]
    found = drift_of_others(medians(jitter(0, 0.2)), others)
    assert found is not None
    assert found.explained < 0.2


def test_rounds_that_do_not_differ_have_nothing_to_explain() -> None:
    same = medians([0.01] * ROUNDS)
    found = drift_of_others(same, [same, same, same])
    assert found is not None
    assert (found.ratio, found.explained) == (1.0, 0.0)


def test_one_other_that_jumped_too_is_not_the_machine() -> None:
    jumped, flat = medians([1.0, 1.0, 1.0, 2.3, 1.0, 1.0]), medians(jitter(0, 0.01)[:6])
    found = drift_of_others(jumped, [jumped, flat, flat])
    assert found is not None
    assert found.ratio < 1.05
    assert found.explained < 0.2


def test_processes_that_differ_hold_the_variance_of_the_rounds() -> None:
    process_of = {round_: min(round_ // 4, 2) for round_ in range(ROUNDS)}
    levels = [1.0, 0.7, 1.1]
    apart = {r: levels[p] * value for (r, p), value in zip(process_of.items(), jitter(0, 0.01), strict=True)}
    assert between_processes(apart, process_of) > 0.99
    assert between_processes(medians([0.01] * ROUNDS), process_of) == 0.0
    alike = [between_processes(medians(jitter(seed, 0.05)), process_of) for seed in range(400)]
    assert all(0.0 <= share <= 1.0 for share in alike)
    assert np.mean(alike) == pytest.approx(2 / 9, abs=0.03)
    assert sum(share >= 0.7 for share in alike) <= 14


def test_rounds_that_few_others_have_and_others_with_few_rounds_do_not_count() -> None:
    machine = [1.0, 2.0] * 5
    more = medians([*machine, 9.0, 9.0])
    short = medians([1.0, 50.0, 1.0])
    found = drift_of_others(more, [medians(machine), medians(machine), {**more, 10: 1e-3}, short])
    assert found is not None
    assert found.ratio == pytest.approx(2.0)
    assert found.explained == pytest.approx(1.0)


@pytest.mark.parametrize(("others", "rounds"), [(MIN_OTHERS - 1, ROUNDS), (MIN_OTHERS, MIN_ROUNDS - 1), (0, ROUNDS)])
def test_too_few_others_or_rounds_say_nothing(others: int, rounds: int) -> None:
    short = medians(([1.0, 2.0] * 5)[:rounds])
    assert drift_of_others(short, [short] * others) is None


@given(st.lists(st.floats(1e-4, 10.0), min_size=ROUNDS, max_size=ROUNDS), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_how_long_a_candidate_takes_does_not_matter(machine: list[float], takes: float, seed: int) -> None:
    noisy = [a * b for a, b in zip(machine, jitter(seed, 0.05), strict=True)]
    plain = drift_of_others(medians(noisy), [medians(machine)] * 3)
    others = [medians(machine, takes=by) for by in (takes, 7.0, 1.0)]
    scaled = drift_of_others(medians(noisy, takes=takes), others)
    assert plain is not None
    assert scaled is not None
    assert math.isclose(plain.ratio, scaled.ratio, rel_tol=1e-6)
    assert math.isclose(plain.explained, scaled.explained, rel_tol=1e-5, abs_tol=1e-6)
