"""The checks that a network must pass before its checkpoint counts as verified.

Shapes: B clips, T frames, T' = ceil(T/stride) output steps, C classes with the blank at index 0; video is
(B, 3, T, H, W) in [-1, 1], log-probabilities are (T', B, C). All inputs are seeded noise: what is checked holds for
every video, so no corpus is needed.
"""

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from slrbench.ctc import check_log_probs, merge_checks, output_length, required_steps
from slrbench.errors import SlrbenchError
from slrbench.models.ctc_head import Recogniser
from slrbench.models.registry import load_weights
from slrbench.models.spec import BLANK
from slrbench.records import CheckResult
from slrbench.training.card import OutputProbe, probe_video
from slrbench.training.network import ctc_loss, evaluation_mode

BLANK_CHECK = "One class for the blank, one per gloss"
RELOAD_CHECK = "Reload gives the same outputs"
TRAINED_CHECK = "Outputs are those of the trained network"
GRADIENT_CHECK = "Gradients reach every parameter"
LOSS_CHECK = "CTC loss is finite"
PADDING_CHECK = "Padding invariance"
LENGTH_CHECK = "T' = ceil(T/stride) for T = 1..64"

PADDING_TOLERANCE = 1e-4
"""Largest difference of a log-probability, alone and padded: other sizes take other kernels, which round otherwise."""

TRAINED_ATOL, TRAINED_RTOL = 1e-3, 1e-3
"""Between machines: other processors, kernels and library versions, at log-probabilities down to about -30."""

LONGEST = 64
_SHAPES = ((2, 32), (1, 13), (3, 1))  # (B, T)
_GRADIENT_FRAMES = (16, 29, 32, 21)  # T of the clips of one step
_GRADIENT_BATCHES = 4
_PADDING_FRAMES = (13, 1, 29)
_SMALL = 16  # pixels: T' does not depend on the frame size, so the longest check takes small frames


def verify_model(
    model: Recogniser,
    *,
    glosses: Sequence[str],
    frame_size: tuple[int, int],
    reload_from: Path | None = None,
    probe: OutputProbe | None = None,
) -> tuple[CheckResult, ...]:
    """Run every check, each whatever the others found; modes, gradients and weights are left as they were.

    Args:
        model: the network, on any device.
        glosses: the classes without the blank.
        frame_size: height and width, pixels.
        reload_from: the weights file that must give the same outputs; the weights are written to a temporary file
            where it is not given.
        probe: outputs that were stored when the network was saved; they are checked like fresh ones, and fresh ones
            must equal them.
    """
    with evaluation_mode(model), torch.random.fork_rng(devices=[]):
        return (
            *check_outputs(model, classes=len(glosses) + 1, frame_size=frame_size, probe=probe),
            check_blank(model, glosses),
            check_reload(model, frame_size, reload_from),
            *([check_trained(model, frame_size, probe)] if probe is not None else []),
            *check_gradients(model, frame_size),
            check_padding(model, frame_size),
            check_lengths(model, frame_size),
        )


def check_outputs(
    model: Recogniser, *, classes: int, frame_size: tuple[int, int], probe: OutputProbe | None = None
) -> tuple[CheckResult, ...]:
    """Shape, sign, normalisation and finiteness of fresh outputs at several shapes, and of stored ones."""
    outputs = [
        (_infer(model, _noise(shape, frame_size, seed)), (output_length(shape[1], model.stride), shape[0], classes))
        for seed, shape in enumerate(_SHAPES)
    ]
    if probe is not None:
        outputs.append((probe.outputs(), (output_length(probe.frames, model.stride), 1, classes)))
    return merge_checks([check_log_probs(values, expected_shape=shape) for values, shape in outputs])


def _noise(shape: tuple[int, int], frame_size: tuple[int, int], seed: int) -> Tensor:
    batch, frames = shape
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((batch, 3, frames, *frame_size), generator=generator) * 2 - 1


def _infer(model: nn.Module, video: Tensor, lengths: Tensor | None = None) -> NDArray[np.float32]:
    device = next(model.parameters()).device
    with torch.no_grad():
        outputs: Tensor = model(video.to(device)) if lengths is None else model(video.to(device), lengths)
    result: NDArray[np.float32] = outputs.float().cpu().numpy()
    return result


def check_blank(model: Recogniser, glosses: Sequence[str]) -> CheckResult:
    """One class for the blank, then one for each gloss."""
    classes = model.spec.num_classes
    passed = BLANK == 0 and classes == len(glosses) + 1 and len(set(glosses)) == len(glosses)
    return CheckResult(
        name=BLANK_CHECK,
        passed=passed,
        figure=f"{classes} classes = blank + {len(glosses)} glosses",
        hint=None
        if passed
        else "class 0 is the blank, and each gloss has one class after it: network and vocabulary do not fit together",
    )


def check_reload(model: Recogniser, frame_size: tuple[int, int], weights: Path | None = None) -> CheckResult:
    """The same outputs bit by bit, on the CPU, where the same network on the same input has no reason to differ.

    ``weights`` are those that were saved; without it the network's own are saved and loaded here.
    """
    original = copy.deepcopy(model).cpu().eval()
    video = torch.from_numpy(probe_video(frame_size))
    try:
        if weights is not None:
            again = load_weights(model.spec, weights)
        else:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "weights.safetensors"
                state = {name: value.contiguous() for name, value in original.state_dict().items()}
                safetensors.torch.save_file(state, path)
                again = load_weights(model.spec, path)
    except SlrbenchError as error:
        return CheckResult(name=RELOAD_CHECK, passed=False, figure="does not load", hint=error.message)
    before, after = _infer(original, video), _infer(again.eval(), video)
    passed = np.array_equal(before, after)
    return CheckResult(
        name=RELOAD_CHECK,
        passed=passed,
        figure=f"max |difference| {_largest_difference(before, after):.2g}",
        hint=None if passed else "the weights and the spec do not rebuild this network: something in it is not saved",
    )


def check_trained(model: Recogniser, frame_size: tuple[int, int], probe: OutputProbe) -> CheckResult:
    """Fresh outputs against those that were stored when the network was saved, perhaps on another machine."""
    stored = probe.outputs()
    video = torch.from_numpy(probe_video(frame_size, frames=probe.frames, seed=probe.seed))
    fresh = _infer(model, video)
    passed = stored.shape == fresh.shape and np.allclose(fresh, stored, atol=TRAINED_ATOL, rtol=TRAINED_RTOL)
    return CheckResult(
        name=TRAINED_CHECK,
        passed=passed,
        figure=f"max |difference| {_largest_difference(fresh, stored):.2g}",
        hint=None
        if passed
        else "the network that was saved computed something else with these weights: its code differed from this one",
    )


def _largest_difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")


def check_gradients(model: Recogniser, frame_size: tuple[int, int]) -> tuple[CheckResult, CheckResult]:
    """One training step on noise, on a copy; further batches for tensors that the first left without a gradient."""
    copied = copy.deepcopy(model).train()
    named = dict(copied.named_parameters())
    waiting = set(named)
    for seed in range(_GRADIENT_BATCHES):
        loss, auxiliary = _training_losses(copied, frame_size, seed)
        if seed == 0:
            first = loss.item(), auxiliary.item()
        copied.zero_grad(set_to_none=True)
        total = loss + auxiliary
        if total.requires_grad:
            total.backward()
        waiting -= {name for name in waiting if _has_gradient(named[name])}
        if not waiting:
            break
    shown = ", ".join(sorted(waiting)[:3]) + (", ..." if len(waiting) > 3 else "")
    finite = all(np.isfinite(value) for value in first)
    return (
        CheckResult(
            name=GRADIENT_CHECK,
            passed=not waiting,
            figure=f"{len(named) - len(waiting)} of {len(named)} tensors",
            hint=f"no finite gradient other than zero: {shown}; look for detach() or a frozen part"
            if waiting
            else None,
        ),
        CheckResult(
            name=LOSS_CHECK,
            passed=finite,
            figure=f"{first[0]:.4g}, auxiliary head {first[1]:.4g}",
            hint=None if finite else "look for NaN in the weights; the clips of this check can all be aligned",
        ),
    )


def _has_gradient(parameter: nn.Parameter) -> bool:
    gradient = parameter.grad
    return gradient is not None and bool(torch.isfinite(gradient).all()) and bool((gradient != 0).any())


def _training_losses(model: Recogniser, frame_size: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    """CTC losses of both heads on a padded batch of noise; the first clip needs every output step that it has."""
    torch.manual_seed(seed)  # dropout
    lengths = torch.tensor(_GRADIENT_FRAMES)
    rng = np.random.default_rng(seed)
    steps = [output_length(frames, model.stride) for frames in _GRADIENT_FRAMES]
    labels = [_draw_labels(rng, model.spec.num_classes, n if i == 0 else max(1, n // 2)) for i, n in enumerate(steps)]
    device = next(model.parameters()).device
    video = _noise((len(steps), max(_GRADIENT_FRAMES)), frame_size, seed).to(device)
    output = model.forward_training(video, lengths)
    targets = torch.tensor([label for row in labels for label in row])
    target_lengths = torch.tensor([len(row) for row in labels])
    return (
        ctc_loss(output.log_probs, output.lengths, targets, target_lengths),
        ctc_loss(output.auxiliary_log_probs, output.lengths, targets, target_lengths),
    )


def _draw_labels(rng: np.random.Generator, classes: int, steps: int) -> list[int]:
    """Random labels, as many as ``steps`` output steps can hold."""
    labels: list[int] = []
    while True:
        longer = [*labels, int(rng.integers(1, classes))]
        if required_steps(longer) > steps:
            return labels
        labels = longer


def check_padding(model: Recogniser, frame_size: tuple[int, int]) -> CheckResult:
    """Clips alone, and padded in a batch with noise after their end, which must not matter."""
    longest = max(_PADDING_FRAMES)
    video = _noise((len(_PADDING_FRAMES), longest), frame_size, seed=7)
    together = _infer(model, video, torch.tensor(_PADDING_FRAMES))
    differences = []
    for row, frames in enumerate(_PADDING_FRAMES):
        alone = _infer(model, video[row : row + 1, :, :frames])
        differences.append(_largest_difference(together[: len(alone), row], alone[:, 0]))
    figure = max(differences, key=lambda value: float("inf") if np.isnan(value) else value)
    passed = figure <= PADDING_TOLERANCE  # False for NaN
    return CheckResult(
        name=PADDING_CHECK,
        passed=passed,
        figure=f"max |difference| {figure:.2g} for T = {', '.join(map(str, _PADDING_FRAMES))}",
        hint=None
        if passed
        else "padded frames reach valid outputs: pack the LSTM, zero what follows a clip, keep it out of batch norm",
    )


def check_lengths(model: Recogniser, frame_size: tuple[int, int]) -> CheckResult:
    """The time axis of the output, and the lengths that training is told, against ceil(T/stride)."""
    small = (min(frame_size[0], _SMALL), min(frame_size[1], _SMALL))
    video = _noise((1, LONGEST), small, seed=11)
    wrong = []
    for frames in range(1, LONGEST + 1):
        found = len(_infer(model, video[:, :, :frames]))
        if found != output_length(frames, model.stride):
            wrong.append(f"T = {frames} gives {found}, not {output_length(frames, model.stride)}")
    with torch.no_grad():
        device = next(model.parameters()).device
        frames_of = torch.tensor(_PADDING_FRAMES)
        padded = _noise((len(_PADDING_FRAMES), max(_PADDING_FRAMES)), small, seed=12).to(device)
        told = model.forward_training(padded, frames_of).lengths.tolist()
    expected = [output_length(frames, model.stride) for frames in _PADDING_FRAMES]
    if told != expected:
        wrong.append(f"training is told {told} steps for T = {list(_PADDING_FRAMES)}, not {expected}")
    return CheckResult(
        name=LENGTH_CHECK,
        passed=not wrong,
        figure=f"stride {model.stride}" if not wrong else "; ".join(wrong[:2]),
        hint=None
        if not wrong
        else "CTC takes a wrong length for a wrong alignment: round up at each halving, as 'same' does",
    )
