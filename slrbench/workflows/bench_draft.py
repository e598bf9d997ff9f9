"""The report of a benchmark while it grows: what was measured by now, judged and evaluated, and what was left out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from slrbench.errors import SlrbenchError
from slrbench.measure.environment import capture_environment
from slrbench.measure.rounds import Infer, MeasureResult, MeasureSettings
from slrbench.records import (
    Accuracy,
    Candidate,
    Environment,
    LoadRun,
    MachinePeak,
    Measurement,
    Report,
    TrainingFigures,
)
from slrbench.reporting.derive import derive
from slrbench.reporting.doubts import INCOMPLETE
from slrbench.training.card import CheckpointCard
from slrbench.workflows.bench_axes import Axes
from slrbench.workflows.bench_candidates import BenchModel, Plan
from slrbench.workflows.bench_clips import Corpora, accuracy_of
from slrbench.workflows.bench_parity import judge, stored_reference, verdict_key, way_key, wer_difference


@dataclass(kw_only=True)
class Draft:
    """The report while it grows."""

    title: str
    command: str
    axes: Axes
    settings: MeasureSettings
    wer_clips: int
    models: Sequence[BenchModel]
    plan: Plan
    cache: Path | None = None
    """Folder of decoded clips, for corpora of files."""
    baseline: int | None = None
    """Index of the candidate that is measured twice."""
    environment: Environment = field(default_factory=capture_environment)
    accuracies: list[Accuracy] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    load: tuple[LoadRun, ...] = ()
    peaks: tuple[MachinePeak, ...] = ()
    verdicts: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    """Those that this benchmark gave, by :func:`slrbench.workflows.bench_parity.way_key`."""

    def add_verdict(self, candidate: Candidate, infer: Infer) -> None:
        """Judge the candidate where that is to be done here, and was not yet of the same file in the same way."""
        folder = self.plan.to_judge.get(candidate)
        if folder is None or way_key(candidate) in self.verdicts:
            return
        model = next(model for model in self.models if model.model_id == candidate.model)
        try:
            reference = stored_reference(folder, model.weights_sha256)
            entries = [e for e in model.manifest.entries if e.artifact.sha256 == candidate.artifact_sha256]
            entry = entries[0] if entries else None
            machine = _gpu_of(candidate.device, self.environment)
            wer = wer_difference(candidate, infer, entry, model.card, folder, cache=self.cache)
            built_with = entry.artifact.built_with if entry is not None else None
            verdict = judge(candidate, infer, reference, machine=machine, built_with=built_with, wer=wer)
        except SlrbenchError as error:
            self.notes.append(f"{candidate_name(candidate)}: parity was not run: {error.message}")
            return
        key = candidate.model_dump(
            include={"model", "backend", "format", "precision", "variant", "device", "input_kind"}
        )
        document = {**verdict.model_dump(mode="json"), **key, "judged_here": True}
        self.verdicts[way_key(candidate)] = {"key": verdict_key(candidate), **document}

    def add_accuracy(self, candidate: Candidate, infer: Infer, corpora: Corpora) -> None:
        """Measure the WER of the candidate's file, unless it is known; nothing where there are no clips of its size."""
        key = way_key(candidate)
        found = corpora.of(candidate.model)
        if found is None or found[1].frame_size != (candidate.height, candidate.width):
            return
        if any(way_key(a) == key for a in self.accuracies):
            return
        try:
            self.accuracies.append(accuracy_of(candidate, *found, infer, limit=self.wer_clips))
        except SlrbenchError as error:  # what was timed stays
            self.notes.append(f"{candidate_name(candidate)}: no WER: {error.message}")

    def report(self, result: MeasureResult | None, *, rounds_done: int | None = None) -> Report:
        """What is known by now; ``rounds_done`` where rounds are still missing, and then nothing is decided."""
        measurements = tuple(map(self._shared, result.measurements)) if result is not None else ()
        skipped = (*(row for row, _ in self.plan.refused), *(result.skipped if result is not None else ()))
        control = None if result is None or result.control is None else self._shared(result.control)
        report = Report(
            title=self.title,
            command=self.command,
            created_at=self.environment.created_at,
            environment=self.environment,
            training=tuple(training_figures(m.card) for m in self.models if m.card is not None),
            measurements=measurements,
            accuracies=tuple(self.accuracies),
            verdicts={**_verdicts(self.models, self.axes), **self._own_verdicts()},
            not_run=_not_run(self.models, self.axes),
            skipped=tuple(row.model_copy(update={"reason": self._from_here(row.reason)}) for row in skipped),
            measuring=self._measuring(result),
            baseline=None if result is None else result.baseline,
            control=control,
            load=tuple(self._shown_load(run) for run in self.load),
            peaks=tuple(self.peaks),
            notes=tuple(map(self._from_here, dict.fromkeys(self._all_notes(result, rounds_done)))),
        )
        return derive(report, decided=rounds_done is None)

    def _measuring(self, result: MeasureResult | None) -> dict[str, Any]:
        """How it was measured; the second copy of the baseline has the last number in the orders."""
        names = [candidate_name(candidate) for candidate in self.plan.candidates]
        found: dict[str, Any] = {
            "settings": {name: value for name, value in asdict(self.settings).items() if name != "video"},
            "candidates": [*names, *([f"{names[self.baseline]} (second copy)"] if self.baseline is not None else [])],
            "order": [list(order) for order in result.order] if result is not None else [],
        }
        if result is not None and result.ended:
            found |= {"spent_s": result.spent_s, "ended": result.ended}
        return found

    def _all_notes(self, result: MeasureResult | None, rounds_done: int | None) -> list[str]:
        notes = list(self.notes)
        if result is None:
            return notes
        if rounds_done is not None:
            wanted = f" of {self.settings.rounds}" if rounds_done <= self.settings.rounds else ""
            return [f"{INCOMPLETE}{rounds_done}{wanted} rounds, no WER yet", *notes]
        if result.control_error is not None and result.baseline is not None:
            notes.append(f"no noise floor: the baseline's second copy failed: {result.control_error.message}")
        budget = self.settings.budget_s
        if budget is not None and result.spent_s > 1.1 * budget:
            notes.append(
                f"the rounds took {result.spent_s:.0f} s, longer than the budget of {budget:g} s: every candidate is "
                f"measured in {self.settings.rounds} rounds at least"
            )
        return notes

    def _shared(self, measurement: Measurement) -> Measurement:
        """The measurement as a report shows it; workers open the path as it is."""
        return measurement.model_copy(update={"candidate": self._shown(measurement.candidate)})

    def _shown(self, candidate: Candidate) -> Candidate:
        update: dict[str, Any] = {"path": self._from_here(candidate.path)}
        if (verdict := self.verdicts.get(way_key(candidate))) is not None:
            update["parity"] = "passed" if verdict["passed"] else "failed"
        return candidate.model_copy(update=update)

    def _shown_load(self, run: LoadRun) -> LoadRun:
        return run.model_copy(update={"candidate": self._shown(run.candidate), "reason": self._from_here(run.reason)})

    def _own_verdicts(self) -> dict[str, dict[str, Any]]:
        return {v["key"]: {name: v[name] for name in v if name != "key"} for v in self.verdicts.values()}

    def _from_here(self, text: str) -> str:
        """``text`` with folders outside the current one cut down to their names: reports are published."""
        for model in self.models:
            if model.folder.is_absolute():
                text = text.replace(str(model.folder), model.folder.name if model.card is not None else model.model_id)
        return text


def candidate_name(c: Candidate) -> str:
    """A candidate in one line, with everything that tells it apart."""
    variant = f" {c.variant}" if c.variant else ""
    return (
        f"{c.model} {c.backend}{variant} {c.precision} {c.input_kind} {c.device} threads={c.threads} batch={c.batch} "
        f"frames={c.frames} size={c.height}x{c.width}"
    )


def _gpu_of(device: str, environment: Environment) -> str:
    """Name of the GPU that a device word means; empty for the CPU."""
    if device == "cpu":
        return ""
    index = int(device.partition(":")[2] or 0)
    return environment.gpus[index].partition(",")[0] if index < len(environment.gpus) else device


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
