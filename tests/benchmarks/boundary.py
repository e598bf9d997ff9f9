"""Does the harness time what a bare loop times? Run by hand, on a quiet machine:

    python tests/benchmarks/boundary.py [--model FILE.onnx --size 224] [--rounds 15] [--threads 2] [--frames 32]

The same ONNX file with the same options, alternately: one round of the harness (its end-to-end time), one round of a
plain ``perf_counter`` loop around ``InferenceSession.run`` in its own process. Shown is the ratio of their medians,
with a 95 % interval over rounds by order statistics. Expected: within 1 % of 1. Without --model a network with random
weights is exported first (that part needs torch).
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median

import numpy as np

from slrbench.measure.process import Worker
from slrbench.measure.rounds import open_in
from slrbench.measure.sampling import SamplingRule
from slrbench.measure.timing_inputs import noise_inputs
from slrbench.records import Candidate
from slrbench.runners.inputs import artifact_sha256

BARE_LOOP = """
import sys, time, statistics
import numpy as np, onnxruntime as ort
path, inputs, threads = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3])
options = ort.SessionOptions()
options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
for line in sys.stdin:
    times = []
    for call in range(int(line)):
        feed = {"video": inputs[call % len(inputs)]}
        begin = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - begin)
    print(statistics.median(times), flush=True)
"""


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(arguments.model) if arguments.model else export(arguments, Path(scratch))
        candidate = Candidate(
            model="boundary", backend="onnx", format="onnx", threads=arguments.threads, batch=1,
            frames=arguments.frames, height=arguments.size, width=arguments.size, path=str(path.resolve()),
            artifact_sha256=artifact_sha256(path), size_bytes=path.stat().st_size,
        )  # fmt: skip
        inputs = Path(scratch) / "inputs.npy"
        np.save(inputs, noise_inputs(candidate).videos)
        ratios, harness = measure(candidate, inputs, arguments.rounds, arguments.calls)
    low, high = median_interval(ratios)
    sys.stdout.write(
        f"harness median {1e3 * median(harness):.3f} ms over {len(ratios)} pairs of rounds of {arguments.calls} calls\n"
    )
    sys.stdout.write(f"harness / bare loop: {median(ratios):.4f}, 95 % interval {low:.4f} .. {high:.4f}\n")


def measure(candidate: Candidate, inputs: Path, rounds: int, calls: int) -> tuple[list[float], list[float]]:
    """Ratio of medians and the harness's median of each pair; which goes first alternates. The first pair warms up."""
    rule = asdict(SamplingRule(min_calls=calls, min_time_s=0.0, max_time_s=600.0, throughput_time_s=0.0))
    command = [sys.executable, "-c", BARE_LOOP, candidate.path, str(inputs), str(candidate.threads)]
    with (
        Worker(threads=candidate.threads) as worker,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bare,
    ):
        assert bare.stdin is not None
        assert bare.stdout is not None
        open_in(worker, candidate, first_input=None, limit_s=600.0)
        worker.ask("inputs", limit_s=600.0, path=str(inputs))

        def harness_round() -> float:
            return median(worker.ask("round", limit_s=600.0, rule=rule, settle=True)["end_to_end_s"])

        def bare_round() -> float:
            bare.stdin.write(f"{calls}\n")
            bare.stdin.flush()
            return float(bare.stdout.readline())

        ratios, harness = [], []
        for pair in range(rounds + 1):
            if pair % 2:
                ours, theirs = harness_round(), bare_round()
            else:
                theirs, ours = bare_round(), harness_round()
            if pair:
                ratios.append(ours / theirs)
                harness.append(ours)
        bare.stdin.close()
    return ratios, harness


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
    """A student with random weights as ONNX."""
    from slrbench.workflows.untrained import build_untrained

    text = f"student:size={arguments.size}"
    model = build_untrained(text, scratch / "model", backends=["onnx"], input_kinds=["float32"])
    return model.folder / "model.onnx"


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", metavar="FILE.onnx")
    parser.add_argument("--size", type=int, default=64, help="height and width, pixels")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=100, help="calls of a round")
    return parser.parse_args()


if __name__ == "__main__":
    main()
