"""Presets: everything that determines a training run, as TOML. Loads no torch.

Any field may be set from the command line: ``--set teacher.width=0.5``.
"""

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slrbench.errors import BadInputError
from slrbench.models.spec import ModelSpec

Role = Literal["teacher", "student"]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkConfig(_Config):
    """Dimensions of one network; the number of classes comes from the corpus."""

    width: float = Field(default=1.0, gt=0)
    temporal_stride: Literal[4, 8] = 4
    variant: Literal["small", "large"] = "small"
    width_mult: float = Field(default=1.0, gt=0)
    spatial_stride: Literal[8, 16, 32] = 32
    conv_channels: int = Field(default=512, ge=1)
    lstm_hidden: int = Field(default=512, ge=1)
    lstm_layers: int = Field(default=2, ge=1)
    dropout: float = Field(default=0.3, ge=0, lt=1)

    def spec(self, role: Role, num_classes: int) -> ModelSpec:
        """The network of that role over ``num_classes`` classes (with the blank)."""
        return ModelSpec(architecture=role, num_classes=num_classes, **self.model_dump())


class OptimisationConfig(_Config):
    """How one network is trained."""

    steps: int = Field(default=1000, ge=1, description="optimiser steps")
    batch_size: int = Field(default=16, ge=1, description="clips of a step")
    learning_rate: float = Field(default=2e-3, gt=0, description="peak; linear warm-up, then cosine to zero")
    warmup_steps: int = Field(default=50, ge=0)
    weight_decay: float = Field(default=1e-2, ge=0, description="decoupled (AdamW)")
    clip_norm: float = Field(default=5.0, gt=0, description="gradients are scaled down to this norm")
    auxiliary_weight: float = Field(default=0.5, ge=0, description="lambda, of CTC on the head before the BiLSTM")
    curriculum_steps: int = Field(default=200, ge=0, description="steps until clips of every length are shown")
    first_difficulty: float = Field(default=0.15, gt=0, le=1, description="share of the longest clip at the start")
    evaluate_every: int = Field(default=250, ge=1, description="steps between evaluations on dev")
    dev_clips: int = Field(default=100, ge=0, description="clips of dev in such an evaluation, 0: all of them")
    save_every: int = Field(default=100, ge=1, description="steps between states that --resume continues from")
    accumulate: int = Field(default=1, ge=1, description="parts that a process takes its clips of a step in")
    max_frames: int = Field(default=0, ge=0, description="frames of such a part at most, with padding; 0: any number")
    gradient_checkpointing: bool = Field(
        default=False, description="compute the backbone's activations twice instead of keeping them: less memory"
    )
    backbone_learning_rate: float = Field(
        default=1.0, ge=0, description="of the backbone, as a factor; 0: its weights and statistics stay as they are"
    )
    backbone_batch_norm: Literal["batch", "frozen"] = Field(
        default="batch", description="statistics in the backbone: those of the clips, or those of the initial weights"
    )
    synchronise_batch_norm: bool = Field(
        default=True, description="several processes: statistics over the clips of all, or each over its own"
    )
    ema_decay: float = Field(
        default=0.0, ge=0, lt=1, description="of the average of the weights that is evaluated and saved; 0: none"
    )
    keep_best: bool = Field(default=False, description="end with the weights of the best evaluation on dev")
    patience: int = Field(
        default=0, ge=0, description="evaluations without a better dev WER that end training, with the best weights"
    )
    stop_not_before: int = Field(default=0, ge=0, description="step before which it does not end")

    @property
    def keeps_best(self) -> bool:
        """Whether the best weights are kept, and not the last."""
        return self.keep_best or self.patience > 0


class DistillationConfig(_Config):
    """What a student learns from its teacher beside the glosses: four terms, each off at weight 0.

    loss = (1 - alpha) CTC + lambda CTC(auxiliary) + alpha tau^2 KL(teacher || student)
         + sequence_weight L_sequence + hint_weight L_hint + guide_weight L_guide

    Formulas and sources stand at ``distillation_loss``, ``sequence_loss``, ``hint_loss`` and ``guide_loss``.
    """

    alpha: float = Field(default=0.5, ge=0, le=1, description="weight of the frame-wise term, against CTC")
    temperature: float = Field(default=2.0, gt=0, description="tau")
    frames: Literal["all", "symmetric", "no-blank"] = Field(
        default="all",
        description="all steps; the teacher's non-blank steps and their neighbours; all steps, blank column removed",
    )
    sequence_weight: float = Field(default=0.0, ge=0, description="of CTC on the teacher's n best sequences")
    sequence_nbest: int = Field(default=4, ge=1, description="n, sequences of a clip at most")
    sequence_beam: int = Field(default=10, ge=1, description="width of the beam that finds them")
    hint_weight: float = Field(default=0.0, ge=0, description="of the distance to the teacher's features")
    hint: Literal["cosine", "mse"] = Field(default="cosine", description="which distance")
    guide_weight: float = Field(default=0.0, ge=0, description="of the student's lack at the teacher's spike labels")
    cache_teacher: bool = Field(
        default=False, description="keep the teacher's outputs; for corpora whose training clips never change"
    )
    largest_teacher_wer: float = Field(default=0.3, gt=0, description="a worse teacher (dev) is refused")


class OverfitConfig(_Config):
    """The over-fitting test that a network passes before it is trained."""

    samples: int = Field(default=5, ge=1)
    epochs: int = Field(default=600, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
    warmup_epochs: int = Field(default=50, ge=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)


class RunConfig(_Config):
    """One run of train-and-export."""

    preset: str
    data: str
    seed: int = 0
    threads: int = Field(default=0, ge=0, description="0: every core")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a GPU where torch sees one")
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"
    workers: int = Field(default=0, ge=0, description="processes that read clips and prepare batches; 0: none beside")
    teacher: NetworkConfig = NetworkConfig()
    student: NetworkConfig = NetworkConfig()
    train_teacher: OptimisationConfig = OptimisationConfig()
    train_student: OptimisationConfig = OptimisationConfig()
    distillation: DistillationConfig = DistillationConfig()
    overfit: OverfitConfig = OverfitConfig()

    def network(self, role: Role) -> NetworkConfig:
        """Dimensions of the network of that role."""
        return self.teacher if role == "teacher" else self.student

    def optimisation(self, role: Role) -> OptimisationConfig:
        """How the network of that role is trained."""
        return self.train_teacher if role == "teacher" else self.train_student


def preset_names() -> tuple[str, ...]:
    """Names that ``load_preset`` takes."""
    return tuple(sorted(p.name.removesuffix(".toml") for p in _folder().iterdir() if p.name.endswith(".toml")))


def _folder() -> Any:
    return files("slrbench.training") / "presets"


def load_preset(name: str, settings: Iterable[str] = ()) -> RunConfig:
    """Read a preset and replace fields by ``section.field=value`` texts (``data=...`` for one without a section).

    Raises:
        BadInputError: an unknown preset or field, or a value that does not fit.
    """
    if name not in preset_names():
        raise BadInputError(f"unknown preset {name!r}", hint=f"choose among {', '.join(preset_names())}")
    document = tomllib.loads((_folder() / f"{name}.toml").read_text(encoding="utf-8"))
    document["preset"] = name
    for setting in settings:
        _apply(document, setting)
    try:
        return RunConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInputError(
            f"{where}={first.get('input')!r} does not fit: {first['msg']}",
            hint="python -m slrbench list presets shows every field with its value",
        ) from error


def _apply(document: dict[str, Any], setting: str) -> None:
    path, equals, value = setting.partition("=")
    parts = path.strip().split(".")
    if not equals or not 1 <= len(parts) <= 2:
        raise BadInputError(f"{setting!r} is not field=value or section.field=value", hint="teacher.width=0.5")
    target = document
    if parts[0] not in RunConfig.model_fields:
        raise BadInputError(
            f"unknown section or field {parts[0]!r} in {setting!r}",
            hint=f"there are {', '.join(name for name in RunConfig.model_fields if name != 'preset')}",
        )
    if len(parts) == 2:
        target = document.setdefault(parts[0], {})
        if not isinstance(target, dict):
            raise BadInputError(f"{parts[0]!r} has no fields, in {setting!r}", hint=f"write {parts[0]}=VALUE")
    target[parts[-1]] = value.strip()
