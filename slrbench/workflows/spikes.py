"""Spikes of a student against those of its teacher on a split: figures and a picture.

Shapes: T' output steps, C classes with blank 0.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from slrbench.data import open_corpus
from slrbench.data.batching import normalise
from slrbench.data.corpus import Clip, Corpus, readable_clips
from slrbench.errors import BadInputError
from slrbench.models.ctc_head import Recogniser
from slrbench.training.checkpoint import load_checkpoint
from slrbench.training.network import infer_with
from slrbench.training.spikes import SpikeComparison, SpikeOffsets
from slrbench.training.spikes_plot import save_spike_plot
from slrbench.workflows.scoring import Progress

Say = Callable[[str], None]


def compare_spikes(
    student: Recogniser,
    teacher: Recogniser,
    corpus: Corpus,
    *,
    split: str = "dev",
    clips: int | None = 100,
    progress: Progress | None = None,
) -> SpikeOffsets:
    """Align the clips of ``split`` to their glosses by both networks and compare.

    Args:
        student: in evaluation mode afterwards, on any device.
        teacher: the same.
        corpus: of both networks' glosses.
        split: a split of the corpus.
        clips: only the first so many clips.
        progress: told what is done, clips done, and clips in all.

    Raises:
        BadInputError: the networks have different output strides or classes, or CTC can align no clip.
    """
    if (student.stride, student.spec.num_classes) != (teacher.stride, teacher.spec.num_classes):
        raise BadInputError(
            f"stride {student.stride} with {student.spec.num_classes} classes and stride {teacher.stride} with "
            f"{teacher.spec.num_classes} classes do not give the same output steps: their spikes cannot be compared",
            hint="compare a student with the teacher that it was distilled from",
        )
    chosen = corpus.split(split)
    total = len(chosen) if clips is None else min(clips, len(chosen))
    comparison = SpikeComparison(seconds_per_step=student.stride / corpus.frames_per_second)
    for index, clip in readable_clips(chosen, range(total)):
        comparison.add(_log_probs(student, clip), _log_probs(teacher, clip), clip.labels)
        if progress is not None:
            progress(f"aligning {split}", index + 1, total)
    found = comparison.result()
    if found is None:
        raise BadInputError(
            f"CTC can align none of the {total} clips of {split} at stride {student.stride}",
            hint="choose another split",
        )
    return found


def spikes_of_distilled(
    student: Recogniser, teacher: Recogniser, corpus: Corpus, names: tuple[str, str], picture: Path, say: Say
) -> dict[str, object] | None:
    """The figures for the card of a student that was just distilled, on dev, and their picture beside the card.

    ``names`` are those of student and teacher. None, with a line that says why, where dev has no clip to align: that
    must not cost a training; neither must a picture that cannot be written.
    """
    try:
        found = compare_spikes(student, teacher, corpus)
    except BadInputError as error:
        say(f"{names[0]}: no spikes were compared: {error.message}")
        return None
    try:
        save_spike_plot(picture, found, student=names[0], teacher=names[1], clips_of="dev")
    except OSError as error:  # the checkpoint is not written yet, and is worth more
        say(f"{names[0]}: {picture} cannot be written: {error.strerror}")
    say(f"{names[0]}: {found.sentence()} ({picture})")
    return found.figures()


def _log_probs(model: Recogniser, clip: Clip) -> NDArray[np.float32]:
    infer = infer_with(model.eval(), next(model.parameters()).device)
    return infer(normalise(clip.frames[None]))[:, 0]


def spikes_against(
    path: Path,
    against: Path,
    *,
    split: str,
    data: str | None,
    clips: int | None,
    picture: Path | None,
    progress: Progress | None,
    cache: Path | None = None,
) -> SpikeOffsets:
    """``compare_spikes`` of two checkpoints, and the picture where it is asked for.

    Raises:
        BadInputError: a path is no checkpoint, the two do not know the same glosses, or see ``compare_spikes``.
        OSError: the picture cannot be written.
    """
    (student, card), (teacher, teacher_card) = load_checkpoint(path), load_checkpoint(against)
    if card.glosses != teacher_card.glosses:
        raise BadInputError(
            f"{card.model_id} and {teacher_card.model_id} do not know the same glosses: there are no spikes to compare",
            hint="compare a student with the teacher that it was distilled from",
        )
    corpus = open_corpus(data or card.data, cache=cache)
    if corpus.vocabulary.glosses != card.glosses:
        raise BadInputError(
            f"the glosses of {corpus.spec} are not those of {card.model_id}", hint=f"--data '{card.data}'"
        )
    found = compare_spikes(student, teacher, corpus, split=split, clips=clips, progress=progress)
    if picture is not None:
        save_spike_plot(picture, found, student=card.model_id, teacher=teacher_card.model_id, clips_of=split)
    return found
