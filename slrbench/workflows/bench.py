"""Measure files against each other: speed, memory, size and the word error rate of each very file, in one report.

Networks run in worker processes only. This process resolves, renders clips and counts errors.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from slrbench.errors import BadInputError, NegativeVerdictError, SlrbenchError
from slrbench.measure.load.settings import LoadSettings
from slrbench.measure.rounds import Infer, MeasureResult, MeasureSettings, measure
from slrbench.records import Candidate, Report
from slrbench.reporting.store import write_report
from slrbench.runners.availability import require_any
from slrbench.workflows.bench_axes import Axes, why_senseless
from slrbench.workflows.bench_candidates import MODELS_FOLDER, BenchModel, Plan, find_models, plan_candidates
from slrbench.workflows.bench_clips import Corpora
from slrbench.workflows.bench_draft import Draft
from slrbench.workflows.bench_engines import make_missing_engines
from slrbench.workflows.bench_load import check_load, run_load
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
    load: LoadSettings = field(default_factory=LoadSettings)


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
        folder: where report.json, .md, .csv and .html go, written anew after each round; None writes nothing.
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
        models = _models(options, models_folder, Path(scratch), progress)
        made, engines = make_missing_engines(models, options.axes, progress)
        models = [replace(m, manifest=made[m.model_id]) if m.model_id in made else m for m in models]
        plan = plan_candidates(models, options.axes, allow_unverified=options.allow_unverified, engines=engines)
        draft = Draft(
            title=title,
            command=command,
            axes=options.axes,
            settings=options.settings,
            wer_clips=options.wer_clips,
            models=models,
            plan=plan,
        )
        if not plan.candidates:
            error = _why_nothing(plan)
            if folder is not None and isinstance(error, NegativeVerdictError):
                write_report(folder, draft.report(None))
            raise error
        folders = {m.model_id: m.folder for m in models}
        corpora = Corpora({m.model_id: m.card for m in models}, draft.notes, folders)

        def on_round(result: MeasureResult, done: int) -> None:
            if folder is not None:
                write_report(folder, draft.report(result, rounds_done=done))

        def at_end(candidate: Candidate, infer: Infer) -> None:
            if progress is not None:
                progress("measuring the WER of each file", plan.candidates.index(candidate), len(plan.candidates))
            draft.add_verdict(candidate, infer)
            if options.wer_clips > 0:
                draft.add_accuracy(candidate, infer, corpora)

        result = measure(
            plan.candidates,
            options.settings,
            inputs=corpora.timing_inputs,
            progress=progress,
            on_round=on_round,
            at_end=at_end if options.wer_clips > 0 or plan.to_judge else None,
        )
        report = _with_load(draft, result, options.load, corpora, folder, progress)
    if folder is not None:
        write_report(folder, report)
    if not result.measurements:
        raise result.errors[0]
    return report


def _check_beforehand(options: BenchOptions, folder: Path | None) -> None:
    """What can be refused before anything is built or measured."""
    check_load(options.load)
    require_any([(way.backend, way.device) for way in options.axes.ways() if why_senseless(way) is None])
    for text in options.untrained:
        parse_untrained(text)
    if folder is not None:
        check_writable(folder)


def _with_load(
    draft: Draft,
    result: MeasureResult,
    settings: LoadSettings,
    corpora: Corpora,
    folder: Path | None,
    progress: Progress | None,
) -> Report:
    """The report, after what was measured was put under load; written before, too, since load takes its time."""
    if not settings.wanted:
        return draft.report(result)
    if folder is not None:
        write_report(folder, draft.report(result))
    measured = [m.candidate for m in result.measurements]
    draft.load = run_load(measured, settings, folder=folder, inputs=corpora.timing_inputs, progress=progress)
    return draft.report(result)


def _why_nothing(plan: Plan) -> SlrbenchError:
    """What the command line answers where no candidate is left: failed parity before everything else."""
    failed = (error for row, error in plan.refused if row.parity == "failed")
    return next(failed, plan.refused[0][1])


def require_passed_parity(report: Report) -> None:
    """Return where nothing that was asked for failed parity: neither before, and was left out, nor in this benchmark.

    Raises:
        NegativeVerdictError: something did.
    """
    here = [
        f"{v['model']} on {v['backend']} ({v['precision']}, {v['device']})"
        for v in report.verdicts.values()
        if v.get("judged_here") and not v["passed"]
    ]
    if here:
        raise NegativeVerdictError(
            f"parity failed in this benchmark: {', '.join(here)}",
            hint="the report's parity table says why; these rows are in no decision",
        )
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
                precisions=axes.precisions,
                seed=options.settings.seed,
            )
        )
    return models


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
