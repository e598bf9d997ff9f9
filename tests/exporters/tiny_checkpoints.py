"""Tiny networks as checkpoints: random weights, and batch statistics of real clips."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from slrbench.data import open_corpus
from slrbench.data.batching import normalise
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.card import CheckpointCard
from slrbench.training.checkpoint import save_checkpoint

CORPUS = "fingerspelling:language=ase,letters=8,size=32"
SPECS: dict[str, dict[str, Any]] = {
    "teacher": {"width": 0.125},
    "student": {"width_mult": 0.25, "conv_channels": 32},
}


def make_checkpoints(parent: Path) -> dict[str, Path]:
    """A teacher and a student in folders of their own below ``parent``.

    Without the statistics a random MobileNetV3 gives the same outputs for every input, and everything equals it.
    """
    corpus = open_corpus(CORPUS)
    split = corpus.split("dev")
    length = min(len(split[index].frames) for index in range(3))
    video = torch.from_numpy(normalise(np.stack([split[index].frames[:length] for index in range(3)])))
    folders = {}
    for name, dimensions in SPECS.items():
        torch.manual_seed(0)
        spec = ModelSpec(architecture=name, num_classes=corpus.vocabulary.num_classes, lstm_hidden=16, **dimensions)
        model = build_model(spec).train()
        with torch.no_grad():
            for _ in range(8):
                model(video)
            for parameter in model.head.parameters():
                parameter.mul_(2.0)  # margins of a trained network rather than of a random one
        card = CheckpointCard(
            model_id=f"tiny-{name}",
            spec=spec,
            glosses=corpus.vocabulary.glosses,
            data=corpus.spec,
            data_fingerprint=corpus.fingerprint(),
            frames_per_second=corpus.frames_per_second,
            frame_size=corpus.frame_size,
            parameters=sum(p.numel() for p in model.parameters()),
        )
        folders[name] = parent / name / card.model_id
        save_checkpoint(folders[name], model.eval(), card)
    return folders
