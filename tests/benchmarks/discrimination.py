"""Does bench tell apart what differs, and only that? Run by hand:

    python tests/benchmarks/discrimination.py [--sessions 20] [--slower 0.05] [--load none cpu] [--methods interleaved]

Each session measures one ONNX file, a copy of it, and a copy whose runner waits for 5 % of a call after each run. The
copy should be SAME, the slowed one SLOWER, in at least 19 of 20 sessions; also while another program keeps one core
busy (``cpu``). The same calls are measured block after block, too, as a plain benchmark does, with the interval of the
ratio of medians by the same bootstrap over ten parts of each block: what interleaving buys is the difference.

The wait is put into worker processes from outside, by a ``sitecustomize`` that only this script puts on their path.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from slrbench.measure.environment import capture_environment
from slrbench.measure.rounds import MeasureResult, MeasureSettings, measure
from slrbench.measure.sampling import SamplingRule
from slrbench.records import Candidate, Interval, Measurement, Report
from slrbench.reporting.derive import derive
from slrbench.runners.inputs import artifact_sha256
from slrbench.statistics.bootstrap import ratio_interval
from slrbench.statistics.verdicts import PRACTICAL_THRESHOLD, verdicts

SLOWED = "slowed.onnx"
WAITING_RUNNER = f"""
import os, time
if os.environ.get("SLOWED_BY_S"):
    from slrbench.runners import onnxruntime_
    wait_s = float(os.environ["SLOWED_BY_S"])
    opened, plain = onnxruntime_.OnnxRunner.__init__, onnxruntime_.OnnxRunner.run
    def note_path(self, path, **options):
        opened(self, path, **options)
        self.waits = path.name == {SLOWED!r}
    def run_and_wait(self, staged):
        result = plain(self, staged)
        if self.waits:
            end = time.perf_counter() + wait_s
            time.sleep(max(0.0, wait_s - 2e-4))  # the rest in a loop: a sleep ends late by more than can be ignored
            while time.perf_counter() < end:
                pass
        return result
    onnxruntime_.OnnxRunner.__init__, onnxruntime_.OnnxRunner.run = note_path, run_and_wait
"""
NAMES = ("model.onnx", "copy.onnx", SLOWED)
BUSY = "while True: pass"
Found = tuple[str, Interval | None]  # verdict, and the ratio of times that it rests on


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as scratch:
        candidates = prepare(Path(scratch), arguments)
        settings = MeasureSettings(
            rounds=arguments.rounds,
            processes=arguments.processes,
            turns=arguments.turns,
            sampling=SamplingRule(min_calls=arguments.calls, min_time_s=0.0, throughput_time_s=0.0, warmup_cap_s=2.0),
        )
        os.environ["SLOWED_BY_S"] = str(arguments.slower * call_s(candidates, settings))
        for load in arguments.load:
            with other_program(load):
                run_sessions(candidates, settings, arguments, load)


def prepare(scratch: Path, arguments: argparse.Namespace) -> list[Candidate]:
    """The file and its copies, as candidates; the waiting runner on the path of the workers."""
    from slrbench.workflows.untrained import build_untrained

    folder = build_untrained(arguments.network, scratch / "model", backends=["onnx"], input_kinds=["float32"]).folder
    for name in NAMES[1:]:
        shutil.copy(folder / NAMES[0], folder / name)
    (scratch / "sitecustomize.py").write_text(WAITING_RUNNER, encoding="utf-8")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(scratch), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    sha256 = artifact_sha256(folder / NAMES[0])
    return [
        Candidate.model_validate(
            {
                "model": name, "backend": "onnx", "format": "onnx", "threads": arguments.threads, "batch": 1,
                "frames": arguments.frames, "height": arguments.size, "width": arguments.size,
                "path": str(folder / name), "artifact_sha256": sha256, "size_bytes": 1,
            }
        )
        for name in NAMES
    ]  # fmt: skip


def call_s(candidates: Sequence[Candidate], settings: MeasureSettings) -> float:
    """What a call of the plain file takes, with every process that runs it; nothing waits yet."""
    return median(measure(candidates[:1], settings).measurements[0].end_to_end_s)


def run_sessions(
    candidates: Sequence[Candidate], settings: MeasureSettings, arguments: argparse.Namespace, load: str
) -> None:
    """All sessions under one load, and the two counts of each method."""
    sessions: int = arguments.sessions
    counts = {method: {name: Counter[str]() for name in NAMES[1:]} for method in arguments.methods}
    for session in range(sessions):
        for method in counts:
            found = METHODS[method](candidates, settings, seed=session)
            for name, (word, _) in found.items():
                counts[method][name][word] += 1
            words = ", ".join(f"{name} {word} {written(ratio)}" for name, (word, ratio) in found.items())
            sys.stdout.write(f"load {load}, session {session + 1}, {method}: {words}\n")
            sys.stdout.flush()
    for method, by_name in counts.items():
        same, slower = by_name[NAMES[1]]["SAME"], by_name[SLOWED]["SLOWER"]
        sys.stdout.write(
            f"LOAD {load}, {method}: copy SAME in {same} of {sessions} {dict(by_name[NAMES[1]])}, "
            f"slowed SLOWER in {slower} of {sessions} {dict(by_name[SLOWED])}\n"
        )


def written(ratio: Interval | None) -> str:
    """A ratio with its interval."""
    return f"{ratio.value:.4f} ({ratio.low:.4f} .. {ratio.high:.4f})" if ratio else "(no ratio)"


def interleaved(candidates: Sequence[Candidate], settings: MeasureSettings, *, seed: int) -> dict[str, Found]:
    """The verdicts that a report of ``bench`` gives."""
    result = measure(candidates, with_seed(settings, seed), baseline=0)
    report = derive(as_report(result))
    rows = {report.summary[c.row].model: c for c in report.comparisons if report.summary[c.row].scope == "end_to_end"}
    return {name: (rows[name].verdict, rows[name].ratio) for name in NAMES[1:]}


def in_blocks(candidates: Sequence[Candidate], settings: MeasureSettings, *, seed: int) -> dict[str, Found]:
    """One candidate after another, each in one process for as many calls; ratios between parts of their blocks."""
    measured = [measure([c], with_seed(settings, seed, processes=1)).measurements[0] for c in candidates]
    ratios = [block_ratio(each, measured[0]) for each in measured[1:]]
    words = verdicts(ratios, PRACTICAL_THRESHOLD, [settings.rounds] * len(ratios))
    return {name: (word.word, ratio) for name, word, ratio in zip(NAMES[1:], words, ratios, strict=True)}


def block_ratio(ours: Measurement, theirs: Measurement) -> Interval:
    """Time of the one over time of the other, by parts of their blocks."""
    found = ratio_interval(ours.end_to_end_s, ours.round_of, theirs.end_to_end_s, theirs.round_of)
    if found is None:
        raise SystemExit("too few rounds for an interval: --rounds 6 at least")
    return found


def with_seed(settings: MeasureSettings, seed: int, *, processes: int | None = None) -> MeasureSettings:
    """The settings with another order."""
    from dataclasses import replace

    return replace(settings, seed=seed, processes=processes or settings.processes)


def as_report(result: MeasureResult) -> Report:
    """Just what the verdicts rest on."""
    return Report(
        title="discrimination", created_at=datetime.now(UTC).isoformat(), environment=capture_environment(),
        measurements=result.measurements, baseline=result.baseline, control=result.control,
    )  # fmt: skip


METHODS: dict[str, Callable[..., dict[str, Found]]] = {"interleaved": interleaved, "block after block": in_blocks}


@contextmanager
def other_program(load: str) -> Iterator[None]:
    """``cpu``: a program that never rests, beside everything that is measured."""
    if load == "none":
        yield
        return
    with subprocess.Popen([sys.executable, "-c", BUSY]) as busy:
        try:
            yield
        finally:
            busy.kill()


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--network", default="student:size=32", help="as of bench --untrained")
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--slower", type=float, default=0.05, help="wait after each run, as a share of a call")
    parser.add_argument("--load", nargs="+", default=["none", "cpu"], choices=["none", "cpu"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=3, help="fresh processes of each candidate over the rounds")
    parser.add_argument("--calls", type=int, default=60, help="calls of a round")
    parser.add_argument("--turns", type=int, default=30, help="turns of a round, over which its calls are spread")
    parser.add_argument("--size", type=int, default=32, help="height and width, pixels")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
