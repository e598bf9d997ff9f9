"""``slrbench train-and-export``: the main job, end to end."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from slrbench.cli import console
from slrbench.cli import training_options as options
from slrbench.cli.common_options import Cache


def command(
    preset: options.Preset = "demo",
    data: options.Data = None,
    init: options.Init = None,
    student_init: options.StudentInit = None,
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
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames of the clips that are timed.")] = 64,
    batch: Annotated[str, typer.Option("--batch", metavar="LIST", help="Batch sizes that are timed.")] = "1",
    wer_clips: Annotated[int, typer.Option("--wer-clips", min=0, help="Test clips for each file's WER.")] = 100,
    ablate_kd: Annotated[
        int, typer.Option("--ablate-kd", metavar="SEEDS", min=0, help="Student with and without distillation.")
    ] = 0,
    overfit: options.Overfit = True,
    models: options.Models = options.MODELS,
    reports: Annotated[Path, typer.Option("--reports", metavar="FOLDER", help="Where the report goes.")] = Path(
        "reports"
    ),
    name: Annotated[str | None, typer.Option("--name", help="Name of the report; the preset's by default.")] = None,
    states: options.States = options.STATES,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Train a teacher, distil a student, export both, prove parity, measure, and say which file to ship.

    Writes verified checkpoints and their artifacts to trained_models, and a report to reports. Exit code 1 where a
    file failed parity; the report is written all the same.

    Example: python -m slrbench train-and-export --preset demo
    """
    from slrbench.errors import BadInputError

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
    config = options.read_config(preset, overrides, set)
    sizes = [text.strip() for text in batch.split(",")]
    if not all(text.isdecimal() and int(text) for text in sizes):
        raise BadInputError(f"--batch {batch!r} is not a list of sizes", hint="--batch 1,8")
    job = options.training_job(
        config,
        models=models,
        states=states,
        resume=resume,
        overwrite=overwrite,
        overfit=overfit,
        init=init,
        student_init=student_init,
        imagenet=imagenet,
        cache=cache,
        log_dir=log_dir,
    )
    from slrbench.measure.environment import default_threads
    from slrbench.reporting.render_markdown import headline
    from slrbench.reporting.tables import lines_of, results_table
    from slrbench.workflows.export import raise_worst
    from slrbench.workflows.train_and_export import TrainAndExportOptions, train_and_export

    with console.Progress() as progress:
        result = train_and_export(
            TrainAndExportOptions(
                job=job,
                reports_folder=reports,
                name=name or preset,
                command="python -m slrbench " + shlex.join(sys.argv[1:]),
                threads=config.threads or default_threads(),
                frames=frames,
                batches=tuple(int(text) for text in sizes),
                wer_clips=wer_clips,
                ablation_seeds=ablate_kd,
            ),
            progress=progress,
            say=progress.line,
        )
    if result is None:  # a process that helped to train
        return
    if json:
        console.print_json({"report": result.report, "manifests": list(result.manifests)})
    else:
        report = result.document
        console.result(results_table(report, lines_of(report.summary)))
        console.result("\n" + headline(report))
    console.wrote(
        [*result.manifests, *(result.report.with_name(f"report.{kind}") for kind in ("json", "md", "html"))],
        next_command="python -m slrbench bench "
        + " ".join(str(job.folder(role)) for role in ("teacher", "student"))
        + " --batch 1,4 --frames 32,64",
    )
    raise_worst(result.errors, console.error)
