"""What a trained network is worth on a corpus: WER of every split, and control runs that must fail."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from slrbench.data.corpus import Clip, Corpus, Split, Vocabulary
from slrbench.evaluation import evaluate
from slrbench.models.ctc_head import Recogniser
from slrbench.records import ErrorCounts
from slrbench.training.network import infer_with

Progress = Callable[[str, int, int], None]
Count = Callable[..., ErrorCounts]
"""Word errors of a split, its arguments those of ``slrbench.evaluation.evaluate``."""


def _alone(infer: Any, split: Split, vocabulary: Vocabulary, **options: Any) -> ErrorCounts:
    return evaluate(infer, split, vocabulary, **options).counts


def measure_wer(
    model: Recogniser, corpus: Corpus, progress: Progress, *, count: Count = _alone
) -> dict[str, ErrorCounts]:
    """Word errors on every split but ``train`` that has clips, greedy decoding; ``count`` may share it out."""
    infer = infer_with(model.eval(), next(model.parameters()).device)
    wer = {}
    for name in corpus.split_names:
        split = corpus.split(name)
        if name == "train" or len(split) == 0:
            continue

        def report(done: int, total: int, name: str = name) -> None:
            progress(f"WER on {name}", done, total)

        wer[name] = count(infer, split, corpus.vocabulary, batch=8, progress=report)
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
    return {
        name: count(infer, _Controlled(corpus.split("test"), spoil, clips), corpus.vocabulary, batch=8).wer
        for name, spoil in controls.items()
    }
