"""Trains tiny networks and leaves what they gave in a file: alone, or launched by torchrun as one of several.

In float64: the statistics of so few positions are so badly conditioned that in float32 the order of a sum shows.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from slrbench.data import open_corpus
from slrbench.models.normalisation import FrozenBatchNorm, replace_batch_norm
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.config import DistillationConfig, OptimisationConfig
from slrbench.training.distributed import leave
from slrbench.training.loop import Trainer

CORPUS = open_corpus("fingerspelling:letters=ABCELT,size=32,clips=8")
TEACHER = ModelSpec(architecture="teacher", num_classes=7, width=0.125, lstm_hidden=8, lstm_layers=1, dropout=0.0)
STUDENT = ModelSpec(
    architecture="student", num_classes=7, width_mult=0.25, spatial_stride=16, conv_channels=16, lstm_hidden=8,
    lstm_layers=1, dropout=0.0,
)  # fmt: skip
BASE: dict[str, Any] = {
    "steps": 3, "batch_size": 4, "warmup_steps": 2, "curriculum_steps": 0, "evaluate_every": 2, "dev_clips": 7,
    "learning_rate": 1e-3,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "teacher": {"spec": TEACHER, "config": BASE},
    # Three clips: one process has two, the other one.
    "student": {"spec": STUDENT, "config": {**BASE, "batch_size": 3, "ema_decay": 0.5, "keep_best": True}},
    "distilled": {"spec": STUDENT, "config": BASE, "distilled": True},
    # One clip in each step: the second process has none, and goes along.
    "one clip": {"spec": TEACHER, "config": {**BASE, "batch_size": 1, "steps": 3, "gradient_checkpointing": True}},
    "in parts": {
        "spec": STUDENT,
        "config": {**BASE, "backbone_batch_norm": "frozen", "max_frames": 80},
        "frozen": True,
    },
}


def in_float64(model: Any) -> None:
    plain = type(model)

    class Exact(plain):
        def encode(self, video, lengths):
            return super().encode(video.double(), lengths)

    model.double()
    model.__class__ = Exact


def train(spec: ModelSpec, config: dict[str, Any], *, distilled: bool = False, frozen: bool = False) -> dict[str, Any]:
    torch.manual_seed(1)
    teacher = build_model(TEACHER).eval() if distilled else None
    torch.manual_seed(0)
    model = build_model(spec)
    if frozen:
        replace_batch_norm(model, FrozenBatchNorm)
    in_float64(model)
    trainer = Trainer(
        model,
        CORPUS,
        OptimisationConfig(**config),
        seed=0,
        teacher=teacher,
        distillation=DistillationConfig(frames="symmetric"),
    )
    steps = []
    result = trainer.run(steps.append)
    counts = trainer.dev_error("test", limit=9)
    return {
        "losses": [step.loss for step in steps],
        "ctc": [step.ctc for step in steps],
        "norms": [step.gradient_norm for step in steps],
        "blanks": [step.blank_share for step in steps],
        "wer": [entry["dev_wer"] for entry in result.history],
        "counts": counts.model_dump(),
        "weights": dict(trainer.model.state_dict()),
        "processes": trainer.processes.count,
        "main": trainer.processes.is_main,
    }


if __name__ == "__main__":
    found = {name: train(**case) for name, case in CASES.items()}
    if all(case["main"] for case in found.values()):
        torch.save(found, Path(sys.argv[1]))
    leave()
