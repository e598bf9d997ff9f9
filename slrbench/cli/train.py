"""``slrbench train``: train a teacher or a student with CTC into a verified checkpoint."""

from typing import Annotated

import typer

from slrbench.cli import console
from slrbench.cli import training_options as options


def command(
    role: Annotated[str, typer.Argument(metavar="teacher|student", help="Which network.")],
    preset: options.Preset = "demo",
    data: options.Data = None,
    init: options.Init = None,
    imagenet: options.Imagenet = False,
    steps: options.Steps = None,
    learning_rate: options.LearningRate = None,
    batch_size: options.BatchSize = None,
    seed: options.Seed = None,
    threads: options.Threads = None,
    device: options.Device = None,
    cache: options.Cache = None,
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
    if (init is not None and role != "teacher") or (imagenet and role != "student"):
        raise BadInputError(
            "--init is for the teacher (Kinetics), --imagenet for the student", hint="leave out the one that is not"
        )
    overrides = options.Overrides(
        data=data,
        seed=seed,
        threads=threads,
        device=device,
        steps=steps,
        learning_rate=learning_rate,
        batch_size=batch_size,
        workers=workers,
    )
    config = options.read_config(preset, overrides, set)
    job = options.training_job(
        config,
        models=models,
        states=states,
        resume=resume,
        overwrite=overwrite,
        overfit=overfit,
        init=init,
        imagenet=imagenet,
        cache=cache,
    )
    from slrbench.workflows.training import train_checkpoint

    with console.Progress() as progress:
        card = train_checkpoint(
            "teacher" if role == "teacher" else "student", job, progress=progress, say=progress.line
        )
    options.answer(card, models, json=json)
