"""Does training wait for its data? Run by hand, on a quiet machine:

    python tests/benchmarks/data_loading.py [--size 224] [--frames 100] [--clips 32] [--steps 12] [--workers 1]

A corpus of small videos in the size of PHOENIX-2014 (210 x 260 pixels) is written, its cache filled, and then:

- the loader alone: clips per second from the cache, with cropping, tempo and colours, in this process and in workers;
- the student (full width, in training: forward, backward, update), and what share of that time it waits for a batch.

Expected: the loader gives at least 10 times the clips that the student takes, and the wait is under 5 %.
"""

import argparse
import csv
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import av
import numpy as np
import torch

from slrbench.data import open_corpus
from slrbench.data.cache import fill
from slrbench.data.indexed import IndexedCorpus
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.batches import BatchStream, TrainingBatch
from slrbench.training.config import OptimisationConfig
from slrbench.training.loop import Trainer
from slrbench.training.prefetch import Prefetcher

HEIGHT, WIDTH = 260, 210
BATCH = 2  # the field's, at 224 pixels


class Timed:
    """Batches, and how long the training waited for them."""

    def __init__(self, batches: Prefetcher) -> None:
        self.batches = batches
        self.waits: list[float] = []
        self.clips = 0

    def __getitem__(self, step: int) -> TrainingBatch:
        begin = perf_counter()
        found = self.batches[step]
        self.waits.append(perf_counter() - begin)
        self.clips += len(found.batch.lengths) if found.batch is not None else 0
        return found

    def close(self) -> None:
        self.batches.close()


def main() -> None:
    """Measure and print."""
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        table = write_corpus(Path(scratch), arguments.clips, arguments.frames)
        corpus = open_corpus(f"manifest:{table},size={arguments.size}", cache=Path(scratch) / "cache")
        assert isinstance(corpus, IndexedCorpus)
        sources = [clip.source for clip in corpus.clips("train")]
        begin = perf_counter()
        report = fill(corpus.reader, sources, workers=arguments.workers)
        seconds = perf_counter() - begin
        show(f"{os.cpu_count()} CPUs; {len(sources)} clips of {arguments.frames} frames, {WIDTH} x {HEIGHT} pixels")
        show(f"decoding into the cache: {report.written / seconds:.1f} clips/s ({arguments.workers} workers)")
        rates: dict[int, float] = {}
        for workers in sorted({0, 1, arguments.workers}):
            used = process_time()
            rates[workers], taken = loader_rate(corpus, workers, arguments.steps)
            if workers == 0:
                show(f"loader: {1000 * (process_time() - used) / taken:.0f} ms of one CPU for a clip")
        for workers, rate in rates.items():
            show(f"loader alone, from the cache, {workers} workers: {rate:.1f} clips/s")
        consumed, share, alone = training(corpus, arguments.workers, arguments.steps)
        show(
            f"student in training at {arguments.size} pixels, alone: {alone:.2f} clips/s, "
            f"with the loader {consumed:.2f}"
        )
        show(f"loader / student: {max(rates.values()) / alone:.1f} times (goal: at least 10)")
        show(f"share of the time that training waits for data: {100 * share:.2f} % (goal: under 5 %)")


def show(line: str) -> None:
    """Write one line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def write_corpus(folder: Path, clips: int, frames: int) -> Path:
    """Videos of moving noise, and their manifest."""
    rng = np.random.default_rng(0)
    rows = []
    for index in range(clips):
        path = folder / f"clip{index:03d}.mp4"
        still = rng.integers(0, 256, (HEIGHT // 10, WIDTH // 10 + frames, 3), dtype=np.uint8)
        with av.open(str(path), mode="w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for frame in range(frames):
                pixels = still[:, frame : frame + WIDTH // 10].repeat(10, axis=0).repeat(10, axis=1)
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        rows.append((path.name, " ".join(rng.choice(list("ABCDEF"), 8)), "train"))
    rows += [(rows[0][0], rows[0][1], split) for split in ("dev", "test")]
    table = folder / "manifest.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("path", "glosses", "split"), *rows])
    return table


def loader_rate(corpus: IndexedCorpus, workers: int, steps: int) -> tuple[float, int]:
    """Clips per second when nothing is done with them, and all clips taken; what starts the workers is not timed."""
    stream = BatchStream(corpus, batch_size=BATCH, seed=0, stride=4)
    warm = 2 * workers * 2 + 2
    batches = Timed(Prefetcher(stream, steps=warm + 4 * steps, workers=workers))
    for step in range(warm):
        batches[step]
    before = batches.clips
    begin = perf_counter()
    for step in range(warm, warm + 4 * steps):
        batches[step]
    seconds = perf_counter() - begin
    batches.close()
    return (batches.clips - before) / seconds, batches.clips


def training(corpus: IndexedCorpus, workers: int, steps: int) -> tuple[float, float, float]:
    """Clips per second in training, the share of waiting, and clips per second without any loading."""
    spec = ModelSpec(architecture="student", num_classes=corpus.vocabulary.num_classes)
    config = OptimisationConfig(steps=10 * steps, batch_size=BATCH, curriculum_steps=0, warmup_steps=0)
    torch.manual_seed(0)
    trainer = Trainer(build_model(spec), corpus, config, seed=0, workers=workers)
    timed = Timed(trainer.batches)
    trainer.batches = timed  # type: ignore[assignment]
    seconds: list[float] = []
    for _ in range(3 + steps):
        begin = perf_counter()
        _one_step(trainer)
        seconds.append(perf_counter() - begin)
    timed.close()
    waits, taken = timed.waits[3:], seconds[3:]
    consumed = BATCH * steps / sum(taken)
    ready = trainer.stream[0]
    trainer.batches = _Same(ready)  # type: ignore[assignment]
    begin, used = perf_counter(), process_time()
    for _ in range(max(3, steps // 2)):
        _one_step(trainer)
    show(f"student: {(process_time() - used) / BATCH / max(3, steps // 2):.2f} s of CPUs for a clip")
    alone = BATCH * max(3, steps // 2) / (perf_counter() - begin)
    return consumed, sum(waits) / sum(taken), alone


def _one_step(trainer: Trainer) -> None:
    trainer.model.train()
    trainer.learner.learn(trainer.step, trainer.batches[trainer.step])
    trainer.step += 1


class _Same:
    """One batch at every step: no loading at all."""

    def __init__(self, batch: TrainingBatch) -> None:
        self.batch = batch

    def __getitem__(self, step: int) -> TrainingBatch:
        return self.batch


def parse_arguments() -> argparse.Namespace:
    """What to measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224, help="pixels that the network gets")
    parser.add_argument("--frames", type=int, default=100, help="of each clip")
    parser.add_argument("--clips", type=int, default=32, help="of the corpus")
    parser.add_argument("--steps", type=int, default=12, help="training steps that are timed")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare batches")
    parser.add_argument("--folder", default=None, help="where the corpus and its cache go, for the time of the run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
