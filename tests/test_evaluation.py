"""Counting word errors, and evaluating anything that maps video to log-probabilities."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.data.corpus import Clip, Vocabulary
from slrbench.errors import BadInputError, RunFailedError
from slrbench.evaluation import count_errors, evaluate

GLOSSES = ("A", "B", "THANK YOU")
VOCABULARY = Vocabulary(glosses=GLOSSES)
words = st.lists(st.sampled_from(GLOSSES), max_size=6)
references = st.lists(st.sampled_from(GLOSSES), min_size=1, max_size=6)


def edit_distance(a, b):
    """Fewest substitutions, deletions and insertions, by the textbook recursion."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            diagonal, row[j] = row[j], min(diagonal + (x != y), row[j] + 1, row[j - 1] + 1)
    return row[-1]


@given(st.lists(st.tuples(references, words), min_size=1, max_size=4))
def test_counts_are_the_edit_distances(pairs):
    counts = count_errors([r for r, _ in pairs], [h for _, h in pairs])
    errors = counts.substitutions + counts.deletions + counts.insertions
    assert errors == sum(edit_distance(r, h) for r, h in pairs)
    assert counts.reference_words == sum(len(r) for r, _ in pairs)
    assert counts.deletions - counts.insertions == sum(len(r) - len(h) for r, h in pairs)


@given(st.lists(st.tuples(references, words), min_size=1, max_size=4))
def test_wer_is_zero_just_where_all_are_equal(pairs):
    counts = count_errors([r for r, _ in pairs], [h for _, h in pairs])
    assert (counts.wer == 0) == all(r == h for r, h in pairs)


def test_a_gloss_with_a_space_is_one_word():
    counts = count_errors([["THANK YOU", "A"]], [["A"]])
    assert (counts.substitutions, counts.deletions, counts.insertions, counts.reference_words) == (0, 1, 0, 2)
    # Word by word, "A B" would be read as the two glosses that it is made of.
    assert count_errors([["A B"]], [["A", "B"]]).wer > 0


def test_an_empty_hypothesis_is_all_deletions():
    counts = count_errors([["A", "B"]], [[]])
    assert (counts.deletions, counts.wer) == (2, 1.0)


def test_wer_may_exceed_one():
    assert count_errors([["A"]], [["B", "A", "B"]]).wer == 2.0


def test_an_empty_reference_is_refused():
    with pytest.raises(BadInputError, match="reference of clip 1 is empty"):
        count_errors([["A"], []], [["A"], ["B"]])


def test_nothing_to_score_is_refused():
    with pytest.raises(BadInputError, match="nothing to score"):
        count_errors([], [])


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="1 references do not go with 2"):
        count_errors([["A"]], [["A"], ["B"]])


@dataclass
class Pixels:
    """A split whose frames show their label as a grey value: four frames of 60 * label, then four of black."""

    labels: list
    name: str = "test"
    said: list | None = None

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        if not 0 <= index < len(self.labels):
            raise IndexError(index)
        shown = np.repeat([value for label in self.labels[index] for value in (60 * label, 0)], 4)
        frames = np.broadcast_to(shown.astype(np.uint8)[:, None, None, None], (len(shown), 2, 3, 3))
        glosses = VOCABULARY.decode((self.said or self.labels)[index])
        return Clip(clip_id=str(index), frames=frames, glosses=glosses, labels=tuple(self.labels[index]), signer="x")

    def label_length(self, index):
        return len(self.labels[index])


class Reader:
    """Reads the grey value of each fourth frame; keeps the shapes that it was called with."""

    def __init__(self, input_kind="float32", offset=0):
        self.calls, self.input_kind, self.offset = [], input_kind, offset

    def __call__(self, video):
        self.calls.append(video.shape)
        if self.input_kind == "uint8":
            assert video.dtype == np.uint8
            grey = video[:, ::4, 0, 0, 0].astype(float)
        else:
            assert video.dtype == np.float32
            grey = (video[:, 0, ::4, 0, 0] + 1) * 127.5
        classes = np.round(grey / 60).astype(int)
        values = np.full((*classes.T.shape, 4), -9.0, dtype=np.float32)
        np.put_along_axis(values, ((classes.T + self.offset) % 4)[..., None], -0.1, axis=-1)
        return values


labels = read = st.lists(st.integers(1, 3), min_size=1, max_size=5)
SPLIT = Pixels([[1, 2], [3], [2, 2], [1], [3, 1], [2, 1]])


@pytest.mark.parametrize("input_kind", ["float32", "uint8"])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_perfect_reader_makes_no_error(batch, input_kind):
    done = []
    reader = Reader(input_kind)
    found = evaluate(
        reader, SPLIT, VOCABULARY, batch=batch, input_kind=input_kind, progress=lambda *step: done.append(step)
    )
    assert (found.wer, found.sequences_wrong, found.clips) == (0.0, 0, 6)
    assert found.references == found.hypotheses == tuple(clip.glosses for clip in (SPLIT[i] for i in range(6)))
    assert done[-1] == (6, 6)
    time_axis, batch_sizes = (1 if input_kind == "uint8" else 2), [shape[0] for shape in reader.calls]
    assert {shape[time_axis] for shape in reader.calls} == {8, 16}  # clips of different length never share a call
    assert max(batch_sizes) <= batch
    assert sum(batch_sizes) == 6


def test_order_of_the_split_survives_batches():
    wrong = evaluate(Reader(offset=1), SPLIT, VOCABULARY, batch=3)
    alone = evaluate(Reader(offset=1), SPLIT, VOCABULARY, batch=1)
    assert wrong == alone
    assert wrong.sequences_wrong == 6
    assert wrong.wer > 0


@pytest.mark.parametrize("batch", [1, 3])
@given(pairs=st.lists(st.tuples(labels, read), min_size=1, max_size=5))
def test_the_errors_of_each_clip_are_its_edit_distance_and_add_up(batch, pairs):
    """The frames show what is read; the references say something else."""
    split = Pixels([shown for _, shown in pairs], said=[reference for reference, _ in pairs])
    found = evaluate(Reader(), split, VOCABULARY, batch=batch)
    assert found.clip_errors == tuple(edit_distance(reference, shown) for reference, shown in pairs)
    assert found.clip_words == tuple(len(reference) for reference, _ in pairs)
    counts = found.counts
    assert sum(found.clip_errors) == counts.substitutions + counts.deletions + counts.insertions


def test_long_clips_come_in_smaller_groups(monkeypatch):
    reader = Reader()
    monkeypatch.setattr("slrbench.evaluation.CALL_PIXELS", 20 * 6)  # frames of six pixels
    whole = evaluate(reader, SPLIT, VOCABULARY, batch=5)
    sizes = {(shape[2], shape[0]) for shape in reader.calls}
    assert sizes == {(16, 1), (8, 2)}
    monkeypatch.undo()
    assert whole == evaluate(Reader(), SPLIT, VOCABULARY, batch=5)


def test_clips_of_many_lengths_do_not_pile_up(monkeypatch):
    loaded, held = [0], []

    class Counted(Pixels):
        def __getitem__(self, index):
            loaded[0] = index + 1
            return super().__getitem__(index)

    def evaluated():
        held.clear()
        # No two are of the same length: all would wait for another.
        split = Counted([[1] * (i + 1) for i in range(12)])
        progress = lambda done, total: held.append(loaded[0] - (done - 1))  # noqa: E731
        return evaluate(Reader(), split, VOCABULARY, batch=4, progress=progress)

    monkeypatch.setattr("slrbench.evaluation.HELD_PIXELS", 100 * 6)  # 100 frames of six pixels: a clip has up to 96
    bounded = evaluated()
    assert max(held) <= 5
    monkeypatch.undo()
    assert evaluated() == bounded
    assert max(held) == 12


def test_limit_takes_the_first_clips():
    found = evaluate(Reader(), SPLIT, VOCABULARY, limit=2)
    assert found.references == (("A", "B"), ("THANK YOU",))
    assert evaluate(Reader(), SPLIT, VOCABULARY, limit=99).clips == 6


def test_nan_is_an_error_and_not_a_word_error_rate():
    def broken(video):
        values = Reader()(video)
        values[0, 0, 0] = np.nan
        return values

    with pytest.raises(RunFailedError, match="1 of 16 outputs are NaN"):
        evaluate(broken, SPLIT, VOCABULARY)


def test_another_shape_is_an_error():
    with pytest.raises(RunFailedError, match="expected"):
        evaluate(lambda video: Reader()(video).swapaxes(0, 1), SPLIT, VOCABULARY)


def test_another_vocabulary_is_an_error():
    with pytest.raises(BadInputError, match="4 classes, the corpus 3"):
        evaluate(Reader(), SPLIT, Vocabulary(glosses=("A", "B")))


def test_an_empty_split_is_an_error():
    with pytest.raises(BadInputError, match="nothing to score"):
        evaluate(Reader(), Pixels([]), VOCABULARY)
