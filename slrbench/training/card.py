"""The card of a checkpoint: ``checkpoint.json`` for programs and ``CARD.md`` for people. Loads no torch.

checkpoint.json, format history
    1: first version.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from slrbench.errors import BadInputError
from slrbench.models.spec import ModelSpec
from slrbench.records import CheckResult, ErrorCounts, Record

CARD_SCHEMA_VERSION = 1
CARD_NAME = "checkpoint.json"
WEIGHTS_NAME = "checkpoint.safetensors"
CARD_TEXT_NAME = "CARD.md"
NORMALISATION = "x/127.5-1"

_SHOWN_GLOSSES = 60  # more than these are counted in CARD.md

PROBE_FRAMES = 8
PROBE_SEED = 20240229


class OutputProbe(Record):
    """What the module itself gave for a fixed noise clip when it was saved.

    The weights alone do not say what the trained module did with them: one without log_softmax has the same weights.
    ``slrbench verify`` checks these outputs, and that the reloaded network gives the same on this machine.
    """

    frames: int = PROBE_FRAMES
    seed: int = PROBE_SEED
    log_probs: tuple[tuple[float | str, ...], ...] = Field(
        description="(T', C), as the module gave them; NaN and infinities are words, for JSON has no number for them"
    )

    def outputs(self) -> NDArray[np.float32]:
        """The stored outputs, ``(T', 1, C)``."""
        rows = [[float(value) for value in row] for row in self.log_probs]
        return np.array(rows, dtype=np.float32)[:, None, :]

    @classmethod
    def of(cls, outputs: NDArray[Any]) -> "OutputProbe":
        """Keep ``outputs``, ``(T', 1, C)``; a float32 survives the way through JSON bit by bit."""
        flat = np.asarray(outputs, dtype=np.float32).reshape(-1, outputs.shape[-1])
        rows = tuple(tuple(float(v) if np.isfinite(v) else str(v) for v in row) for row in flat)
        return cls(log_probs=rows)


def probe_video(
    frame_size: tuple[int, int], *, frames: int = PROBE_FRAMES, seed: int = PROBE_SEED
) -> NDArray[np.float32]:
    """The noise clip of the probe: uniform in [-1, 1], ``(1, 3, T, H, W)``, the same on every machine."""
    height, width = frame_size
    # PCG64 and its 53-bit doubles are kept stable by NumPy's compatibility policy (NEP 19).
    generator = np.random.Generator(np.random.PCG64(seed))
    return (generator.random((1, 3, frames, height, width)) * 2.0 - 1.0).astype(np.float32)


class CheckpointCard(Record):
    """Everything about a checkpoint but its weights: checkpoint.json."""

    schema_version: int = CARD_SCHEMA_VERSION
    model_id: str
    spec: ModelSpec
    glosses: tuple[str, ...] = Field(description="class i + 1 is glosses[i]; class 0 is the CTC blank")
    data: str = Field(description="corpus spec, as --data takes it")
    data_fingerprint: str = Field(description="SHA-256 over everything that determines the clips")
    frames_per_second: float = Field(gt=0.0, description="Hz")
    frame_size: tuple[int, int] = Field(description="height, width, pixels")
    normalisation: str = Field(default=NORMALISATION, description="from bytes x to the network's input")
    weights_sha256: str = Field(default="", description="of checkpoint.safetensors; save_checkpoint fills it in")
    weights_bytes: int = Field(default=0, description="size of checkpoint.safetensors; save_checkpoint fills it in")
    parameters: int = Field(description="trainable values, the auxiliary head's among them")
    trained_with: dict[str, Any] = Field(
        default_factory=dict, description="seed, preset, steps, seconds, versions, git revision, teacher's sha256"
    )
    wer: dict[str, ErrorCounts] = Field(default_factory=dict, description="split to its error counts")
    controls: dict[str, float] = Field(default_factory=dict, description="control run to its WER, a share")
    overfit: dict[str, Any] | None = Field(default=None, description="the over-fitting test of the same network")
    verification: tuple[CheckResult, ...] = ()
    probe: OutputProbe | None = Field(default=None, description="save_checkpoint fills it in")

    @property
    def role(self) -> str:
        """``teacher`` or ``student``."""
        return self.spec.architecture

    @property
    def checks_passed(self) -> bool | None:
        """Whether every check of the last verification passed; None where there was none."""
        return all(check.passed for check in self.verification) if self.verification else None


def locate(path: Path) -> tuple[Path, Path]:
    """Card and weights of a checkpoint given by its folder, its ``checkpoint.json`` or its ``checkpoint.safetensors``.

    Raises:
        BadInputError: the path does not exist, or is neither of these.
    """
    if not path.exists():
        raise BadInputError(
            f"there is no checkpoint at {path}", hint="python -m slrbench list models shows the checkpoints"
        )
    if path.is_dir():
        folder = path
    elif path.name in (CARD_NAME, WEIGHTS_NAME):
        folder = path.parent
    else:
        raise BadInputError(
            f"{path} is not a checkpoint", hint=f"give a folder with {CARD_NAME} and {WEIGHTS_NAME}, or one of them"
        )
    return folder / CARD_NAME, folder / WEIGHTS_NAME


def read_card(path: Path) -> CheckpointCard:
    """The card of a checkpoint given by its folder, its ``checkpoint.json`` or its ``checkpoint.safetensors``.

    Raises:
        BadInputError: there is no card, it is not a card, or it is of another schema version.
    """
    card_path, _ = locate(path)
    if not card_path.is_file():
        raise BadInputError(
            f"{card_path.parent} holds no {CARD_NAME}",
            hint="weights without their card cannot be used: take both from where they were trained",
        )
    try:
        document = json.loads(card_path.read_text(encoding="utf-8"))
    except ValueError as error:  # json.JSONDecodeError and UnicodeDecodeError
        raise BadInputError(
            f"{card_path} is not JSON: {error}", hint="the file is damaged: copy it again, or train again"
        ) from error
    found = document.get("schema_version") if isinstance(document, dict) else None
    if found != CARD_SCHEMA_VERSION:
        raise BadInputError(
            f"{card_path} has schema_version {found!r}, expected {CARD_SCHEMA_VERSION}",
            hint="it was written by another version of slrbench: use that one, or train again",
        )
    try:
        return CheckpointCard.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise BadInputError(
            f"{card_path} is not a checkpoint card: {field}: {first['msg']} ({error.error_count()} fault(s))",
            hint="the file is damaged or was edited: copy it again, or train again",
        ) from error


def render_card(card: CheckpointCard) -> str:
    """``CARD.md``: the card for people, as Markdown."""
    height, width = card.frame_size
    network = "I3D (Inflated 3-D Inception-v1)" if card.role == "teacher" else f"MobileNetV3-{card.spec.variant}"
    lines = [
        f"# {card.model_id}",
        "",
        f"A {card.role} network for continuous recognition with CTC: {network}, a bidirectional LSTM of "
        f"{card.spec.lstm_layers} layers of {card.spec.lstm_hidden} units per direction, and log_softmax over "
        f"{card.spec.num_classes} classes (class 0 is the CTC blank). {card.parameters:,} parameters.",
        "",
        f"- Input: video at {card.frames_per_second:g} frames per second, {height} x {width} pixels, RGB, "
        f"`{card.normalisation}`, float32 `(B, 3, T, H, W)`",
        f"- Output: natural log-probabilities `(T', B, C)`, one step for {card.spec.stride} frames",
        f"- Glosses: {_glosses(card.glosses)}",
        f"- Weights: `{WEIGHTS_NAME}`, {card.weights_bytes / 1e6:.2f} MB, SHA-256 `{card.weights_sha256}`",
        "",
        "## Data",
        "",
        f"`{card.data}` (fingerprint `{card.data_fingerprint[:16]}`)",
        "",
        "## Word error rate",
        "",
        *_wer_table(card.wer),
        "",
        *_controls(card.controls),
        "## Training",
        "",
        *[f"- {key}: {_plain(value)}" for key, value in card.trained_with.items()],
        *([f"- over-fitting test: {_plain(card.overfit)}"] if card.overfit else []),
        "",
        "## Checks",
        "",
        *(_check_lines(card.verification) or ["Not verified."]),
        "",
        "## Use",
        "",
        "```",
        f"python -m slrbench verify trained_models/{card.model_id}",
        f"python -m slrbench evaluate trained_models/{card.model_id} --split test",
        f"python -m slrbench export trained_models/{card.model_id}",
        f"python -m slrbench bench {card.model_id}",
        "```",
        "",
        "## Limits",
        "",
        *_limits(card.data),
    ]
    return "\n".join(lines) + "\n"


def _wer_table(wer: dict[str, ErrorCounts]) -> list[str]:
    if not wer:
        return ["Not measured."]
    rows = [
        f"| {split} | {counts.wer:.2%} | {counts.substitutions} | {counts.deletions} | {counts.insertions} "
        f"| {counts.reference_words} |"
        for split, counts in wer.items()
    ]
    return [
        "Greedy decoding, unit costs, (S + D + I) / N over all clips of a split.",
        "",
        "| split | WER | substitutions | deletions | insertions | reference words |",
        "|---|---:|---:|---:|---:|---:|",
        *rows,
    ]


def _controls(controls: dict[str, float]) -> list[str]:
    if not controls:
        return []
    return [
        "Control runs (a network that really looks at the video must fail here):",
        "",
        *[f"- {name}: {wer:.2%} WER" for name, wer in controls.items()],
        "",
    ]


def _glosses(glosses: Sequence[str]) -> str:
    if len(glosses) <= _SHOWN_GLOSSES:
        return " ".join(glosses)
    return f"{len(glosses)}, from {glosses[0]} to {glosses[-1]}; `{CARD_NAME}` names all"


def _check_lines(checks: Sequence[CheckResult]) -> list[str]:
    return [f"- {'✓ PASS' if check.passed else '✗ FAIL'} - {check.name} ({check.figure})" for check in checks]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _limits(data: str) -> list[str]:
    general = [
        "- The error rates above hold for the data named above and for nothing else.",
        "- Do not use it where a wrong word can hurt somebody.",
    ]
    if not data.startswith("fingerspelling"):
        return general
    return [
        "- The data is fingerspelling, rendered as hand skeletons from few recordings of few signers: one recording of "
        "each letter of each alphabet, varied by scale, rotation, position, tempo and noise.",
        "- So this is not the accuracy of sign language recognition, and not to be compared with PHOENIX or CSL-Daily: "
        "signs, grammar, faces, real cameras and real transitions between letters are not in it.",
        "- What it can show: that training, distillation, export and measuring work, and what each costs.",
        *general,
    ]
