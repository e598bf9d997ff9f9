"""Real clips for a benchmark: what timed calls are fed with, and the word error rate of each very file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from slrbench.data import open_corpus
from slrbench.data.batching import normalise
from slrbench.data.corpus import Clip, Corpus, Split, Vocabulary, readable_clips
from slrbench.data.packed import CLIPS_NAME, PackedCorpus, packed_clips_in
from slrbench.errors import SlrbenchError
from slrbench.evaluation import evaluate, scoring_of
from slrbench.measure.rounds import Infer
from slrbench.measure.timing_inputs import TimingInputs, clip_inputs, noise_inputs
from slrbench.records import Accuracy, Candidate
from slrbench.training.card import CheckpointCard

SPLIT = "test"
TIMING_CLIPS = 64
"""At most so many clips of the corpus go into the inputs of timed calls."""


class KeptClips:
    """A split that renders each clip once: every file is evaluated on the same ones."""

    def __init__(self, split: Split) -> None:
        """Wrap ``split``."""
        self._split = split
        self._clips: dict[int, Clip] = {}

    @property
    def name(self) -> str:
        """Name of the split."""
        return self._split.name

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._split)

    def __getitem__(self, index: int) -> Clip:
        """The clip at ``index``."""
        if index not in self._clips:
            self._clips[index] = self._split[index]
        return self._clips[index]

    def label_length(self, index: int) -> int:
        """Number of glosses of the clip at ``index``."""
        return self._split.label_length(index)

    def frame_count(self, index: int) -> int | None:
        """Frames of the clip at ``index``, where the split knows."""
        return self._split.frame_count(index)


@dataclass
class Corpora:
    """The corpus of each model, opened once; none where it cannot be opened here, and then a note says why."""

    cards: Mapping[str, CheckpointCard | None]
    """Model id to its card; None for random weights."""
    notes: list[str] = field(default_factory=list)
    """What a reader of the report must know."""
    folders: Mapping[str, Path] = field(default_factory=dict)
    """Model id to its folder: packed clips in it come before the corpus that they are of."""
    cache: Path | None = None
    """Folder of decoded clips, for corpora of files."""
    _open: dict[str, tuple[Corpus, KeptClips] | None] = field(default_factory=dict)

    def of(self, model_id: str) -> tuple[CheckpointCard, Corpus, KeptClips] | None:
        """Card, corpus and test clips of a model; None where it has none, or they cannot be had here."""
        card = self.cards[model_id]
        if card is None:
            return None
        folder = self.folders.get(model_id)
        packed = folder is not None and (folder / CLIPS_NAME).is_file()
        key = str(folder) if packed else card.data
        if key not in self._open:
            self._open[key] = self._try_to_open(card, folder)
        found = self._open[key]
        return None if found is None else (card, *found)

    def _try_to_open(self, card: CheckpointCard, folder: Path | None) -> tuple[Corpus, KeptClips] | None:
        try:
            packed = packed_clips_in(folder) if folder is not None else None
            corpus: Corpus = packed if packed is not None else open_corpus(card.data, cache=self.cache)
            split = corpus.split(SPLIT)
        except SlrbenchError as error:
            self.notes.append(f"{card.data}: no clips, so timed on noise and no WER: {error.message}")
            return None
        if packed is not None:
            self.notes.append(
                f"{card.model_id}: {len(split)} of the {packed.about.split_clips} clips of {SPLIT} are packed with it: "
                "no WER here rests on more"
            )
        if corpus.fingerprint() != card.data_fingerprint:
            self.notes.append(
                f"{card.model_id}: {card.data} gives other clips here than where it was trained (fingerprints differ)"
            )
        return corpus, KeptClips(split)

    def timing_inputs(self, candidate: Candidate) -> TimingInputs:
        """Real clips where the model's corpus has frames of the candidate's size, noise elsewhere."""
        found = self.of(candidate.model)
        if found is None or found[1].frame_size != (candidate.height, candidate.width):
            return noise_inputs(candidate)
        _, corpus, split = found
        clips = [clip.frames for _, clip in readable_clips(split, range(min(len(split), TIMING_CLIPS)))]
        if not clips:
            return noise_inputs(candidate)
        source = corpus.source if isinstance(corpus, PackedCorpus) else f"{SPLIT} clips of {corpus.spec}"
        return clip_inputs(candidate, clips, normalise, source=source)


def accuracy_of(
    candidate: Candidate, card: CheckpointCard, corpus: Corpus, split: Split, infer: Infer, *, limit: int | None = None
) -> Accuracy:
    """Word error rate of a candidate's file on the first ``limit`` clips of a split, through ``infer``.

    Decoded greedily, counted by the corpus's convention.

    Raises:
        BadInputError: the corpus does not go with the network.
        RunFailedError: the outputs are not log-probabilities ``(T', B, C)``.
    """
    found = evaluate(
        infer,
        split,
        Vocabulary(glosses=card.glosses),
        limit=limit,
        input_kind=candidate.input_kind,
        scoring=scoring_of(corpus),
    )
    return Accuracy(
        model=candidate.model,
        backend=candidate.backend,
        precision=candidate.precision,
        variant=candidate.variant,
        device=candidate.device,
        artifact_sha256=candidate.artifact_sha256,
        input_kind=candidate.input_kind,
        height=corpus.frame_size[0],
        width=corpus.frame_size[1],
        split=split.name,
        data=corpus.spec,
        data_fingerprint=corpus.fingerprint(),
        clips=found.clips,
        counts=found.counts,
        wer=found.wer,
        sequences_wrong=found.sequences_wrong,
        clip_errors=found.clip_errors,
        clip_words=found.clip_words,
        decoded=found.decoded,
        scoring=found.scoring,
        alignment=found.alignment,
        other_alignment=found.other_alignment,
        unknown_words=found.unknown_words,
    )
