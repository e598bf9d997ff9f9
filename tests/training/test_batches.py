"""Batches: shares of processes, parts that fit memory, and lengths that a corpus knows without reading."""

from collections import Counter

import numpy as np
import pytest

from slrbench.data import open_corpus
from slrbench.data.batching import collate
from slrbench.training.batches import BatchStream, even_out, in_parts

CORPUS = open_corpus("fingerspelling:letters=ABCELT,size=24,clips=40")
CLIPS = sorted((CORPUS.training_epoch(0, seed=1)[i] for i in range(9)), key=lambda clip: len(clip.frames))
BATCH = collate(CLIPS)


class _Counting:
    """The corpus, whose clips know their frames beforehand, and count how often they are read."""

    def __init__(self) -> None:
        self.read: Counter[int] = Counter()

    def __getattr__(self, name):
        return getattr(CORPUS, name)

    def training_epoch(self, epoch, *, seed, difficulty=1.0):
        split, read = CORPUS.training_epoch(epoch, seed=seed, difficulty=difficulty), self.read

        class Known:
            name = "train"

            def __len__(self):
                return len(split)

            def __getitem__(self, index):
                read[index] += 1
                return split[index]

            def label_length(self, index):
                return split.label_length(index)

            def frame_count(self, index):
                return len(split[index].frames) if index % 7 else None  # one that only reading would tell

        return Known()


def test_known_lengths_give_an_epoch_of_every_clip_once_and_nothing_is_read_in_advance():
    corpus = _Counting()
    stream = BatchStream(corpus, batch_size=4, seed=0, stride=4)
    assert not corpus.read
    stream[3]
    assert sum(corpus.read.values()) == 4
    for step in range(10):
        if step != 3:
            stream[step]
    assert corpus.read == dict.fromkeys(range(40), 1)


def test_the_shares_of_processes_make_up_the_batch():
    def labels(share: tuple[int, int]) -> Counter[tuple[int, ...]]:
        batch = BatchStream(CORPUS, batch_size=5, seed=0, stride=4, share=share)[2].batch
        assert batch is not None
        ends = np.cumsum(batch.label_lengths)
        return Counter(tuple(row) for row in np.split(batch.labels, ends[:-1]))

    whole = labels((0, 1))
    assert sum(whole.values()) == 5
    assert labels((0, 2)) + labels((1, 2)) == whole
    assert BatchStream(CORPUS, batch_size=2, seed=0, stride=4, share=(2, 3))[0].batch is None


@pytest.mark.parametrize(("clips", "frames"), [(9, 0), (2, 0), (4, 0), (9, 90), (3, 60), (9, 1)])
def test_parts_hold_every_clip_once_and_keep_to_their_bounds(clips, frames):
    parts = in_parts(BATCH, clips=clips, frames=frames)
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), BATCH.labels)
    np.testing.assert_array_equal(np.concatenate([part.lengths for part in parts]), BATCH.lengths)
    row = 0
    for part in parts:
        size, longest = part.video.shape[:2]
        assert size <= clips
        assert longest == part.lengths.max()
        assert frames == 0 or size == 1 or size * longest <= frames
        for video, length in zip(part.video, part.lengths, strict=True):
            np.testing.assert_array_equal(video[:length], CLIPS[row].frames)
            row += 1


def test_parts_are_evened_out_over_processes_and_none_is_left_over():
    parts = even_out(in_parts(BATCH, clips=5), 4)
    assert len(parts) == 4
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), BATCH.labels)
    assert [part is None for part in even_out(in_parts(collate(CLIPS[:2]), clips=2), 3)] == [False, False, True]
    assert even_out([], 2) == [None, None]
