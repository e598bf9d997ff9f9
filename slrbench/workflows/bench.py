"""Measure files against each other: speed, memory, size and the word error rate of each very file, in one report.

Networks run in worker processes only. This process resolves, renders clips and counts errors.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from slrbench.errors import BadInputError, NegativeVerdictError, SlrbenchError
from slrbench.measure.environment import capture_environment
from slrbench.measure.rounds import Infer, MeasureResult, MeasureSettings, measure
from slrbench.records import Accuracy, Candidate, Environment, Measurement, Report, TrainingFigures
from slrbench.reporting.decision import decide
from slrbench.reporting.statistics import summarise
from slrbench.reporting.store import write_report
from slrbench.runners.availability import require_any
from slrbench.training.card import CheckpointCard
from slrbench.workflows.bench_axes import Axes, why_senseless
from slrbench.workflows.bench_candidates import MODELS_FOLDER, BenchModel, Plan, find_models, plan_candidates
from slrbench.workflows.bench_clips import Corpora, accuracy_of
from slrbench.workflows.bench_engines import make_missing_engines
from slrbench.workflows.folders import check_writable
from slrbench.workflows.untrained import build_untrained, parse_untrained

Progress = Callable[[str, int, int], None]


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
    _check_beforehand(options, folder)
    with tempfile.TemporaryDirectory(prefix="slrbench-untrained-") as scratch:
        models = _with_engines(_models(options, models_folder, Path(scratch), progress), options.axes, progress)
        plan = plan_candidates(models, options.axes, allow_unverified=options.allow_unverified)
        draft = _Draft(title=title, command=command, options=options, models=models, plan=plan)
        if not plan.candidates:
            error = _why_nothing(plan)
            if folder is not None and isinstance(error, NegativeVerdictError):
                write_report(folder, draft.report(None))
            raise error
        corpora = Corpora({m.model_id: m.card for m in models}, draft.notes)

        def on_round(result: MeasureResult, done: int) -> None:
            if folder is not None:
                write_report(folder, draft.report(result, rounds_done=done))

        def add_accuracy(candidate: Candidate, infer: Infer) -> None:
            if progress is not None:
                progress("measuring the WER of each file", plan.candidates.index(candidate), len(plan.candidates))
            draft.add_accuracy(candidate, infer, corpora)

        result = measure(
            plan.candidates,
            options.settings,
            inputs=corpora.timing_inputs,
            progress=progress,
            on_round=on_round,
            at_end=add_accuracy if options.wer_clips > 0 else None,
        )
        report = draft.report(result)
    if folder is not None:
        write_report(folder, report)
    if not result.measurements:
        raise result.errors[0]
    return report


def _check_beforehand(options: BenchOptions, folder: Path | None) -> None:
    """What can be refused before anything is built or measured."""
    require_any([(way.backend, way.device) for way in options.axes.ways() if why_senseless(way) is None])
    for text in options.untrained:
        parse_untrained(text)
    if folder is not None:
        check_writable(folder)


def _why_nothing(plan: Plan) -> SlrbenchError:
    """What the command line answers where no candidate is left: failed parity before everything else."""
    failed = (error for row, error in plan.refused if row.parity == "failed")
    return next(failed, plan.refused[0][1])


def require_passed_parity(report: Report) -> None:
    """Return where nothing that was asked for was left out of the report because it failed parity.

    Raises:
        NegativeVerdictError: something was.
    """
    failed = [f"{s.model} on {s.backend}" for s in report.skipped if s.parity == "failed"]
    if failed:
        raise NegativeVerdictError(
            f"parity failed, so not measured: {', '.join(dict.fromkeys(failed))}",
            hint="the report says why; export again, or --allow-unverified to measure it all the same",
        )


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


def _with_engines(models: list[BenchModel], axes: Axes, progress: Progress | None) -> list[BenchModel]:
    """The models, with engines made where TensorRT is asked for, can run here, and a model has none that fits."""
    if "trt" not in axes.backends:
        return models
    trained = [(m.model_id, m.folder, m.manifest) for m in models if m.card is not None]
    made = make_missing_engines(trained, axes.precisions, axes.input_kinds, progress)
    return [replace(m, manifest=made[m.model_id]) if m.model_id in made else m for m in models]


@dataclass(kw_only=True)
class _Draft:
    """The report while it grows."""

    title: str
    command: str
    options: BenchOptions
    models: Sequence[BenchModel]
    plan: Plan
    environment: Environment = field(default_factory=capture_environment)
    accuracies: list[Accuracy] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_accuracy(self, candidate: Candidate, infer: Infer, corpora: Corpora) -> None:
        """Measure the WER of the candidate's file, unless it is known; nothing where there are no clips of its size."""
        key = _evaluated(candidate)
        found = corpora.of(candidate.model)
        if found is None or found[1].frame_size != (candidate.height, candidate.width):
            return
        if any(_evaluated(a) == key for a in self.accuracies):
            return
        try:
            self.accuracies.append(accuracy_of(candidate, *found, infer, limit=self.options.wer_clips))
        except SlrbenchError as error:  # what was timed stays
            self.notes.append(f"{_name(candidate)}: no WER: {error.message}")

    def report(self, result: MeasureResult | None, *, rounds_done: int | None = None) -> Report:
        """What is known by now; ``rounds_done`` where rounds are still missing, and then nothing is decided."""
        measurements = tuple(map(self._shared, result.measurements)) if result is not None else ()
        rows = summarise(measurements, self.accuracies)
        notes = list(self.notes)
        if rounds_done is not None:
            notes.insert(0, f"incomplete: {rounds_done} of {self.options.settings.rounds} rounds, no WER yet")
        skipped = (*(row for row, _ in self.plan.refused), *(result.skipped if result is not None else ()))
        names = [_name(candidate) for candidate in self.plan.candidates]
        return Report(
            title=self.title,
            command=self.command,
            created_at=self.environment.created_at,
            environment=self.environment,
            training=tuple(training_figures(m.card) for m in self.models if m.card is not None),
            measurements=measurements,
            accuracies=tuple(self.accuracies),
            verdicts=_verdicts(self.models, self.options.axes),
            not_run=_not_run(self.models, self.options.axes),
            skipped=tuple(row.model_copy(update={"reason": self._from_here(row.reason)}) for row in skipped),
            measuring={
                "settings": asdict(self.options.settings),
                "candidates": names,
                "order": [list(order) for order in result.order] if result is not None else [],
            },
            summary=rows,
            decision=decide(rows) if rounds_done is None else None,
            notes=tuple(map(self._from_here, notes)),
        )

    def _shared(self, measurement: Measurement) -> Measurement:
        """The measurement as a report shows it; workers open the path as it is."""
        candidate = measurement.candidate
        path = self._from_here(candidate.path)
        return measurement.model_copy(update={"candidate": candidate.model_copy(update={"path": path})})

    def _from_here(self, text: str) -> str:
        """``text`` with folders outside the current one cut down to their names: reports are published."""
        for model in self.models:
            if model.folder.is_absolute():
                text = text.replace(str(model.folder), model.folder.name if model.card is not None else model.model_id)
        return text


def _evaluated(what: Accuracy | Candidate) -> tuple[str, ...]:
    """What a WER belongs to: the very file, and everything that changes what is computed from it."""
    return what.artifact_sha256, what.backend, what.precision, what.variant, what.device, what.input_kind


def _name(c: Candidate) -> str:
    variant = f" {c.variant}" if c.variant else ""
    return (
        f"{c.model} {c.backend}{variant} {c.precision} {c.input_kind} {c.device} threads={c.threads} batch={c.batch} "
        f"frames={c.frames} size={c.height}x{c.width}"
    )


def _verdicts(models: Sequence[BenchModel], axes: Axes) -> dict[str, dict[str, Any]]:
    return {
        entry.artifact.sha256: {
            "model": model.model_id,
            "format": entry.artifact.format,
            "precision": entry.artifact.precision,
            "target": entry.artifact.target,
            "input_kind": entry.artifact.input_kind,
            **entry.parity.model_dump(mode="json"),
        }
        for model in models
        for entry in model.manifest.entries
        if entry.parity is not None and entry.parity_word != "not run" and entry.artifact.format in axes.backends
    }


def _not_run(models: Sequence[BenchModel], axes: Axes) -> tuple[dict[str, Any], ...]:
    """Engines of the precisions that were asked for that could not be judged where they were built."""
    if "trt" not in axes.backends:
        return ()
    return tuple(
        {
            "model": model.model_id,
            "precision": entry.artifact.precision,
            "input_kind": entry.artifact.input_kind,
            "target": entry.artifact.target,
            "artifact_sha256": entry.artifact.sha256,
            "because": entry.not_run_because,
            "network_parity": None if entry.network_parity is None else entry.network_parity.model_dump(mode="json"),
        }
        for model in models
        for entry in model.manifest.entries
        if entry.artifact.format == "trt"
        and entry.artifact.precision in axes.precisions
        and entry.not_run_because
        and entry.parity_word == "not run"
    )


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
