"""Outputs of timed calls are looked at, and a runtime that answers from a store is found out."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from slrbench.measure.kept_outputs import KEPT_CALLS, KeptOutputs, OwnOutputs, caches, repeated_ratios, write_outputs
from slrbench.measure.output_check import (
    NETWORK,
    SELF,
    Compared,
    RoundOutputs,
    check_against,
    check_round,
    output_check,
)
from slrbench.measure.sampling import SamplingRule, take_samples, warm_up
from tests.measure.fakes import SteppingClock, StoringRunner, videos

INPUTS = videos(8)
RULE = SamplingRule(min_calls=30, min_time_s=0.0, warmup_cap_s=100.0)


def one_round(runner: StoringRunner, path: Path, *, seed: int = 0) -> tuple[RoundOutputs, KeptOutputs]:
    """As a worker goes about it."""
    own, kept = OwnOutputs(len(INPUTS)), KeptOutputs(seed)
    warm_up(runner, INPUTS, runner.clock, RULE, keep=own)
    take_samples(runner, INPUTS, runner.clock, RULE, keep=kept)
    own.complete(runner, INPUTS, [call % len(INPUTS) for call in kept.calls])
    write_outputs(path, kept, own)
    return check_round(path, inputs=len(INPUTS), precision="fp32"), kept


def test_outputs_that_are_as_in_untimed_calls_pass(tmp_path: Path) -> None:
    found, _ = one_round(StoringRunner(SteppingClock()), tmp_path / "outputs.npz")
    assert found.compared == Compared(calls=KEPT_CALLS, max_abs_error=0.0, decoded_alike=True, faults=())
    check, warnings = output_check([found.record()], [], [])
    assert check is not None
    assert (check.passed, check.calls, check.compared_with, warnings) == (True, KEPT_CALLS, SELF, [])
    assert set(found.own) == set(range(8))


def test_timed_outputs_that_differ_are_not_passed(tmp_path: Path) -> None:
    # The 10 calls of the warm-up are right, those that are timed are not.
    found, _ = one_round(StoringRunner(SteppingClock(), wrong_from=11), tmp_path / "outputs.npz")
    check, warnings = output_check([found.record()], [], [])
    assert check is not None
    assert not check.passed
    assert check.max_abs_error is not None
    assert check.max_abs_error > 0.1
    assert warnings[0].startswith("outputs of timed calls are not what they should be: timed call ")


@pytest.mark.parametrize("spoil", [lambda a: a * np.nan, lambda a: a[:-1], lambda a: a + 1e-3])
def test_every_kind_of_wrong_output_is_seen(tmp_path: Path, spoil: "np.ufunc") -> None:
    path = tmp_path / "outputs.npz"
    _, kept = one_round(StoringRunner(SteppingClock()), path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    name = f"timed-{kept.calls[0]}"
    np.savez(path, **{**arrays, name: spoil(arrays[name])})
    assert len(check_round(path, inputs=8, precision="fp32").compared.faults) == 1


def test_which_calls_are_looked_at_depends_on_the_seed_alone(tmp_path: Path) -> None:
    chosen = [one_round(StoringRunner(SteppingClock()), tmp_path / "o.npz", seed=s)[1].calls for s in (1, 1, 2, 3)]
    assert chosen[0] == chosen[1]
    assert len({tuple(calls) for calls in chosen}) > 1
    assert all(0 <= call < 30 for calls in chosen for call in calls)


def test_every_call_of_a_round_has_the_same_chance() -> None:
    counts = np.zeros(40)
    for seed in range(2000):
        kept = KeptOutputs(seed)
        for call in range(40):
            kept(call, np.zeros(1, np.float32))
        counts[kept.calls] += 1
    assert counts.sum() == 2000 * KEPT_CALLS
    assert counts.min() > 140  # 200 each is expected; the standard deviation is 13
    assert counts.max() < 260


def test_a_kept_output_is_a_copy() -> None:
    output = np.zeros(3, np.float32)
    kept, own = KeptOutputs(0), OwnOutputs(1)
    for keep in (kept, own):
        keep(0, output)
    output += 1
    assert kept.outputs[0].sum() == own.outputs[0].sum() == 0


def test_own_outputs_that_are_not_the_networks_are_not_passed(tmp_path: Path) -> None:
    found, _ = one_round(StoringRunner(SteppingClock()), tmp_path / "outputs.npz")
    right = check_against(found.own, found.own, precision="fp32")
    wrong = check_against({0: found.own[1]}, found.own, precision="fp32")
    assert (right.calls, right.faults) == (8, ())
    assert wrong.faults
    for against, passed in ((right, True), (wrong, False)):
        check, _ = output_check([found.record()], [against.record()], [])
        assert check is not None
        assert (check.passed, check.compared_with) == (passed, f"{SELF}, and these with {NETWORK}")


def test_half_precision_may_be_off_by_what_its_gates_allow(tmp_path: Path) -> None:
    found, _ = one_round(StoringRunner(SteppingClock()), tmp_path / "outputs.npz")
    shift = np.log(np.float32(1 + 5e-5))
    near = {i: output + shift for i, output in found.own.items()}
    off = {i: output * 1.004 for i, output in found.own.items()}
    assert check_against(near, found.own, precision="fp32").faults == ()
    assert check_against(off, found.own, precision="fp32").faults
    assert check_against(off, found.own, precision="fp16").faults == ()


def test_nothing_compared_is_no_record() -> None:
    assert output_check([], [], [0.5]) == (None, [])


@pytest.mark.parametrize("remembers", [1, 8, 1000])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_runner_that_answers_from_a_store_is_found_out(remembers: int, dtype: type) -> None:
    clock = SteppingClock()
    inputs = [(video * 40 + 128).astype(dtype) for video in INPUTS]
    runner = StoringRunner(clock, remembers=remembers)
    for video in inputs * 2:
        runner.run(video)
    ratios = repeated_ratios(runner, inputs, clock, most_time_s=1.0)
    assert ratios == pytest.approx([0.1] * len(ratios))
    check, warnings = output_check([replace(Compared(), calls=1).record()], [], ratios)
    assert check is not None
    assert check.caches
    assert check.passed
    assert warnings == ["one clip over and over takes 0.10 of the time of clips never seen: something caches"]


@pytest.mark.parametrize("count", [1, 8])
def test_a_runner_that_computes_is_not_suspected(count: int) -> None:
    clock = SteppingClock()
    ratios = repeated_ratios(StoringRunner(clock), INPUTS[:count], clock, most_time_s=1.0)
    assert set(ratios) == {1.0}
    check, warnings = output_check([replace(Compared(), calls=1).record()], [], ratios)
    assert check is not None
    assert not check.caches
    assert warnings == []


@dataclass
class DisturbedRunner(StoringRunner):
    """Two of three calls with a new video take three times as long, as on a machine that others use, too."""

    seen: list[bytes] = field(default_factory=list)

    def run(self, staged: NDArray[Any]) -> NDArray[np.float32]:
        output = super().run(staged)
        if staged.tobytes() not in self.seen:
            self.seen.append(staged.tobytes())
            self.clock.now_ns += 20_000_000 if len(self.seen) % 3 else 0
        return output


def test_calls_that_others_disturbed_are_no_sign_of_a_store() -> None:
    clock = SteppingClock()
    assert set(repeated_ratios(DisturbedRunner(clock), INPUTS, clock, most_time_s=0.0)) == {1.0}


def test_a_slow_network_is_held_for_one_pair_of_blocks_in_each_order() -> None:
    clock = SteppingClock()
    runner = StoringRunner(clock)
    assert repeated_ratios(runner, INPUTS, clock, most_time_s=0.0) == [1.0, 1.0]
    assert runner.calls == 16


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ([0.8, 0.85, 0.7, 0.88], True),
        ([0.89, 0.95, 0.89], False),  # two of three: noise does that
        ([0.5, 1.4, 0.6, 1.3, 0.7, 0.8], False),
        ([0.95, 0.96, 0.94], False),
        ([], False),
    ],
)
def test_a_noisy_machine_raises_no_alarm(ratios: list[float], expected: bool) -> None:
    assert caches(ratios) is expected
