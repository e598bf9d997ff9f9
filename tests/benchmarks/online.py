"""What does recognising online cost, and how long does a gloss take? Run by hand:

    python tests/benchmarks/online.py trained_models/student-full [--backend onnx] [--clips 40]
        [--lengths 64:16 128:16 64:16:8]

Test clips are laid end to end into one video, whose glosses and their frames are known. It is recognised whole, and
frame by frame through each window:stride[:lookahead] (frames). For each: the word error rate, and for every gloss that
was read rightly the time from the last frame of its sign to when it was first shown (and then stayed) and to when it
was settled. That is the time until enough frames have come, plus the time that the network then takes; the latter is
measured here, one call at a time, and also stated alone.

With ``--mp4 N`` the first N test clips are written as H.264, at 64 and at 256 pixels, and recognised from there:
the word error rate beside that on the frames themselves.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import jiwer
import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from slrbench.cli import console
from slrbench.data import open_corpus
from slrbench.data.corpus import Clip
from slrbench.data.preview import plain_video, write_mp4
from slrbench.data.video import iterate_frames
from slrbench.measure.clock import perf_counter_ns, seconds
from slrbench.recognise.online import Update
from slrbench.recognise.results import Segment
from slrbench.scoring import count_errors
from slrbench.training.card import read_card
from slrbench.workflows.recognizer import Recognizer

CLOSE_S = 0.33
"""So far may a gloss move between updates and still be the same, seconds."""


@dataclass(frozen=True)
class Stream:
    """Clips end to end."""

    frames: NDArray[np.uint8]
    glosses: tuple[str, ...]
    ends_s: tuple[float, ...]
    """When the last frame of each sign has been shown."""


@dataclass(frozen=True)
class Run:
    """What came while the stream was read."""

    updates: tuple[Update, ...]
    took_s: tuple[float, ...]
    """Computing of each update."""


def stream_of(clips: Sequence[Clip], rate: float) -> Stream:
    """The clips one after another."""
    ends, first = [], 0
    for clip in clips:
        assert clip.boundaries is not None, "the corpus does not know where its signs end"
        ends += [(first + stop) / rate for _, stop in clip.boundaries]
        first += len(clip.frames)
    glosses = tuple(gloss for clip in clips for gloss in clip.glosses)
    return Stream(np.concatenate([clip.frames for clip in clips]), glosses, tuple(ends))


def read(recognizer: Recognizer, stream: Stream, lengths: dict[str, int]) -> Run:
    """Push frame by frame."""
    online = recognizer.online(**lengths)
    updates: list[Update] = []
    took: list[float] = []

    def timed(action: Callable[[], Any]) -> None:
        begin = perf_counter_ns()
        found = action()
        elapsed = seconds(perf_counter_ns() - begin)
        for update in found:
            updates.append(update)
            took.append(elapsed)

    for frame in stream.frames:
        timed(partial(online.push, [frame]))
    timed(lambda: [online.finish()])
    return Run(tuple(updates), tuple(took))


def shown_at(run: Run, segment: Segment, settled: int) -> float:
    """When the gloss that update ``settled`` settled was first shown, without a gap until then."""

    def has(update: Update) -> bool:
        return any(t.gloss == segment.gloss and abs(t.start_s - segment.start_s) < CLOSE_S for t in update.tentative)

    first = settled
    while first > 0 and has(run.updates[first - 1]):
        first -= 1
    return run.updates[first].at_s + run.took_s[first]


def pairs(reference: Sequence[str], hypothesis: Sequence[str]) -> list[tuple[int, int]]:
    """Indices of the glosses that were read rightly."""
    found = jiwer.process_words([" ".join(reference)], [" ".join(hypothesis)])
    equal = [chunk for chunk in found.alignments[0] if chunk.type == "equal"]
    return [
        (chunk.ref_start_idx + i, chunk.hyp_start_idx + i)
        for chunk in equal
        for i in range(chunk.ref_end_idx - chunk.ref_start_idx)
    ]


def row_of(name: str, run: Run, stream: Stream) -> list[Any]:
    """A line of the table."""
    said = [(segment, i) for i, update in enumerate(run.updates) for segment in update.committed]
    counts = count_errors(references=[stream.glosses], hypotheses=[[segment.gloss for segment, _ in said]])
    shown, settled = [], []
    for reference, hypothesis in pairs(stream.glosses, [segment.gloss for segment, _ in said]):
        segment, index = said[hypothesis]
        end_s = stream.ends_s[reference]
        shown.append(shown_at(run, segment, index) - end_s)
        settled.append(run.updates[index].at_s + run.took_s[index] - end_s)
    return [
        name,
        f"{100 * counts.wer:.2f}",
        f"{counts.substitutions}/{counts.deletions}/{counts.insertions}",
        *(f"{median(values):.2f}" for values in (shown, settled)),
        f"{np.quantile(settled, 0.95):.2f}",
        f"{1000 * median(run.took_s):.1f}",
        f"{100 * sum(run.took_s) / (len(stream.frames) / 25):.1f}",
    ]


def whole_row(recognizer: Recognizer, clips: Sequence[Clip], stream: Stream) -> list[list[Any]]:
    """Offline: each clip for itself, and the whole stream at once."""
    alone = [recognizer(clip.frames).glosses for clip in clips]
    together = recognizer(stream.frames)
    rows = []
    for name, counts in (
        ("offline, clip by clip", count_errors(references=[clip.glosses for clip in clips], hypotheses=alone)),
        ("offline, the whole video", count_errors(references=[stream.glosses], hypotheses=[together.glosses])),
    ):
        errors = f"{counts.substitutions}/{counts.deletions}/{counts.insertions}"
        rows.append([name, f"{100 * counts.wer:.2f}", errors, "–", "–", "–", "–", "–"])
    return rows


def mp4_rows(recognizer: Recognizer, clips: Sequence[Clip]) -> list[list[Any]]:
    """Word errors on the frames themselves and on what H.264 makes of them."""
    rows = []
    references = [clip.glosses for clip in clips]
    found = {"frames": [recognizer(clip.frames).glosses for clip in clips]}
    with tempfile.TemporaryDirectory() as folder:
        for side in (clips[0].frames.shape[1], 256):
            words = []
            for number, clip in enumerate(clips):
                path = Path(folder) / f"{side}-{number}.mp4"
                write_mp4(plain_video([clip], side=side), path, 25.0)
                words.append(recognizer(frame for frame, _ in iterate_frames(path)).glosses)
            found[f"mp4, {side} px"] = words
    for name, hypotheses in found.items():
        counts = count_errors(references=references, hypotheses=hypotheses)
        right = sum(a == b for a, b in zip(references, hypotheses, strict=True))
        errors = f"{counts.substitutions}/{counts.deletions}/{counts.insertions}"
        rows.append([name, len(clips), right, f"{100 * counts.wer:.2f}", errors])
    return rows


def lengths_of(text: str) -> dict[str, int]:
    """``64:16:8`` as arguments."""
    return dict(zip(("window", "stride", "lookahead"), map(int, text.split(":")), strict=False))


def main() -> None:
    """Recognise and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--backend")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--mp4", type=int, default=0)
    parser.add_argument("--lengths", nargs="*", default=["64:16", "64:8", "32:16", "32:8", "128:16", "64:16:8"])
    given = parser.parse_args()
    with Recognizer.load(given.model, backend=given.backend, threads=given.threads) as recognizer:
        card = recognizer.target.card or read_card(Path(given.model))
        split = open_corpus(card.data).split("test")
        if given.mp4:
            headers = ["Source", "Clips", "Right", "WER (%)", "S/D/I"]
            rows = mp4_rows(recognizer, [split[i] for i in range(given.mp4)])
            console.result(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))
        clips = [split[i] for i in range(min(given.clips, len(split)))]
        stream = stream_of(clips, card.frames_per_second)
        console.result(f"{len(clips)} clips, {len(stream.frames)} frames, {len(stream.glosses)} glosses")
        rows = whole_row(recognizer, clips, stream)
        for text in given.lengths:
            rows.append(row_of(text, read(recognizer, stream, lengths_of(text)), stream))
        headers = [
            "Window:stride[:lookahead]", "WER (%)", "S/D/I", "Shown, median (s)", "Settled, median (s)",
            "Settled, p95 (s)", "Network, median (ms)", "Computing (% of the video)",
        ]  # fmt: skip
        console.result(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
