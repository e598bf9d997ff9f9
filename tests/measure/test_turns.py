"""A round in turns gives what a round in one piece does; an orphaned worker ends at once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from slrbench.measure.kept_outputs import KeptOutputs
from slrbench.measure.order import shuffled
from slrbench.measure.rounds import MeasureSettings, measure
from slrbench.measure.sampling import SamplingRule
from slrbench.measure.turns import RoundSoFar, rule_of_turn
from slrbench.records import Candidate
from slrbench.runners.inputs import artifact_sha256
from slrbench.workflows.untrained import build_untrained
from tests.measure.test_sampling import INPUTS, FakeRunner, SteppingClock

RULE = SamplingRule(min_calls=6, min_time_s=0.0, throughput_time_s=0.0, warmup_cap_s=0.2)


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Candidate:
    network = "student:width_mult=0.35,conv_channels=8,lstm_hidden=8,lstm_layers=1,num_classes=5,size=32"
    folder = build_untrained(
        network, tmp_path_factory.mktemp("turns") / "model", backends=["onnx"], input_kinds=["float32"]
    ).folder
    path = folder / "model.onnx"
    return Candidate.model_validate(
        {
            "model": "tiny", "backend": "onnx", "format": "onnx", "threads": 1, "batch": 1, "frames": 8, "height": 32,
            "width": 32, "path": str(path), "artifact_sha256": artifact_sha256(path), "size_bytes": path.stat().st_size,
        }
    )  # fmt: skip


@pytest.mark.parametrize("turns", [1, 3, 4])
def test_turns_together_have_the_calls_of_a_round(candidate: Candidate, turns: int) -> None:
    settings = MeasureSettings(rounds=2, processes=1, turns=turns, sampling=RULE)
    result = measure([candidate], settings, baseline=0)
    for found in (*result.measurements, *([result.control] if result.control else [])):
        calls = turns * -(-6 // turns)
        assert [found.round_of.count(round_) for round_ in (0, 1)] == [calls, calls]
        assert len(found.end_to_end_s) == len(found.compute_s) == 2 * calls
        assert found.turn_of == 2 * tuple(turn for turn in range(turns) for _ in range(calls // turns))
        assert found.output_check is not None
        assert found.output_check.passed
        assert all(0 <= index < 2 * calls for indices in found.marks.values() for index in indices)


def test_a_turns_rule_is_a_part_of_the_rounds() -> None:
    rule = rule_of_turn(SamplingRule(min_calls=14, min_time_s=0.7, max_time_s=30.0), 10)
    assert (rule.min_calls, rule.min_time_s, rule.max_time_s) == (2, pytest.approx(0.07), pytest.approx(3.0))


class _Watch:
    """Sees nothing."""

    def begin(self) -> None: ...

    def after_call(self) -> None: ...

    def marks(self) -> dict[str, list[int]]:
        return {}

    def sources(self) -> dict[str, bool]:
        return {}


@pytest.mark.parametrize(
    ("call_ms", "turns", "calls", "of_turns", "reason"),
    [
        (2000, 8, 3, [0, 1, 2], "the round's limit of 5 s"),
        (400, 8, 14, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6], "the round's limit of 5 s"),
        (10, 8, 24, [turn for turn in range(8) for _ in range(3)], "enough calls and time"),
        (5000, 1, 3, [0, 0, 0], "the round's limit of 5 s"),
        (2000, 1, 3, [0, 0, 0], "the round's limit of 5 s"),
    ],
)
def test_a_rounds_time_is_up_for_all_its_turns(
    call_ms: int, turns: int, calls: int, of_turns: list[int], reason: str
) -> None:
    clock = SteppingClock()
    runner = FakeRunner(clock, 0, call_ms, 0, 0)
    rule = SamplingRule(min_calls=22, min_time_s=0.0, max_time_s=5.0, settling_s=0.0)
    so_far = RoundSoFar(KeptOutputs(0))
    for turn in range(turns):
        so_far.take_turn(runner, INPUTS, clock, rule, _Watch, number=turn, turns=turns)  # type: ignore[arg-type]
    assert (len(so_far.compute_s), so_far.turn_of) == (calls, of_turns)
    assert so_far.answer()["stop_reason"] == reason


def test_every_turn_has_an_order_of_its_own() -> None:
    orders = {shuffled(range(6), seed=0, round_=0, turn=turn) for turn in range(10)}
    assert len(orders) > 5
    assert all(sorted(order) == list(range(6)) for order in orders)


PARENT = """
import json, sys
from pathlib import Path
from slrbench.measure.process import Worker
from slrbench.measure.opening import open_in
from slrbench.records import Candidate
candidate = Candidate.model_validate_json(Path(sys.argv[1]).read_text())
worker = Worker(threads=1)
open_in(worker, candidate, first_input=None, limit_s=60.0)
worker.ask("inputs", limit_s=60.0, path=sys.argv[2])
print(worker.pid, flush=True)
rule = {"min_calls": 1, "min_time_s": 600.0, "max_time_s": 600.0, "throughput_time_s": 0.0}
worker.ask("turn", limit_s=900.0, rule=rule, settle=False)
"""


def test_a_worker_whose_parent_is_killed_in_the_middle_of_a_command_ends_at_once(
    candidate: Candidate, tmp_path: Path, repository: Path
) -> None:
    (tmp_path / "candidate.json").write_text(json.dumps(candidate.model_dump(mode="json")))
    np.save(tmp_path / "inputs.npy", np.zeros((2, 1, 3, 8, 32, 32), np.float32))
    arguments = [str(tmp_path / "candidate.json"), str(tmp_path / "inputs.npy")]
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *arguments], cwd=repository, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        os.kill(worker, 0)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20.0
    while time.monotonic() < deadline and _runs(worker):
        time.sleep(0.05)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
