"""Measure files against each other: speed, memory, size and the word error rate of each very file, in one report.

Networks run in worker processes only. This process resolves, renders clips and counts errors.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.data import open_corpus
from slrbench.data.batching import normalise
from slrbench.data.corpus import Clip, Corpus, Split, Vocabulary
from slrbench.errors import BadInputError, NegativeVerdictError, SlrbenchError
from slrbench.evaluation import evaluate
from slrbench.measure.environment import capture_environment
from slrbench.measure.process import Worker
from slrbench.measure.rounds import Infer, MeasureResult, MeasureSettings, infer_with, measure, open_in
from slrbench.measure.timing_inputs import TimingInputs, clip_inputs, noise_inputs
from slrbench.records import Accuracy, Candidate, Report, TrainingFigures
from slrbench.reporting.decision import decide
from slrbench.reporting.statistics import summarise
from slrbench.reporting.store import write_report
from slrbench.training.card import CheckpointCard
from slrbench.workflows.bench_candidates import MODELS_FOLDER, Axes, BenchModel, Plan, find_models, plan_candidates
from slrbench.workflows.untrained import build_untrained

Progress = Callable[[str, int, int], None]
SPLIT = "test"
TIMING_CLIPS = 64
"""At most so many clips of the corpus go into the inputs of timed calls."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What to measure and how much."""

    models: tuple[str, ...] = ()
    """Ids, paths or roles; every model of the folder where there is none and nothing untrained is asked for."""
    axes: Axes = field(default_factory=Axes)
    untrained: tuple[str, ...] = ()
    """Networks with random weights, such as ``teacher:width=1,size=224``."""
    allow_unverified: bool = False
    wer_clips: int = 100
    """Clips of the test split on which each file's word error rate is measured; 0 leaves it out."""
    settings: MeasureSettings = field(default_factory=MeasureSettings)


def bench(
    options: BenchOptions,
    *,
    title: str = "Benchmark",
    command: str = "",
    folder: Path | None = None,
    models_folder: Path = MODELS_FOLDER,
    progress: Progress | None = None,
) -> Report:
    """Measure everything that was asked for and can be measured; the rest are skipped rows with their reasons.

    Args:
        options: what, and how much.
        title: the report's.
        command: the command line, for the report.
        folder: where report.json, report.md and report.csv go, written anew after each round; None writes nothing.
        models_folder: where models are looked up by id.
        progress: called with what is being done, steps done and steps in all; only between timed regions.

    Raises:
        BadInputError: a model or an option cannot be used; or so it is with everything that was asked for.
        UnavailableError: nothing that was asked for can run here.
        NegativeVerdictError: no file is verified; the report is written.
        RunFailedError: every candidate failed while it was measured; the report is written.
        OSError: the folder cannot be written, or the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="slrbench-untrained-") as scratch:
        models = _models(options, models_folder, Path(scratch), progress)
        plan = plan_candidates(models, options.axes, allow_unverified=options.allow_unverified)
        draft = _Draft(title=title, command=command, options=options, models=models, plan=plan)
        if not plan.candidates:
            error = plan.refused[0][1]
            if folder is not None and isinstance(error, NegativeVerdictError):
                write_report(folder, draft.report(None))
            raise error
        corpora = _Corpora({m.model_id: m.card for m in models}, draft.notes)

        def on_round(result: MeasureResult, done: int) -> None:
            if folder is not None:
                write_report(folder, draft.report(result, rounds_done=done))

        evaluate_ = _Evaluation(draft, corpora, options.wer_clips, len(plan.candidates), progress)
        result = measure(
            plan.candidates,
            options.settings,
            inputs=corpora.timing_inputs,
            progress=progress,
            on_round=on_round,
            at_end=evaluate_ if options.wer_clips > 0 else None,
        )
        report = draft.report(result)
    if folder is not None:
        write_report(folder, report)
    if not result.measurements:
        raise result.errors[0]
    return report


def _models(options: BenchOptions, root: Path, scratch: Path, progress: Progress | None) -> list[BenchModel]:
    models = [] if options.untrained and not options.models else find_models(options.models, root=root)
    for index, text in enumerate(options.untrained):
        if progress is not None:
            progress("building untrained networks", index, len(options.untrained))
        axes = options.axes
        models.append(
            build_untrained(
                text,
                scratch / str(index),
                backends=axes.backends,
                input_kinds=axes.input_kinds,
                seed=options.settings.seed,
            )
        )
    return models


@dataclass(kw_only=True)
class _Draft:
    """The report while it grows."""

    title: str
    command: str
    options: BenchOptions
    models: Sequence[BenchModel]
    plan: Plan
    accuracies: list[Accuracy] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def report(self, result: MeasureResult | None, *, rounds_done: int | None = None) -> Report:
        """What is known by now; ``rounds_done`` where rounds are still missing, and then nothing is decided."""
        environment = capture_environment()
        measurements = result.measurements if result is not None else ()
        rows = summarise(measurements, self.accuracies)
        notes = list(self.notes)
        if rounds_done is not None:
            notes.insert(0, f"incomplete: {rounds_done} of {self.options.settings.rounds} rounds, no WER yet")
        names = [_name(candidate) for candidate in self.plan.candidates]
        return Report(
            title=self.title,
            command=self.command,
            created_at=environment.created_at,
            environment=environment,
            training=tuple(training_figures(m.card) for m in self.models if m.card is not None),
            measurements=measurements,
            accuracies=tuple(self.accuracies),
            verdicts=_verdicts(self.models, self.options.axes),
            skipped=(*(row for row, _ in self.plan.refused), *(result.skipped if result is not None else ())),
            measuring={
                "settings": asdict(self.options.settings),
                "candidates": names,
                "order": [list(order) for order in result.order] if result is not None else [],
            },
            summary=rows,
            decision=decide(rows) if rounds_done is None else None,
            notes=tuple(notes),
        )


def _name(c: Candidate) -> str:
    return (
        f"{c.model} {c.backend} {c.precision} {c.input_kind} {c.device} threads={c.threads} batch={c.batch} "
        f"frames={c.frames} size={c.height}x{c.width}"
    )


def _verdicts(models: Sequence[BenchModel], axes: Axes) -> dict[str, dict[str, Any]]:
    return {
        entry.artifact.sha256: entry.parity.model_dump(mode="json")
        for model in models
        for entry in model.manifest.entries
        if entry.parity is not None and entry.artifact.format in axes.backends
    }


def training_figures(card: CheckpointCard) -> TrainingFigures:
    """What a checkpoint's card says of its training, as the report repeats it."""
    seconds = card.trained_with.get("seconds")
    overfit_wer = (card.overfit or {}).get("wer")
    return TrainingFigures(
        model=card.model_id,
        role=card.spec.architecture,
        parameters=card.parameters,
        train_seconds=float(seconds) if isinstance(seconds, int | float) else None,
        overfit_wer=float(overfit_wer) if isinstance(overfit_wer, int | float) else None,
        dev=card.wer.get("dev"),
        test=card.wer.get("test"),
        test_signers=card.wer.get("test-signers"),
        controls=card.controls,
        checks_passed=card.checks_passed,
    )


class _KeptClips:
    """A split that renders each clip once: every file is evaluated on the same ones."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self._clips: dict[int, Clip] = {}

    @property
    def name(self) -> str:
        return self._split.name

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> Clip:
        if index not in self._clips:
            self._clips[index] = self._split[index]
        return self._clips[index]

    def label_length(self, index: int) -> int:
        return self._split.label_length(index)


class _Corpora:
    """The corpus of each model, opened once; none where it cannot be opened here, and then a note says why."""

    def __init__(self, cards: dict[str, CheckpointCard | None], notes: list[str]) -> None:
        self._cards = cards
        self._notes = notes
        self._open: dict[str, tuple[Corpus, _KeptClips] | None] = {}

    def of(self, model_id: str) -> tuple[CheckpointCard, Corpus, _KeptClips] | None:
        card = self._cards[model_id]
        if card is None:
            return None
        if card.data not in self._open:
            self._open[card.data] = self._try_to_open(card)
        found = self._open[card.data]
        return None if found is None else (card, *found)

    def _try_to_open(self, card: CheckpointCard) -> tuple[Corpus, _KeptClips] | None:
        try:
            corpus = open_corpus(card.data)
            split = corpus.split(SPLIT)
        except SlrbenchError as error:
            self._notes.append(f"{card.data}: no clips, so timed on noise and no WER: {error.message}")
            return None
        if corpus.fingerprint() != card.data_fingerprint:
            self._notes.append(
                f"{card.model_id}: {card.data} gives other clips here than where it was trained (fingerprints differ)"
            )
        return corpus, _KeptClips(split)

    def timing_inputs(self, candidate: Candidate) -> TimingInputs:
        """Real clips where the model's corpus has frames of the candidate's size, noise elsewhere."""
        found = self.of(candidate.model)
        if found is None or found[1].frame_size != (candidate.height, candidate.width):
            return noise_inputs(candidate)
        _, corpus, split = found
        clips = [split[i].frames for i in range(min(len(split), TIMING_CLIPS))]
        return clip_inputs(candidate, clips, normalise, source=f"{SPLIT} clips of {corpus.spec}")


class _Evaluation:
    """The word error rate of each measured file, once per file and backend, through the process that was timed."""

    def __init__(self, draft: _Draft, corpora: _Corpora, limit: int, total: int, progress: Progress | None) -> None:
        self._draft = draft
        self._corpora = corpora
        self._limit = limit
        self._total = total
        self._progress = progress
        self._done: set[tuple[str, str, str]] = set()

    def __call__(self, candidate: Candidate, infer: Infer) -> None:
        key = (candidate.artifact_sha256, candidate.backend, candidate.device)
        found = self._corpora.of(candidate.model)
        if key in self._done or found is None:
            return
        if self._progress is not None:
            self._progress("measuring the WER of each file", len(self._done), self._total)
        card, corpus, split = found
        self._draft.accuracies.append(accuracy_of(candidate, card, corpus, split, infer, limit=self._limit))
        self._done.add(key)


def accuracy_of(
    candidate: Candidate, card: CheckpointCard, corpus: Corpus, split: Split, infer: Infer, *, limit: int | None = None
) -> Accuracy:
    """Word error rate of a candidate's file on the first ``limit`` clips of a split, through ``infer``.

    Raises:
        BadInputError: the corpus does not go with the network.
        RunFailedError: the outputs are not log-probabilities ``(T', B, C)``.
    """
    found = evaluate(infer, split, Vocabulary(glosses=card.glosses), limit=limit, input_kind=candidate.input_kind)
    return Accuracy(
        model=candidate.model,
        backend=candidate.backend,
        artifact_sha256=candidate.artifact_sha256,
        split=split.name,
        data=corpus.spec,
        data_fingerprint=corpus.fingerprint(),
        clips=found.clips,
        counts=found.counts,
        wer=found.wer,
        sequences_wrong=found.sequences_wrong,
    )


def evaluate_candidate(
    candidate: Candidate,
    card: CheckpointCard,
    *,
    split: str = SPLIT,
    limit: int | None = None,
    limit_s: float = 300.0,
) -> Accuracy:
    """Word error rate of a file on a split of its checkpoint's corpus, in a process that imports only its runtime.

    Raises:
        BadInputError: the file or the split cannot be used.
        UnavailableError: the backend is not available here.
        RunFailedError: the process failed, or gave no answer within ``limit_s`` seconds.
    """
    corpus = open_corpus(card.data)
    with tempfile.TemporaryDirectory(prefix="slrbench-") as scratch, Worker(threads=candidate.threads) as worker:
        open_in(worker, candidate, first_input=None, limit_s=limit_s)
        infer = infer_with(worker, Path(scratch), limit_s=limit_s)
        return accuracy_of(candidate, card, corpus, corpus.split(split), infer, limit=limit)


def report_folder(root: Path, name: str) -> Path:
    """``<root>/<date>-<name>``, with a number behind it where that is taken."""
    if not name or Path(name).name != name:
        raise BadInputError(f"{name!r} is not a name for a report", hint="--name laptop")
    stem = f"{datetime.now(UTC).date().isoformat()}-{name}"
    taken = root / stem
    number = 2
    while taken.exists():
        taken = root / f"{stem}-{number}"
        number += 1
    return taken
