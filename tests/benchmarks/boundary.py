"""Does the harness time what others time? Run by hand, on a quiet machine:

    python tests/benchmarks/boundary.py [--model FOLDER --size 224] [--pairs 24] [--threads 2] [--frames 32]

Three comparisons, each of the same file with the same options, alternately:

- ONNX, in one process: calls by the harness, and plain ``perf_counter`` calls of the very session that it uses, in
  random order. What differs is the harness alone. Expected: within 1 % of 1.
- ONNX: the harness (its end-to-end time) and a plain ``perf_counter`` loop around ``InferenceSession.run`` in its own
  process, in short turns. Expected: within 1 % of 1.
- OpenVINO: a round of the harness (its compute time) and a run of OpenVINO's own ``benchmark_app`` (sync, inference
  only, same shape, threads, precision and file). Expected: within 3 % of 1.

Every pair of the other two is two fresh processes: the same program takes some per cent more or less time from one
process to the next, which no number of calls in one process averages away. The bare loop is compared with a second bare
loop, too: what that ratio's interval spans is what this machine can tell apart. The processes of harness and bare loops
start and warm up while scattered memory is set aside, as those of ``bench`` do, and their turns are paired, since the
machine's own speed changes within a second.

Shown are ratios of a pair's medians, or the trimmed means of the ratios of its turns, with a 95 % interval of their
median over pairs, or over stretches of calls in one process, by order statistics. Without --model a network with random
weights is exported first (that needs torch).
"""

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from slrbench.measure.clock import perf_counter_ns
from slrbench.measure.process import Worker
from slrbench.measure.rounds import open_in
from slrbench.measure.sampling import SamplingRule, no_garbage_collection, timed_call
from slrbench.measure.scattered_memory import set_aside
from slrbench.measure.timing_inputs import noise_inputs
from slrbench.records import Candidate
from slrbench.runners.inputs import artifact_sha256
from slrbench.runners.onnxruntime_ import OnnxRunner
from slrbench.statistics.bootstrap import trimmed_mean

WARM_UP_CALLS = 10
"""Of a plain loop, as many as ours makes at least."""

AGAINST = ("session", "bare", "benchmark_app")

BARE_LOOP = """
import sys, time
import numpy as np, onnxruntime as ort
path, inputs, threads, settling_s = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
options = ort.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
for line in sys.stdin:
    times = []
    begin, call = time.perf_counter(), 0
    while call == 0 or time.perf_counter() - begin < settling_s:
        session.run(None, {"video": inputs[call % len(inputs)]})
        call += 1
    for call in range(int(line)):
        feed = {"video": inputs[call % len(inputs)]}
        begin = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - begin)
    print(*times, flush=True)
"""


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(arguments.model) if arguments.model else export(arguments, Path(scratch))
        inputs = Path(scratch) / "inputs.npy"
        onnx = candidate_of("onnx", folder / "model.onnx", arguments)
        np.save(inputs, noise_inputs(onnx).videos)
        if "session" in arguments.against:
            ours, bare = in_one_process(onnx, np.load(inputs), arguments.stretches, arguments.calls)
            show("harness / plain calls, one session", ours, of="stretches of calls")
            show("plain calls / plain calls, one session", bare, of="stretches of calls")
        if "bare" in arguments.against:
            ours, bare = against_bare_loop(onnx, inputs, arguments.pairs, arguments.turns, arguments.calls)
            show("harness / bare loop", ours)
            show("bare loop / another bare loop", bare)
        if "benchmark_app" in arguments.against:
            openvino = candidate_of("openvino", folder / "model.openvino.xml", arguments)
            calls = arguments.turns * arguments.calls
            show("harness / benchmark_app", against_benchmark_app(openvino, inputs, arguments.pairs, calls))


def candidate_of(backend: str, path: Path, arguments: argparse.Namespace) -> Candidate:
    """One file at the shape that was asked for."""
    return Candidate.model_validate(
        {
            "model": "boundary", "backend": backend, "format": backend, "threads": arguments.threads, "batch": 1,
            "frames": arguments.frames, "height": arguments.size, "width": arguments.size,
            "path": str(path.resolve()), "artifact_sha256": artifact_sha256(path), "size_bytes": path.stat().st_size,
        }
    )  # fmt: skip


def show(what: str, pairs: list[tuple[float, float]], *, of: str = "pairs of processes") -> None:
    """One line for each comparison."""
    ratios = [one / other for one, other in pairs]
    low, high = median_interval(ratios)
    typical_ms = 1e3 * median(one for one, _ in pairs)
    sys.stdout.write(
        f"{what}: {median(ratios):.4f}, 95 % interval {low:.4f} .. {high:.4f} ({len(ratios)} {of}, "
        f"whose ratios lie in {min(ratios):.3f} .. {max(ratios):.3f}; median {typical_ms:.3f} ms)\n"
    )
    sys.stdout.flush()


def in_one_process(
    candidate: Candidate, inputs: NDArray[np.float32], stretches: int, calls: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Medians over a stretch's calls, seconds: harness and plain calls; plain calls and plain calls."""
    runner = OnnxRunner(Path(candidate.path), device="cpu", threads=candidate.threads, input_kind="float32")
    assert runner._calls is not None
    session = runner._calls._session

    def plain(video: NDArray[np.float32]) -> float:
        feed = {"video": video}
        begin = time.perf_counter()
        session.run(None, feed)
        return time.perf_counter() - begin

    def harness(video: NDArray[np.float32]) -> float:
        return timed_call(runner, video, perf_counter_ns)[1]

    ways = [harness, plain, plain]
    order = random.Random(0)
    ours, bare = [], []
    for stretch in range(-1, stretches):  # the first warms up
        times: list[list[float]] = [[], [], []]
        with no_garbage_collection():
            for call in range(calls):
                for which in order.sample(range(3), 3):
                    times[which].append(ways[which](inputs[call % len(inputs)]))
        if stretch >= 0:
            medians = [median(each) for each in times]
            ours.append((medians[0], medians[1]))
            bare.append((medians[1], medians[2]))
    return ours, bare


def against_benchmark_app(candidate: Candidate, inputs: Path, pairs: int, calls: int) -> list[tuple[float, float]]:
    """Both medians of each pair, seconds; which goes first alternates."""
    shape = f"video[{candidate.batch},3,{candidate.frames},{candidate.height},{candidate.width}]"
    command = [
        str(Path(sys.executable).with_name("benchmark_app")), "-m", candidate.path, "-d", "CPU", "-hint", "none",
        "-api", "sync", "-nstreams", "1", "-nthreads", str(candidate.threads), "-pin", "NO", "-infer_precision", "f32",
        "-data_shape", shape, "-inference_only", "true", "-niter", str(calls),
    ]  # fmt: skip
    rule = asdict(SamplingRule(min_calls=calls, min_time_s=0.0, max_time_s=600.0, throughput_time_s=0.0))

    def harness_round() -> float:
        with Worker(threads=candidate.threads) as worker:
            open_in(worker, candidate, first_input=None, limit_s=600.0)
            worker.ask("inputs", limit_s=600.0, path=str(inputs))
            return float(median(worker.ask("round", limit_s=600.0, rule=rule, settle=True)["compute_s"]))

    def app_round() -> float:
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.search(r"Median:\s+([\d.]+) ms", said)
        if found is None:
            raise SystemExit(f"benchmark_app gave no median:\n{said}")
        return float(found[1]) / 1e3

    found = []
    for pair in range(pairs):
        if pair % 2:
            ours, theirs = harness_round(), app_round()
        else:
            theirs, ours = app_round(), harness_round()
        found.append((ours, theirs))
    return found


def against_bare_loop(
    candidate: Candidate, inputs: Path, pairs: int, turns: int, calls: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """What each takes in a pair, by turns and in seconds: harness and bare loop; bare loop and a second one.

    All three run in turns of so many calls, in random order. The first turn of each warms up.
    """
    rule = asdict(SamplingRule(min_calls=calls, min_time_s=0.0, max_time_s=600.0, throughput_time_s=0.0))
    ours, bare = [], []
    order = random.Random(0)
    for _ in range(pairs):
        with ExitStack() as processes:
            with set_aside():
                worker = processes.enter_context(Worker(threads=candidate.threads))
                open_in(worker, candidate, first_input=None, limit_s=600.0)
                worker.ask("inputs", limit_s=600.0, path=str(inputs))
                worker.ask("warm_up", limit_s=600.0, rule=rule)
                one, other = (processes.enter_context(bare_loop(candidate, inputs)) for _ in range(2))
                for loop in (one, other):
                    loop(WARM_UP_CALLS)  # what a process takes of memory it takes now

            def harness_turn(worker: Worker = worker) -> list[float]:
                return list(worker.ask("round", limit_s=600.0, rule=rule, settle=True)["end_to_end_s"])

            times: list[list[float]] = [[], [], []]
            timed: list[Callable[[], list[float]]] = [harness_turn, partial(one, calls), partial(other, calls)]
            for turn in range(-1, turns):
                for which in order.sample(range(3), 3):
                    taken = median(timed[which]())
                    times[which] += [taken] if turn >= 0 else []
            ours.append(paired(times[0], times[1]))
            bare.append(paired(times[1], times[2]))
    return ours, bare


def paired(one: list[float], other: list[float]) -> tuple[float, float]:
    """Two times, seconds, whose ratio is that of the turns: the trimmed mean of their logarithms, as in comparisons."""
    typical = median(other)
    return typical * float(np.exp(trimmed_mean(np.log(one) - np.log(other)))), typical


@contextmanager
def bare_loop(candidate: Candidate, inputs: Path) -> Iterator[Callable[[int], list[float]]]:
    """A process with the plain loop, and how to have it make so many timed calls, after untimed ones as ours has."""
    settling_s = str(SamplingRule().settling_s)
    command = [sys.executable, "-c", BARE_LOOP, candidate.path, str(inputs), str(candidate.threads), settling_s]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        asked, answers = process.stdin, process.stdout
        assert asked is not None
        assert answers is not None

        def take(calls: int) -> list[float]:
            asked.write(f"{calls}\n")
            asked.flush()
            return [float(text) for text in answers.readline().split()]

        yield take
        asked.close()


def median_interval(values: list[float]) -> tuple[float, float]:
    """95 % interval of a median by order statistics; the whole range where there are fewer than 6 values."""
    from math import comb

    ordered, n = sorted(values), len(values)
    tail, rank = 0.0, 0
    while rank < n // 2 and tail + comb(n, rank) / 2**n <= 0.025:
        tail += comb(n, rank) / 2**n
        rank += 1
    rank = max(rank, 1)
    return ordered[rank - 1], ordered[n - rank]


def export(arguments: argparse.Namespace, scratch: Path) -> Path:
    """A student with random weights as ONNX and OpenVINO."""
    from slrbench.workflows.untrained import build_untrained

    text = f"student:size={arguments.size}"
    return build_untrained(text, scratch / "model", backends=["onnx", "openvino"], input_kinds=["float32"]).folder


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", metavar="FOLDER", help="holds model.onnx and model.openvino.xml")
    parser.add_argument("--against", nargs="+", default=list(AGAINST), choices=AGAINST)
    parser.add_argument("--size", type=int, default=64, help="height and width, pixels")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--stretches", type=int, default=120, help="stretches of calls in one process")
    parser.add_argument("--pairs", type=int, default=24, help="pairs of fresh processes")
    parser.add_argument("--turns", type=int, default=40, help="turns of a pair")
    parser.add_argument("--calls", type=int, default=2, help="calls of a turn, and of each kind in a stretch")
    return parser.parse_args()


if __name__ == "__main__":
    main()
