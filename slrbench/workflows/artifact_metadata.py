"""What is written into every artifact for whoever loads it, and what the files are called."""

import json

from exporters.artifact import InputKind, Precision
from slrbench.models.spec import BLANK
from slrbench.training.card import CheckpointCard


def metadata_of(card: CheckpointCard, kind: InputKind, precision: Precision = "fp32") -> dict[str, str]:
    """What a loader of an artifact must know, as text; stored in every file."""
    return {
        "model_id": card.model_id,
        "architecture": card.spec.architecture,
        "vocabulary": json.dumps(card.glosses, ensure_ascii=False),  # class i + 1
        "blank": str(BLANK),
        "stride": str(card.spec.stride),
        "normalisation": card.normalisation,
        "normalised_in_graph": "true" if kind == "uint8" else "false",
        "input_kind": kind,
        "precision": precision,
        "frame_size": json.dumps(card.frame_size),  # height, width
        "frames_per_second": f"{card.frames_per_second:g}",
        "checkpoint_sha256": card.weights_sha256,
    }


def file_name(extension: str, kind: InputKind, precision: str = "fp32") -> str:
    """``model.onnx``, ``model.uint8.onnx``, ``model.fp16.onnx`` or ``model.uint8.fp16.onnx``."""
    parts = ["model", *([] if kind == "float32" else [kind]), *([] if precision == "fp32" else [precision]), extension]
    return ".".join(parts)
