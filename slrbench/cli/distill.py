"""``slrbench distill``: train a student from a verified teacher."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slrbench.cli import console
from slrbench.cli import training_options as options
from slrbench.cli.common_options import Cache

if TYPE_CHECKING:
    from slrbench.workflows.training import TrainingJob


def command(
    teacher: Annotated[
        str | None, typer.Argument(metavar="[TEACHER]", help="Checkpoint, by id or folder; teacher-PRESET by default.")
    ] = None,
    preset: options.Preset = "demo",
    data: options.Data = None,
    alpha: Annotated[float | None, typer.Option("--alpha", help="Weight of the teacher against CTC, 0..1.")] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", help="Softening of both outputs.")] = None,
    init: options.Init = None,
    imagenet: options.Imagenet = False,
    steps: options.Steps = None,
    learning_rate: options.LearningRate = None,
    batch_size: options.BatchSize = None,
    accumulate: options.Accumulate = None,
    max_frames: options.MaxFrames = None,
    backbone_lr: options.BackboneLr = None,
    ema: options.Ema = None,
    patience: options.Patience = None,
    gradient_checkpointing: options.GradientCheckpointing = False,
    log_dir: options.LogDir = None,
    seed: options.Seed = None,
    threads: options.Threads = None,
    device: options.Device = None,
    cache: Cache = None,
    workers: options.Workers = None,
    set: options.Set = None,
    ablate_kd: Annotated[
        int,
        typer.Option(
            "--ablate-kd",
            metavar="SEEDS",
            min=0,
            help="Instead: train students with and without distillation for so many seeds, and report. No --log-dir.",
        ),
    ] = 0,
    reports: Annotated[Path, typer.Option("--reports", metavar="FOLDER", help="Where the ablation's report goes.")] = (
        Path("reports")
    ),
    overfit: options.Overfit = True,
    models: options.Models = options.MODELS,
    states: options.States = options.STATES,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Distil a student from a verified teacher: both see the same clips, and the student follows both CTC and teacher.

    A teacher that failed a check, or whose dev WER is above distillation.largest_teacher_wer, is refused.

    Beside its frames (--alpha), a teacher may teach its n best sequences, its features and its spikes: --set
    distillation.sequence_weight=0.5, hint_weight=1, guide_weight=0.5, in any mixture. Where training clips never
    change, --set distillation.cache_teacher=true runs the teacher once per clip. At the end spikes.png beside the
    checkpoint shows how far the student's spikes lie from the teacher's.

    Example: python -m slrbench distill teacher-demo --alpha 0.7 --temperature 3
    """
    from slrbench.errors import BadInputError

    if ablate_kd and log_dir is not None:
        raise BadInputError(
            "--log-dir does not go with --ablate-kd, whose many trainings would be one curve",
            hint="leave one of them out; the ablation writes a report",
        )
    given = [
        f"distillation.{name}={value}"
        for name, value in (("alpha", alpha), ("temperature", temperature))
        if value is not None
    ]
    overrides = options.Overrides(
        data=data,
        seed=seed,
        threads=threads,
        device=device,
        steps=steps,
        learning_rate=learning_rate,
        batch_size=batch_size,
        workers=workers,
        accumulate=accumulate,
        max_frames=max_frames,
        backbone_learning_rate=backbone_lr,
        ema_decay=ema,
        patience=patience,
        gradient_checkpointing=gradient_checkpointing or None,
    )
    config = options.read_config(preset, overrides, [*given, *(set or [])])
    name = teacher or f"teacher-{preset}"
    path = next((p for p in (Path(name), models / name) if p.exists()), None)
    if path is None:
        raise BadInputError(
            f"there is no teacher {name!r}: neither {name} nor {models / name} exists",
            hint=f"python -m slrbench train teacher --preset {preset}",
        )
    job = options.training_job(
        config,
        models=models,
        states=states,
        resume=resume,
        overwrite=overwrite,
        overfit=overfit,
        student_init=init,
        imagenet=imagenet,
        cache=cache,
        log_dir=log_dir,
    )
    if ablate_kd:
        _ablate(job, path, ablate_kd, reports, json=json)
        return
    from slrbench.training.distributed import leave
    from slrbench.workflows.training import train_checkpoint

    with console.Progress() as progress:
        card = train_checkpoint("student", job, teacher=path, progress=progress, say=progress.line)
    leave()
    options.answer(card, models, json=json)


def _ablate(job: "TrainingJob", teacher: Path, seeds: int, reports: Path, *, json: bool) -> None:
    from slrbench.workflows.ablation import ablate_distillation, finding, write_ablation_report
    from slrbench.workflows.bench import report_folder
    from slrbench.workflows.folders import check_writable

    folder = report_folder(reports, "distillation")
    check_writable(folder)
    command = "python -m slrbench " + shlex.join(sys.argv[1:])
    with console.Progress() as progress:
        rows = ablate_distillation(job, teacher=teacher, seeds=range(seeds), progress=progress, say=progress.line)
    path = write_ablation_report(rows, job, teacher=teacher, folder=folder, command=command)
    if json:
        console.print_json({"report": path, "rows": [row.as_dict() for row in rows], "finding": finding(rows)})
    else:
        shown = [row.as_dict() for row in rows]
        console.result(console.table([list(row.values()) for row in shown], list(shown[0])))
        console.result("\n" + finding(rows))
    console.wrote([path, path.with_name("report.md"), path.with_name("report.html")])
