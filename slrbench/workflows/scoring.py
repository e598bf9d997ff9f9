"""What a trained network is worth on a corpus: WER of every split, and control runs that must fail."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slrbench.data.corpus import Clip, Corpus, Split, Vocabulary
from slrbench.evaluation import evaluate, scoring_of
from slrbench.models.ctc_head import Recogniser
from slrbench.records import ErrorCounts
from slrbench.training.network import infer_with

Progress = Callable[[str, int, int], None]
Count = Callable[..., ErrorCounts]
"""Word errors of a split; its arguments are those of ``slrbench.evaluation.evaluate``, and ``unreadable``, a dictionary
into which the clips that cannot be read are noted, the clip's name to what is wrong with it."""


def _alone(
    infer: Any, split: Split, vocabulary: Vocabulary, *, unreadable: dict[str, str] | None = None, **options: Any
) -> ErrorCounts:
    found = evaluate(infer, split, vocabulary, **options)
    if unreadable is not None:
        unreadable.update(found.unreadable)
    return found.counts


def measure_wer(
    model: Recogniser,
    corpus: Corpus,
    progress: Progress,
    *,
    unreadable: dict[str, str] | None = None,
    count: Count = _alone,
) -> dict[str, ErrorCounts]:
    """Word errors on every split but ``train`` that has clips, greedy decoding, by the corpus's own convention.

    Clips that cannot be read are noted in ``unreadable``; ``count`` may share the work out.
    """
    rule = scoring_of(corpus)
    infer = infer_with(model.eval(), next(model.parameters()).device)
    wer = {}
    for name in corpus.split_names:
        split = corpus.split(name)
        if name == "train" or len(split) == 0:
            continue

        def report(done: int, total: int, name: str = name) -> None:
            progress(f"WER on {name}", done, total)

        wer[name] = count(
            infer, split, corpus.vocabulary, batch=8, scoring=rule, progress=report, unreadable=unreadable
        )
    return wer


@dataclass(frozen=True)
class _Controlled:
    """The first clips of a split, each spoilt on purpose."""

    split: Split
    spoil: Callable[[Clip, int], Clip]
    clips: int

    @property
    def name(self) -> str:
        return self.split.name

    def __len__(self) -> int:
        return min(self.clips, len(self.split))

    def __getitem__(self, index: int) -> Clip:
        return self.spoil(self.split[index], index)

    def label_length(self, index: int) -> int:
        return self.split.label_length(index)

    def frame_count(self, index: int) -> int | None:
        return self.split.frame_count(index)


def _blank_video(clip: Clip, index: int) -> Clip:
    return replace(clip, frames=np.full_like(clip.frames, 128))


def _shuffled_frames(clip: Clip, index: int) -> Clip:
    order = np.random.default_rng(index).permutation(len(clip.frames))
    return replace(clip, frames=clip.frames[order])


def control_runs(model: Recogniser, corpus: Corpus, *, clips: int = 100, count: Count = _alone) -> dict[str, float]:
    """WER on test clips without a picture and with their frames in random order.

    A network that reads the video must fail on both; one that guesses likely words, or ignores order, does not.
    """
    infer = infer_with(model.eval(), next(model.parameters()).device)
    controls = {"blank video": _blank_video, "shuffled frames": _shuffled_frames}
    rule = scoring_of(corpus)
    spoilt = {name: _Controlled(corpus.split("test"), spoil, clips) for name, spoil in controls.items()}
    return {name: count(infer, split, corpus.vocabulary, batch=8, scoring=rule).wer for name, split in spoilt.items()}
