"""Word error rate of a checkpoint or an artifact on a split, through the runtime of that very file.

Shapes: B clips, T frames, T' output steps, C classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from slrbench.data import open_corpus
from slrbench.data.corpus import Corpus, Vocabulary
from slrbench.data.packed import packed_clips_in
from slrbench.errors import BadInputError
from slrbench.evaluation import EvaluationResult, evaluate, scoring_of
from slrbench.records import Accuracy
from slrbench.scoring import alignment_named, rule_named
from slrbench.training.card import CheckpointCard
from slrbench.workflows.caching import fill_cache
from slrbench.workflows.decoding import GREEDY, DecoderOptions, LanguageModelFigures, figures_of, make_decoder
from slrbench.workflows.stored_parity import device_of
from slrbench.workflows.targets import find_target, infer_through, open_target

Progress = Callable[[str, int, int], None]

SPLIT = "test"
"""The split whose clips are packed for other machines, and then taken from there."""


NAMED = 10
"""Clips that are named before they are only counted."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The figures, every sequence, and what a reader must know."""

    accuracy: Accuracy
    result: EvaluationResult
    notes: tuple[str, ...]
    language_model: LanguageModelFigures | None = None


def evaluate_path(
    path: Path,
    *,
    split: str = "test",
    data: str | None = None,
    clips: int | None = None,
    backend: str | None = None,
    batch: int = 8,
    threads: int | None = None,
    decoding: DecoderOptions = GREEDY,
    scoring: str | None = None,
    alignment: str | None = None,
    cache: Path | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Decode a split with the file's own runtime and count the errors.

    Args:
        path: a checkpoint's folder or file, or an artifact.
        split: a split of the corpus.
        data: corpus spec; that of the card where it is not given.
        clips: only the first so many clips.
        backend: which file of a checkpoint's folder is meant, ``torch`` where it is not given; for an artifact it must
            be the artifact's own.
        batch: most clips in one call; clips of equal length only go together.
        threads: threads of the runtime; one per physical core where it is not given.
        decoding: how log-probabilities become glosses.
        scoring: name of a convention (``slrbench.scoring``); the corpus's own where it is not given.
        alignment: ``unit`` or ``sclite``; the convention's where it is not given.
        cache: folder of decoded clips, for a corpus of files.
        workers: processes that decode clips for the cache; 0 decodes in this one.
        progress: told what is done, clips done, and clips in all.

    Raises:
        BadInputError: ``backend`` is not a known word; a file, the split or the corpus cannot be used, or they do not
            belong together.
        UnavailableError: the runtime is not available here.
        RunFailedError: the file does not run on the clips, or the outputs are no log-probabilities.
    """
    folder = path if path.is_dir() else path.parent
    target = find_target(path, backend)
    if data is None and target.card is None:
        raise BadInputError(f"{path} has no card that names its corpus", hint="--data KIND:... names one")
    packed = packed_clips_in(folder) if data is None and split == SPLIT else None
    corpus = packed or open_corpus(data or (target.card.data if target.card is not None else ""), cache=cache)
    rule = scoring_of(corpus) if scoring is None else rule_named(scoring)
    costs = None if alignment is None else alignment_named(alignment)
    vocabulary, notes = _vocabulary(target.card, corpus, asked_for=data is not None)
    chosen = corpus.split(split)
    decoder = make_decoder(decoding, corpus, vocabulary)
    told = progress or (lambda text, done, total: None)
    fill_cache(corpus, workers=workers, progress=told, say=lambda line: None, splits=(split,), limit=clips)
    runner = open_target(target, threads=threads)

    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(f"evaluating {target.backend} on {split}", done, total)

    try:
        found = evaluate(
            infer_through(runner),
            chosen,
            vocabulary,
            batch=batch,
            limit=clips,
            input_kind=target.input_kind,
            decode=decoder,
            scoring=rule,
            alignment=costs,
            progress=tell,
        )
    finally:
        runner.close()
    accuracy = Accuracy(
        model=target.card.model_id if target.card is not None else target.path.name,
        backend=target.backend,
        precision=target.precision,
        device=device_of(target.backend),
        artifact_sha256=target.sha256,
        split=split,
        data=corpus.spec,
        data_fingerprint=corpus.fingerprint(),
        clips=found.clips,
        counts=found.counts,
        wer=found.wer,
        sequences_wrong=found.sequences_wrong,
        clip_errors=found.clip_errors,
        clip_words=found.clip_words,
        decoded=found.decoded,
        decoder=decoder.name,
        scoring=found.scoring,
        alignment=found.alignment,
        other_alignment=found.other_alignment,
        unknown_words=found.unknown_words,
        input_kind=target.input_kind,
        height=corpus.frame_size[0],
        width=corpus.frame_size[1],
    )
    if found.unknown_words:
        notes = (*notes, unknown_note(found, split))
    if found.unreadable:
        notes = (*notes, unreadable_note(split, tuple(found.unreadable)))
    notes = (*notes, *left_out_notes(corpus, split))
    if packed is not None:
        about = packed.about
        some = "" if found.clips == len(about.clips) else f"{found.clips} of "
        packed_clips = f"the {len(about.clips)} packed clips of {about.split_clips} in {about.split}"
        notes = (*notes, f"measured on {some}{packed_clips}")
    return Evaluation(
        accuracy=accuracy,
        result=found,
        notes=(*target.notes, *notes),
        language_model=figures_of(decoder, vocabulary, found.glosses),
    )


def unknown_note(found: EvaluationResult, split: str) -> str:
    """Says how many errors no decoding could avoid."""
    words = sum(map(len, found.glosses))
    share = 100 * found.unknown_words / words
    return (
        f"{found.unknown_words} of {words} reference words of {split} ({share:.2f} %) are not in the network's "
        "vocabulary: each is an error"
    )


def unreadable_note(split: str, clips: Sequence[str]) -> str:
    """Says which clips are not in a word error rate."""
    shown = ", ".join(clips[:NAMED]) + (f" and {len(clips) - NAMED} more" if len(clips) > NAMED else "")
    if len(clips) == 1:
        return f"1 clip of {split} cannot be read and is left out: {shown}"
    return f"{len(clips)} clips of {split} cannot be read and are left out: {shown}"


def left_out_notes(corpus: Corpus, split: str | None = None) -> tuple[str, ...]:
    """Says which annotated clips are not used, as their files are not there; of every split where none is named."""
    left = [one for one in getattr(corpus, "left_out", ()) if split in (None, one.split)]
    if not left:
        return ()
    named = ", ".join(f"{one.clip_id} ({one.reason})" for one in left[:NAMED])
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    where = f" of {split}" if split else ""
    words = f"1 annotated clip{where} is" if len(left) == 1 else f"{len(left)} annotated clips{where} are"
    return (f"{words} left out: {named}{more}",)


def _vocabulary(card: CheckpointCard | None, corpus: Corpus, *, asked_for: bool) -> tuple[Vocabulary, tuple[str, ...]]:
    """The network's classes, and what differs from where it was trained."""
    if card is None:
        return corpus.vocabulary, ("the file has no card: its classes are taken to be the corpus's",)
    unknown = sorted(set(corpus.vocabulary.glosses) - set(card.glosses))
    if unknown:
        raise BadInputError(
            f"the corpus has glosses that the network never learned: {' '.join(unknown[:10])}",
            hint=f"--data {card.data}",
        )
    notes = []
    if asked_for and corpus.spec != card.data:
        notes.append(f"the network was trained on {card.data}, and is evaluated on {corpus.spec}")
    elif corpus.fingerprint() != card.data_fingerprint:
        notes.append("the corpus gives other clips here than where the network was trained (fingerprints differ)")
    if corpus.frame_size != card.frame_size:
        notes.append(f"frames are {corpus.frame_size} pixels, in training they were {card.frame_size}")
    return Vocabulary(glosses=card.glosses), tuple(notes)
