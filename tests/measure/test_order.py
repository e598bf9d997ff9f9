"""Which candidates are visited: in random order, and where the time is worth most."""

import pytest

from slrbench.measure.order import shuffled, to_narrow

EQUAL = dict.fromkeys(range(6), 1.0)


def test_the_order_is_that_of_the_seed_and_the_round() -> None:
    orders = [shuffled(range(6), seed=1, round_=r) for r in range(20)]
    assert orders == [shuffled(range(6), seed=1, round_=r) for r in range(20)]
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len(set(orders)) > 15
    assert orders != [shuffled(range(6), seed=2, round_=r) for r in range(20)]
    # Each is first about as often as the others.
    firsts = [shuffled(range(6), seed=0, round_=r)[0] for r in range(600)]
    assert all(60 < firsts.count(index) < 140 for index in range(6))


def test_the_widest_are_narrowed_and_the_baseline_and_its_copy_go_along() -> None:
    widths = {0: 0.01, 1: 0.02, 2: 0.20, 3: 0.12, 4: 0.05, 5: 0.01}
    assert to_narrow(widths, EQUAL, 100.0, always=[0, 5]) == (0, 2, 3, 5)
    assert to_narrow(widths, EQUAL, 100.0, always=[]) == (2, 3)


def test_nothing_is_visited_once_all_are_narrow_enough() -> None:
    assert to_narrow({0: 0.03, 1: 0.01}, EQUAL, 100.0, always=[0]) == ()


def test_an_unknown_width_is_the_widest() -> None:
    assert to_narrow({0: float("inf"), 1: 0.5}, EQUAL, 100.0, always=[]) == (0,)
    assert to_narrow({0: float("nan"), 1: 0.5}, EQUAL, 100.0, always=[]) != ()


@pytest.mark.parametrize(
    ("left_s", "chosen"), [(4.0, (0, 1, 2, 5)), (3.5, (0, 1, 5)), (3.0, (0, 1, 5)), (2.5, ()), (0.5, ()), (-1.0, ())]
)
def test_as_many_as_the_time_allows(left_s: float, chosen: tuple[int, ...]) -> None:
    widths = {0: 0.01, 1: 0.20, 2: 0.19, 5: 0.01}
    assert to_narrow(widths, EQUAL, left_s, always=[0, 5]) == chosen


def test_a_cheap_one_is_visited_where_the_widest_takes_too_long() -> None:
    assert to_narrow({0: 0.2, 1: 0.15}, {0: 50.0, 1: 1.0}, 5.0, always=[]) == (1,)


def test_a_wide_baseline_is_visited_with_its_copy() -> None:
    assert to_narrow({0: 0.2, 1: 0.01, 2: 0.01}, EQUAL, 10.0, always=[0, 2]) == (0, 2)
