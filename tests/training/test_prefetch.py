"""Batches from worker processes: the same, in the same order, and with the same errors as without."""

from pathlib import Path

import numpy as np
import pytest
import torch

from slrbench.data import open_corpus
from slrbench.data.indexed import IndexedCorpus
from slrbench.errors import BadInputError, RunFailedError
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.batches import BatchStream, TrainingBatch
from slrbench.training.config import OptimisationConfig
from slrbench.training.loop import Trainer
from slrbench.training.prefetch import Prefetcher
from tests.data.videos import break_in_five_ways, grey_frames, write_video
from tests.training.counting_stream import Counting


def assert_same(one: TrainingBatch, other: TrainingBatch) -> None:
    assert one.dropped == other.dropped
    assert (one.batch is None) == (other.batch is None)
    if one.batch is not None and other.batch is not None:
        for name in ("video", "lengths", "labels", "label_lengths"):
            found, expected = getattr(one.batch, name), getattr(other.batch, name)
            assert found.dtype == expected.dtype
            assert np.array_equal(found, expected)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_steps_come_in_order_with_what_was_dropped_and_what_is_unreadable(workers: int) -> None:
    stream = Counting(empty=(2,))
    batches = Prefetcher(stream, steps=5, workers=workers)
    for step in range(5):
        assert_same(batches[step], Counting(empty=(2,))[step])
    batches.close()
    assert stream.unreadable == {f"clip {step}": "broken" for step in range(5)}


def test_real_batches_are_the_same_whatever_the_number_of_workers() -> None:
    corpus = open_corpus("fingerspelling:letters=ABCELT,size=24,clips=24")
    here, there = (BatchStream(corpus, batch_size=3, seed=4, stride=4) for _ in range(2))
    batches = Prefetcher(there, steps=20, workers=2)
    for step in range(12):  # beyond the first epoch
        assert_same(batches[step], here[step])
    batches.close()


def test_a_resumed_run_begins_at_any_step() -> None:
    batches = Prefetcher(Counting(), steps=9, workers=1)
    for step in (6, 7, 2, 3):
        assert_same(batches[step], Counting()[step])
    batches.close()


def test_workers_leave_torchs_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    batches = Prefetcher(Counting(), steps=3, workers=1)
    assert batches[0].batch is not None
    assert torch.equal(torch.rand(3), expected)
    batches.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_in_a_worker_is_the_error_itself(workers: int) -> None:
    batches = Prefetcher(Counting(wrong=1), steps=3, workers=workers)
    assert batches[0].batch is not None
    with pytest.raises(BadInputError) as caught:
        batches[1]
    assert (caught.value.message, caught.value.hint) == ("clip 7 is broken", "leave it out")
    batches.close()


def test_a_killed_worker_is_a_clear_error() -> None:
    batches = Prefetcher(Counting(killed=1), steps=2, workers=1)

    def take_all() -> None:
        for step in range(2):
            batches[step]

    with pytest.raises(RunFailedError, match="a process that prepares batches was killed at step"):
        take_all()


def test_workers_end_with_the_prefetcher(tmp_path: Path) -> None:
    import multiprocessing

    batches = Prefetcher(Counting(), steps=4, workers=2)
    assert batches[0].batch is not None
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("cached", [False, True])
def test_of_201_videos_5_are_broken_and_training_runs_on_the_rest(tmp_path: Path, cached: bool) -> None:
    data = write_video(tmp_path / "first.mkv", grey_frames(8)).read_bytes()
    names = [f"clip{index:03d}.mkv" for index in range(196)]
    for name in names:
        (tmp_path / name).write_bytes(data)
    broken = break_in_five_ways(tmp_path)
    missing = broken.pop("no such file").name  # a manifest leaves it out when it is opened
    names += [path.name for path in broken.values()]
    rows = [f"{name},{'AB'[index % 2]},train" for index, name in enumerate([*names, missing])]
    table = tmp_path / "all.csv"
    table.write_text("\n".join(["path,glosses,split", *rows]) + "\n", encoding="utf-8")
    corpus = open_corpus(f"manifest:{table},size=24", cache=tmp_path / "cache" if cached else None)
    assert isinstance(corpus, IndexedCorpus)
    assert [left_out.clip_id for left_out in corpus.left_out] == [missing]
    spec = ModelSpec(architecture="student", num_classes=3, width_mult=0.25, conv_channels=8, lstm_hidden=8)
    config = OptimisationConfig(steps=25, batch_size=8, curriculum_steps=0, warmup_steps=0)
    trainer = Trainer(build_model(spec), corpus, config, seed=0, workers=2)
    taken = Recording(trainer.batches)
    trainer.batches = taken  # type: ignore[assignment]
    trainer.run()
    assert trainer.stream.steps_per_epoch == 25  # one epoch
    assert sorted(trainer.stream.unreadable) == sorted(path.name for path in broken.values())
    assert all(fault in trainer.stream.unreadable[path.name] for fault, path in broken.items())
    assert taken.clips == 196
    assert trainer.result.clips_dropped == 0


class Recording:
    """Counts the clips that a training takes."""

    def __init__(self, batches: Prefetcher) -> None:
        self.batches, self.clips = batches, 0

    def __getitem__(self, step: int) -> TrainingBatch:
        found = self.batches[step]
        self.clips += 0 if found.batch is None else len(found.batch.lengths)
        return found

    def close(self) -> None:
        self.batches.close()
