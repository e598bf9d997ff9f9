"""Measure files against each other: speed, memory, size and the word error rate of each very file, in one report.

Networks run in worker processes only. This process resolves, renders clips and counts errors.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from slrbench.errors import BadInputError, NegativeVerdictError, SlrbenchError
from slrbench.measure.journal import JOURNAL_NAME, Journal, refuse_existing
from slrbench.measure.rounds import Infer, MeasureResult, Status, measure
from slrbench.records import Candidate, Report
from slrbench.reporting.display import backend_on, milliseconds
from slrbench.reporting.store import write_report
from slrbench.runners.availability import require_any
from slrbench.workflows.bench_axes import why_senseless
from slrbench.workflows.bench_baseline import check_baseline, find_baseline
from slrbench.workflows.bench_beside import load_each, peaks_now
from slrbench.workflows.bench_candidates import MODELS_FOLDER, BenchModel, Plan, find_models, plan_candidates
from slrbench.workflows.bench_clips import Corpora
from slrbench.workflows.bench_draft import Draft
from slrbench.workflows.bench_engines import make_missing_engines
from slrbench.workflows.bench_journal import begun_in, conditions, once, open_journal
from slrbench.workflows.bench_load import check_load
from slrbench.workflows.bench_options import BenchOptions
from slrbench.workflows.bench_video import check_video_file, with_video
from slrbench.workflows.caching import check_cache
from slrbench.workflows.folders import check_writable
from slrbench.workflows.untrained import build_untrained, parse_untrained

__all__ = ["BenchOptions", "bench", "report_folder", "require_passed_parity"]

Progress = Callable[[str, int, int], None]
Detail = Callable[[str, float | None], None]
"""Called with what is about to be measured and what is known of it, and with the seconds that are left, roughly."""


def bench(
    options: BenchOptions,
    *,
    title: str = "Benchmark",
    command: str = "",
    folder: Path | None = None,
    models_folder: Path = MODELS_FOLDER,
    progress: Progress | None = None,
    detail: Detail | None = None,
    resume: bool = False,
) -> Report:
    """Measure everything that was asked for and can be measured; the rest are skipped rows with their reasons.

    Args:
        options: what, and how much.
        title: the report's.
        command: the command line, for the report.
        folder: where report.json, .md, .csv and .html go, written anew after each round; None writes nothing.
        models_folder: where models are looked up by id.
        progress: called with what is being done, steps done and steps in all; only between timed regions.
        detail: called before each visit, between timed regions too.
        resume: go on with the benchmark that was interrupted in ``folder``; its title, command and environment stay.

    Raises:
        BadInputError: a model or an option cannot be used; or so it is with everything that was asked for; or there is
            an interrupted benchmark in ``folder``; or, on ``resume``, there is none, or one of other conditions.
        UnavailableError: nothing that was asked for can run here.
        NegativeVerdictError: no file is verified; the report is written.
        RunFailedError: every candidate failed while it was measured; the report is written.
        OSError: the folder cannot be written, or the disk is full.
    """
    begun = begun_in(folder) if resume and folder is not None else None
    _check_beforehand(options, folder, resume=resume)
    with tempfile.TemporaryDirectory(prefix="slrbench-untrained-") as scratch:
        models = _models(options, models_folder, Path(scratch), progress)
        made, engines = make_missing_engines(models, options.axes, progress, cache=options.cache)
        models = [replace(m, manifest=made[m.model_id]) if m.model_id in made else m for m in models]
        plan = plan_candidates(models, options.axes, allow_unverified=options.allow_unverified, engines=engines)
        draft = Draft(
            title=begun.title if begun is not None else title,
            command=begun.command if begun is not None else command,
            axes=options.axes,
            settings=options.settings,
            wer_clips=options.wer_clips,
            models=models,
            plan=plan,
            cache=options.cache,
        )
        if not plan.candidates:
            error = _why_nothing(plan)
            if folder is not None and isinstance(error, NegativeVerdictError):
                write_report(folder, draft.report(None))
            raise error
        draft.baseline = find_baseline(options.baseline, plan, models)
        session = conditions(options, plan, draft.baseline, draft.environment)
        with open_journal(folder, session, draft, resume=resume, cache=options.cache) as journal:
            if begun is not None:
                draft.environment = begun.environment
                draft.notes.append("this benchmark was interrupted, and went on with what was measured before")
            cards, folders = {m.model_id: m.card for m in models}, {m.model_id: m.folder for m in models}
            corpora = Corpora(cards, draft.notes, folders, options.cache)
            result = _measure(options, draft, corpora, journal, folder, progress, detail)
            if options.load.wanted:
                if folder is not None:  # load takes its time, and what was measured can be read meanwhile
                    write_report(folder, draft.report(result))
                loaded = [m.candidate for m in result.measurements]
                draft.load = load_each(
                    loaded, options.load, journal, folder=folder, inputs=corpora.timing_inputs, progress=progress
                )
            report = draft.report(result)
            if folder is not None:
                write_report(folder, report)
            journal.remove()
    if not result.measurements:
        raise result.errors[0]
    return report


def _measure(
    options: BenchOptions,
    draft: Draft,
    corpora: Corpora,
    journal: Journal,
    folder: Path | None,
    progress: Progress | None,
    detail: Detail | None,
) -> MeasureResult:
    """The machine's peaks, rounds, verdicts and word error rates, and the peaks again."""
    plan = draft.plan
    if options.roofline:
        draft.peaks = peaks_now(plan.candidates, journal, "before", progress)

    def on_round(result: MeasureResult, done: int) -> None:
        if folder is not None:
            write_report(folder, draft.report(result, rounds_done=done), page=False)

    def on_visit(status: Status) -> None:
        if detail is not None:
            detail(_words(status), status.left_s)

    def at_end(candidate: Candidate, infer: Infer) -> None:
        if progress is not None:
            progress("measuring the WER of each file", plan.candidates.index(candidate), len(plan.candidates))
        once(journal, draft, "verdict", candidate, lambda: draft.add_verdict(candidate, infer))
        if options.wer_clips > 0:
            once(journal, draft, "accuracy", candidate, lambda: draft.add_accuracy(candidate, infer, corpora))

    result = measure(
        plan.candidates,
        with_video(options.settings, options.video, draft.models),
        inputs=corpora.timing_inputs,
        baseline=draft.baseline,
        journal=journal,
        progress=progress,
        on_visit=on_visit,
        on_round=on_round,
        at_end=at_end if options.wer_clips > 0 or plan.to_judge else None,
    )
    if options.roofline:
        draft.peaks = peaks_now(plan.candidates, journal, "after", progress, before=draft.peaks)
    return result


def _words(status: Status) -> str:
    """``tiny onnx, round 3 of 10: 12.3 ms (12.1 to 12.6)``."""
    copy = " (second copy)" if status.second_copy else ""
    of = f" of {status.rounds}" if status.rounds is not None else ""
    known = status.estimate
    figure = ""
    if known is not None:
        value, low, high = (milliseconds(each) for each in (known.value, known.low, known.high))
        figure = f": {value} ms ({low} to {high})"
    starting = "starting " if status.starting else ""
    return f"{starting}{status.candidate.model} {backend_on(status.candidate)}{copy}, round {status.round}{of}{figure}"


def _check_beforehand(options: BenchOptions, folder: Path | None, *, resume: bool) -> None:
    """What can be refused before anything is built or measured."""
    check_load(options.load)
    check_baseline(options.baseline, options.axes)
    check_video_file(options.video)
    check_cache(options.cache)
    require_any([(way.backend, way.device) for way in options.axes.ways() if why_senseless(way) is None])
    for text in options.untrained:
        parse_untrained(text)
    if folder is not None:
        check_writable(folder)
        if not resume:
            refuse_existing(folder / JOURNAL_NAME)


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
