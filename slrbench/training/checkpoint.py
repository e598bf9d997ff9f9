"""Saving and loading checkpoints: safetensors weights and their card, in one folder.

A folder holds ``checkpoint.safetensors``, ``checkpoint.json`` (with the weights' SHA-256) and ``CARD.md``. All three
are written in full under temporary names first, then renamed: weights, card, text, in that order. A kill before
the first rename leaves what was there; a kill between the first two leaves weights that the card's hash refuses; and
none leaves a folder that loads as something else.
"""

from contextlib import ExitStack
from pathlib import Path

import safetensors.torch
import torch

from exporters.artifact import atomic_path, sha256_file
from slrbench.errors import BadInputError
from slrbench.models.ctc_head import Recogniser
from slrbench.models.registry import load_weights
from slrbench.training.card import (
    CARD_NAME,
    CARD_TEXT_NAME,
    WEIGHTS_NAME,
    CheckpointCard,
    OutputProbe,
    locate,
    probe_video,
    read_card,
    render_card,
)


def save_checkpoint(folder: Path, model: Recogniser, card: CheckpointCard) -> Path:
    """Write weights, card and text; returns the path of ``checkpoint.json``.

    The hash and size of the weights and the output probe are filled into the card here; the rest is the caller's.

    Raises:
        OSError: the folder cannot be written, or the disk is full; a checkpoint that was there is still there.
    """
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    probe = OutputProbe.of(probe_outputs(model, card.frame_size).numpy())
    with ExitStack() as stack:  # leaves in reverse order: the first to be entered is renamed last
        text_path = stack.enter_context(atomic_path(folder / CARD_TEXT_NAME))
        card_path = stack.enter_context(atomic_path(folder / CARD_NAME))
        weights_path = stack.enter_context(atomic_path(folder / WEIGHTS_NAME))
        safetensors.torch.save_file(weights, weights_path)
        full = card.model_copy(
            update={
                "weights_sha256": sha256_file(weights_path),
                "weights_bytes": weights_path.stat().st_size,
                "probe": probe,
            }
        )
        card_path.write_text(full.model_dump_json(indent=2) + "\n", encoding="utf-8")
        text_path.write_text(render_card(full), encoding="utf-8")
    return folder / CARD_NAME


def update_card(folder: Path, card: CheckpointCard) -> Path:
    """Replace the card and its text, the weights untouched; returns the path of ``checkpoint.json``.

    Raises:
        BadInputError: ``card`` is not of the weights in ``folder``.
        OSError: the folder cannot be written, or the disk is full.
    """
    check_weights_file(card, folder / WEIGHTS_NAME)
    with ExitStack() as stack:
        text_path = stack.enter_context(atomic_path(folder / CARD_TEXT_NAME))
        card_path = stack.enter_context(atomic_path(folder / CARD_NAME))
        card_path.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
        text_path.write_text(render_card(card), encoding="utf-8")
    return folder / CARD_NAME


def load_checkpoint(path: Path) -> tuple[Recogniser, CheckpointCard]:
    """The network, in evaluation mode on the CPU, and its card, from a folder or one of the two files.

    Raises:
        BadInputError: a file is missing or damaged, or the weights are not those of the card.
    """
    _, weights_path = locate(path)
    card = read_card(path)
    check_weights_file(card, weights_path)
    return load_weights(card.spec, weights_path).eval(), card


def check_weights_file(card: CheckpointCard, weights_path: Path) -> str:
    """The SHA-256 of the weights file, where it is the card's.

    Raises:
        BadInputError: the file is missing, shorter or longer than the card says, or of another hash.
    """
    if not weights_path.is_file():
        raise BadInputError(
            f"{weights_path.parent} holds no {WEIGHTS_NAME}",
            hint="the card is there without its weights: copy them again, or train again",
        )
    size = weights_path.stat().st_size
    if size != card.weights_bytes:
        what = "truncated" if size < card.weights_bytes else "another file"
        raise BadInputError(
            f"{weights_path} has {size} bytes, the card says {card.weights_bytes}: it is {what}",
            hint="copy it again from where it was trained, or train again",
        )
    found = sha256_file(weights_path)
    if found != card.weights_sha256:
        raise WeightsAlteredError(weights_path, found, card.weights_sha256)
    return found


class WeightsAlteredError(BadInputError):
    """The weights file has the right size and another content."""

    def __init__(self, path: Path, found: str, expected: str) -> None:
        """Name both hashes."""
        super().__init__(
            f"{path} is not the file that was checked: its SHA-256 is {found}, the card says {expected}",
            hint="it was altered, or a save was interrupted: copy it again from where it was trained, or train again",
        )
        self.found = found
        self.expected = expected


def probe_outputs(model: Recogniser, frame_size: tuple[int, int]) -> torch.Tensor:
    """What the module gives for the fixed noise clip in evaluation mode, ``(T', 1, C)``, on the CPU.

    The module is left in the mode it was in.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            outputs: torch.Tensor = model(torch.from_numpy(probe_video(frame_size)).to(device))
            return outputs.float().cpu()
    finally:
        model.train(was_training)
