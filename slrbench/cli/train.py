"""``slrbench train``: train a teacher or a student with CTC into a verified checkpoint."""

from typing import Annotated

import typer

from slrbench.cli import console
from slrbench.cli import training_options as options
from slrbench.cli.common_options import Cache


def command(
    role: Annotated[str, typer.Argument(metavar="teacher|student", help="Which network.")],
    preset: options.Preset = "demo",
    data: options.Data = None,
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
    overfit: options.Overfit = True,
    models: options.Models = options.MODELS,
    states: options.States = options.STATES,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
) -> None:
    """Train one network with CTC: over-fitting test, training, WER on every split, controls, checks, checkpoint.

    Example: python -m slrbench train teacher --preset demo --set teacher.width=0.5
    """
    from slrbench.errors import BadInputError

    if role not in ("teacher", "student"):
        raise BadInputError(f"unknown network {role!r}", hint="python -m slrbench train teacher, or student")
    if imagenet and role != "student":
        raise BadInputError("--imagenet is for the student", hint="the teacher starts from --init FILE.pt (Kinetics)")
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
    job = options.training_job(
        config,
        models=models,
        states=states,
        resume=resume,
        overwrite=overwrite,
        overfit=overfit,
        init=init if role == "teacher" else None,
        student_init=init if role == "student" else None,
        imagenet=imagenet,
        cache=cache,
        log_dir=log_dir,
    )
    from slrbench.training.distributed import leave
    from slrbench.workflows.training import train_checkpoint

    with console.Progress() as progress:
        card = train_checkpoint(
            "teacher" if role == "teacher" else "student", job, progress=progress, say=progress.line
        )
    leave()
    options.answer(card, models, json=json)
