"""The main job: teacher, student, exports, parity, benchmark, report."""

from dataclasses import dataclass, field
from pathlib import Path

from slrbench.errors import SlrbenchError
from slrbench.measure.rounds import MeasureSettings
from slrbench.records import Report
from slrbench.reporting.store import write_report
from slrbench.runners.availability import availability
from slrbench.training.config import Role
from slrbench.training.distributed import leave
from slrbench.training.launch import launched_index
from slrbench.workflows.ablation import AblationRow, ablate_distillation, ablation_tables, require_one_process
from slrbench.workflows.bench import BenchOptions, bench, report_folder
from slrbench.workflows.bench_axes import Axes
from slrbench.workflows.export import export_model
from slrbench.workflows.export_plan import CPU_FORMATS
from slrbench.workflows.folders import check_writable
from slrbench.workflows.scoring import Progress
from slrbench.workflows.training import Say, TrainingJob, train_checkpoint

_ROLES: tuple[Role, ...] = ("teacher", "student")


@dataclass(frozen=True, kw_only=True)
class TrainAndExportOptions:
    """What one run of the main job does."""

    job: TrainingJob
    reports_folder: Path
    name: str
    command: str
    threads: int
    frames: int = 64
    batches: tuple[int, ...] = (1,)
    wer_clips: int = 100
    ablation_seeds: int = 0
    """Seeds of the distillation ablation; 0 leaves it out."""
    measure: MeasureSettings = field(default_factory=MeasureSettings.quick)


@dataclass(frozen=True, kw_only=True)
class TrainAndExportResult:
    """Files that the run wrote, and the verdict."""

    report: Path
    manifests: tuple[Path, ...]
    document: Report
    errors: tuple[SlrbenchError, ...] = ()
    """Exports that failed, or failed parity; the report was written without them."""


def train_and_export(options: TrainAndExportOptions, *, progress: Progress, say: Say) -> TrainAndExportResult | None:
    """Run every stage; each writes its files as it ends, so an interruption costs one stage at most.

    Several processes train together; the first alone goes on with what they trained, and the others get None.

    Raises:
        SlrbenchError: a stage before the exports failed; as ``train_checkpoint`` says.
    """
    if options.ablation_seeds:
        require_one_process()
    job = options.job
    folder = report_folder(options.reports_folder, options.name)
    if launched_index() == 0:
        check_writable(folder)
    teacher = train_checkpoint("teacher", job, progress=progress, say=say)
    train_checkpoint("student", job, teacher=job.folder("teacher"), progress=progress, say=say)
    leave()
    if launched_index() > 0:
        return None
    rows = _ablate(options, progress, say)
    manifests, errors = [], []
    engines = ("trt",) if availability("trt", "cuda").available else ()
    for role in _ROLES:
        exported = export_model(job.folder(role), formats=(*CPU_FORMATS, *engines), cache=job.cache, progress=progress)
        manifests.append(exported.manifest_path)
        for entry in exported.entries:
            worst = entry.parity.max_abs_error if entry.parity else None
            figure = "" if worst is None else f", largest error {worst:.1e}"
            say(f"{exported.model_id}: {entry.artifact.label}: parity {entry.parity_word}{figure}")
        try:
            exported.raise_for_failures()
        except SlrbenchError as error:
            errors.append(error)
    report = bench(
        BenchOptions(
            models=tuple(str(job.folder(role)) for role in _ROLES),
            axes=Axes(
                backends=(*Axes.backends, *engines),
                threads=(options.threads,),
                frames=(options.frames,),
                batches=options.batches,
            ),
            wer_clips=options.wer_clips,
            cache=job.cache,
            settings=options.measure,
            roofline=False,  # a first impression; bench measures it
        ),
        title=f"Train and export: preset {job.config.preset}, {teacher.data}",
        command=options.command,
        folder=folder,
        models_folder=job.models_folder,
        progress=progress,
    )
    if rows:
        report = report.model_copy(update={"tables": {**report.tables, **ablation_tables(rows)}})
        write_report(folder, report)
    return TrainAndExportResult(
        report=folder / "report.json", manifests=tuple(manifests), document=report, errors=tuple(errors)
    )


def _ablate(options: TrainAndExportOptions, progress: Progress, say: Say) -> list[AblationRow]:
    if options.ablation_seeds == 0:
        return []
    job = options.job
    return ablate_distillation(
        job, teacher=job.folder("teacher"), seeds=range(options.ablation_seeds), progress=progress, say=say
    )
