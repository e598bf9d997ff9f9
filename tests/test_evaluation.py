"""Evaluating anything that maps video to log-probabilities."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slrbench.data.corpus import Clip, Vocabulary
from slrbench.decoding import Decoder
from slrbench.errors import BadInputError, RunFailedError
from slrbench.evaluation import evaluate, scoring_of
from slrbench.scoring import count_errors, rule_named

GLOSSES = ("A", "B", "THANK YOU")
VOCABULARY = Vocabulary(glosses=GLOSSES)


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
def test_the_errors_of_each_clip_are_its_own_and_add_up(batch, pairs):
    """The frames show what is read; the references say something else."""
    split = Pixels([shown for _, shown in pairs], said=[reference for reference, _ in pairs])
    found = evaluate(Reader(), split, VOCABULARY, batch=batch)
    alone = [
        count_errors(references=[r], hypotheses=[h]) for r, h in zip(found.references, found.hypotheses, strict=True)
    ]
    assert found.clip_errors == tuple(each.substitutions + each.deletions + each.insertions for each in alone)
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


def test_a_beam_search_reads_through_the_same_door():
    greedy = evaluate(Reader(), SPLIT, VOCABULARY, batch=2)
    searched = evaluate(Reader(), SPLIT, VOCABULARY, batch=2, decode=Decoder(beam=4))
    assert searched == greedy


WORDS = Vocabulary(glosses=("loc-NORD", "REGEN", "__EMOTION__"))


@dataclass
class Said(Pixels):
    """The same frames, with references in words."""

    words: list | None = None

    def __getitem__(self, index):
        return replace(super().__getitem__(index), glosses=tuple(self.words[index]), labels=())


def test_glosses_outside_the_vocabulary_are_errors_and_counted():
    split = Said([[1, 2], [2]], words=[("loc-NORD", "SCHNEE", "REGEN"), ("REGEN",)])
    found = evaluate(Reader(), split, WORDS)
    assert (found.counts.deletions, found.counts.reference_words, found.unknown_words) == (1, 4, 1)
    assert found.references[0] == ("loc-NORD", "SCHNEE", "REGEN")


def test_a_convention_cleans_what_is_scored_and_leaves_what_was_decoded():
    split = Said([[1, 3, 2, 2]], words=[("NORD", "REGEN", "REGEN")])
    plain = evaluate(Reader(), split, WORDS)
    assert (plain.scoring, plain.alignment, plain.unknown_words) == ("plain", "unit", 1)
    found = evaluate(Reader(), split, WORDS, scoring=rule_named("phoenix2014"))
    assert (found.scoring, found.alignment, found.unknown_words) == ("phoenix2014", "sclite", 0)
    assert found.decoded == (("loc-NORD", "__EMOTION__", "REGEN", "REGEN"),)
    assert (found.hypotheses, found.references) == ((("NORD", "REGEN"),), (("NORD", "REGEN", "REGEN"),))
    assert (found.glosses, found.counts.deletions) == (found.references, 1)


def test_the_alignment_that_was_not_chosen_is_counted_beside():
    split = Said([[3, 3, 2, 2, 1]], words=[("A", "B", "C", "__EMOTION__", "__EMOTION__")])
    unit = evaluate(Reader(), split, WORDS)
    assert (unit.wer, unit.other_alignment.wer) == (1.0, 1.2)
    weighted = evaluate(Reader(), split, WORDS, alignment="sclite")
    assert (weighted.alignment, weighted.wer, weighted.other_alignment) == ("sclite", 1.2, unit.counts)
    assert weighted.clip_errors == (6,)


@pytest.mark.parametrize(
    ("spec", "own", "expected"),
    [
        ("manifest:clips.csv", "phoenix2014t", "phoenix2014t"),
        ("phoenix2014:/data,size=64", None, "phoenix2014"),
        ("csl-daily:/data", None, "csl-daily"),
        ("fingerspelling:letters=ABC", None, "plain"),
    ],
)
def test_a_corpus_is_scored_by_its_own_convention_or_that_of_its_kind(spec, own, expected):
    corpus = SimpleNamespace(spec=spec) if own is None else SimpleNamespace(spec=spec, scoring=own)
    assert scoring_of(corpus).name == expected
