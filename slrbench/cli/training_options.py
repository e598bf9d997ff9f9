"""Options that train, distill and train-and-export share. Loads nothing heavy."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slrbench.cli import console

if TYPE_CHECKING:
    from slrbench.training.card import CheckpointCard
    from slrbench.training.config import RunConfig
    from slrbench.workflows.training import TrainingJob

Preset = Annotated[str, typer.Option("--preset", metavar="NAME", help="smoke, demo or full; see 'list presets'.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="SPEC", help="Corpus: fingerspelling:letters=10,size=48, or phoenix2014:PATH; see 'data'."
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="Seed of weights and clips.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; every core by default.")]
Device = Annotated[
    str | None, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to train; a GPU where torch sees one.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=0, help="Processes that read clips and prepare batches; 0: none beside.")
]
Steps = Annotated[int | None, typer.Option("--steps", min=1, help="Optimiser steps of each network.")]
LearningRate = Annotated[float | None, typer.Option("--learning-rate", "--lr", help="Peak learning rate.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", min=1, help="Clips of a step.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Any field of the preset, for example teacher.width=0.5."),
]
Models = Annotated[Path, typer.Option("--models", metavar="FOLDER", help="Where checkpoints go.")]
States = Annotated[
    Path, typer.Option("--states", metavar="FOLDER", help="Where the state that --resume continues from is kept.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue an interrupted run; what is finished is taken as it is.")
]
Overfit = Annotated[
    bool, typer.Option("--overfit/--no-overfit", help="Whether the network must pass the over-fitting test first.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace a verified checkpoint that was trained with another configuration.")
]
Init = Annotated[
    Path | None,
    typer.Option(
        "--init",
        metavar="FILE.pt",
        help="Weights to start from: of the public PyTorch I3D (Kinetics) for a teacher, of torchvision's MobileNetV3 "
        "(ImageNet) for a student.",
    ),
]
StudentInit = Annotated[
    Path | None,
    typer.Option("--student-init", metavar="FILE.pth", help="The same for the student, where --init is the teacher's."),
]
Accumulate = Annotated[
    int | None, typer.Option("--accumulate", min=1, help="Parts in which a process takes its clips of a step.")
]
MaxFrames = Annotated[
    int | None, typer.Option("--max-frames", min=0, help="Frames of such a part at most, with padding; 0: any number.")
]
BackboneLr = Annotated[
    float | None,
    typer.Option("--backbone-lr", min=0, help="Learning rate of the backbone, as a factor; 0 freezes it."),
]
Ema = Annotated[
    float | None,
    typer.Option("--ema", metavar="DECAY", help="Evaluate and save an average of the weights, for example 0.999."),
]
Patience = Annotated[
    int | None,
    typer.Option("--patience", min=0, help="Stop after so many evaluations without a better dev WER; keep the best."),
]
GradientCheckpointing = Annotated[
    bool, typer.Option("--gradient-checkpointing", help="Less memory for a third more time.")
]
LogDir = Annotated[
    Path | None, typer.Option("--log-dir", metavar="FOLDER", help="Write figures of every step for TensorBoard there.")
]
Imagenet = Annotated[bool, typer.Option("--imagenet", help="For the student: start from ImageNet weights.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

MODELS = Path("trained_models")
STATES = Path("runs")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overrides:
    """Values that were given by flags of their own; None where they were not."""

    data: str | None = None
    seed: int | None = None
    threads: int | None = None
    device: str | None = None
    steps: int | None = None
    learning_rate: float | None = None
    batch_size: int | None = None
    workers: int | None = None
    accumulate: int | None = None
    max_frames: int | None = None
    backbone_learning_rate: float | None = None
    ema_decay: float | None = None
    patience: int | None = None
    gradient_checkpointing: bool | None = None

    def settings(self) -> list[str]:
        """The same as ``--set`` texts."""
        of_run = ("data", "seed", "threads", "device", "workers")
        values = [(name, getattr(self, name)) for name in of_run]
        of_networks = [f.name for f in dataclasses.fields(self) if f.name not in of_run]
        for section in ("train_teacher", "train_student"):
            values += [(f"{section}.{name}", getattr(self, name)) for name in of_networks]
        return [f"{name}={value}" for name, value in values if value is not None]


def read_config(preset: str, overrides: Overrides, settings: list[str] | None) -> "RunConfig":
    """The preset with what the flags say; ``--set`` has the last word.

    Raises:
        BadInputError: an unknown preset, field or corpus, or a value that does not fit.
    """
    from slrbench.data import parse_spec
    from slrbench.training.config import load_preset

    config = load_preset(preset, [*overrides.settings(), *(settings or [])])
    parse_spec(config.data)
    return config


def training_job(
    config: "RunConfig",
    *,
    models: Path,
    states: Path,
    resume: bool,
    overwrite: bool,
    overfit: bool,
    init: Path | None = None,
    student_init: Path | None = None,
    imagenet: bool = False,
    cache: Path | None = None,
    log_dir: Path | None = None,
) -> "TrainingJob":
    """What the workflows train. Loads torch.

    Raises:
        BadInputError: ``init`` or ``student_init`` is not a file, the student would start from two sets of weights, or
            ``cache`` is a file.
    """
    from slrbench.errors import BadInputError

    for path in (init, student_init):
        if path is not None and not path.is_file():
            raise BadInputError(
                f"--init {path} is not a file",
                hint="weights of the public PyTorch I3D for a teacher, of torchvision's MobileNetV3 for a student",
            )
    if imagenet and student_init is not None:
        raise BadInputError("--imagenet and a file are two sets of weights for the student", hint="give one of them")
    if cache is not None and cache.is_file():
        raise BadInputError(f"--cache {cache} is a file", hint="name a folder; it is made where there is none")
    console.info("loading torch")
    from slrbench.workflows.training import TrainingJob

    return TrainingJob(
        config=config,
        models_folder=models,
        states_folder=states,
        resume=resume,
        overwrite=overwrite,
        overfit=overfit,
        init=init,
        student_init=student_init,
        imagenet=imagenet,
        cache=cache,
        log_dir=log_dir,
    )


def answer(card: "CheckpointCard", models: Path, *, json: bool) -> None:
    """Print what training gave, and name the file."""
    from slrbench.training.card import CARD_NAME

    folder = models / card.model_id
    if json:
        console.print_json({"checkpoint": folder / CARD_NAME, "card": card})
    else:
        rows = [
            [name, f"{100 * c.wer:.2f}", c.substitutions, c.deletions, c.insertions, c.reference_words]
            for name, c in card.wer.items()
        ]
        console.result(console.table(rows, ["Split", "WER (%)", "Sub", "Del", "Ins", "Words"]))
    console.wrote([folder / CARD_NAME], next_command=f"python -m slrbench export {folder}")
