"""Verify a file that a person names: a checkpoint by all checks of its network, an artifact through its own runtime.

Shapes: B clips, T frames, T' = ceil(T/stride) output steps, C classes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import MANIFEST_NAME, Artifact, InputKind, ManifestEntry, read_manifest
from exporters.gates import gates_for
from exporters.parity_cases import CASES_NAME
from slrbench.ctc import check_log_probs, merge_checks, output_length
from slrbench.errors import BadInputError, RunFailedError, SlrbenchError
from slrbench.records import CheckResult, Record
from slrbench.runners.inputs import artifact_sha256
from slrbench.runners.open import open_runner
from slrbench.training.card import CARD_NAME, CheckpointCard, locate, read_card
from slrbench.workflows.archive import is_zip, require_checkpoint, unless_unpacked
from slrbench.workflows.stored_parity import StoredJudge, record_verdict, require_runtime

Kind = Literal["checkpoint", "torchscript", "onnx", "openvino", "trt"]
Progress = Callable[[str], None]
Infer = Callable[[NDArray[Any]], NDArray[np.float32]]

WEIGHTS_CHECK = "Weights are those of the card (sha256)"
FILE_CHECK = "File is that of the manifest (sha256)"
SOURCE_CHECK = "Built from this checkpoint"
PARITY_CHECK = "Parity with the checkpoint"
DYNAMIC_CHECK = "Takes any batch and length"
RUNS_CHECK = "Runs on a clip"
ROWS_CHECK = "Rows of a batch do not influence each other"
LENGTH_CHECK = "T' = ceil(T/stride) for T = 1..64"

ROWS_TOLERANCE = 1e-4
"""Largest difference of a log-probability, alone and in a batch, in fp32; other precisions have gates of their own."""

THREADS = 1
"""The checks are many small calls: more threads gain little, and lose much where the cores are shared."""

DEFAULT_SIZE = 64
DEFAULT_FRAMES = 32
_KINDS: dict[str, Kind] = {".torchscript": "torchscript", ".onnx": "onnx", ".xml": "openvino", ".engine": "trt"}
_NO_PROBE = "the card does not say what the trained network gave, so its log_softmax cannot be known: save it again"
_WRONG_FILES = {
    ".bin": "name the .xml file beside it",
    ".pt": "a TorchScript file is named .torchscript; a state dict alone does not say what the network computes",
    ".pth": "a TorchScript file is named .torchscript; a state dict alone does not say what the network computes",
}
_ZIP_HINT = f"an archive of pack ends in .zip; {_WRONG_FILES['.pt']}"


class FileVerdict(Record):
    """Every check of one file."""

    path: str
    kind: Kind
    checks: tuple[CheckResult, ...]
    passed: bool


def verify_path(
    path: Path,
    *,
    size: int | None = None,
    frames: int | None = None,
    input_kind: str | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> FileVerdict:
    """Verify a checkpoint's folder or file, or an artifact, with a manifest beside it or without.

    An artifact that its manifest has no verdict for is judged by the parity cases beside it, where there are any, and
    the verdict goes into the manifest. An engine is judged by these cases alone: other shapes may be out of its
    profile.

    Args:
        path: a folder with checkpoint.json, one of the checkpoint's files, or a .torchscript, .onnx, .xml or .engine
            file.
        size: height and width of the frames, pixels, for an artifact without a card; 64 where it is not given.
        frames: frames of the first clip, for an artifact without a card; 32 where it is not given.
        input_kind: ``float32`` or ``uint8``, for an artifact that is in no manifest.
        again: judge an artifact by the stored cases though its manifest has a verdict; it is replaced.
        progress: told what is being done.

    A file that does not run on the first clip is a failed check, and no error.

    Raises:
        BadInputError: the file is missing, truncated, cannot be read, or is nothing that can be verified.
        UnavailableError: the artifact's runtime is not available here.
    """
    kind = kind_of(path)
    if progress is not None:
        progress(f"verifying {path}")
    if kind == "checkpoint":
        checks = _verify_checkpoint(path)
    else:
        checks = _verify_artifact(
            path, kind, size=size, frames=frames, input_kind=input_kind, again=again, progress=progress
        )
    return FileVerdict(path=str(path), kind=kind, checks=checks, passed=all(check.passed for check in checks))


def kind_of(path: Path) -> Kind:
    """What a path is, by its name.

    Raises:
        BadInputError: it does not exist, or is neither a checkpoint nor an artifact.
    """
    if path.suffix in _KINDS and not path.is_dir():
        if not path.exists():
            hint = unless_unpacked(path.parent, "python -m slrbench export MODEL writes the artifacts")
            raise BadInputError(f"there is no file {path}", hint=hint)
        return _KINDS[path.suffix]
    if path.is_file() and path.suffix in _WRONG_FILES:
        hint = _ZIP_HINT if path.suffix == ".bin" and is_zip(path) else _WRONG_FILES[path.suffix]
        raise BadInputError(f"{path} cannot be verified", hint=hint)
    if path.is_file() and is_zip(path):
        raise BadInputError(f"{path} is a zip file, and none that pack wrote", hint=_ZIP_HINT)
    locate(path)
    return "checkpoint"


def _verify_checkpoint(path: Path) -> tuple[CheckResult, ...]:
    folder = locate(path)[0].parent
    require_checkpoint(folder)
    require_runtime("torch", folder)
    import torch

    from slrbench.models.registry import load_weights
    from slrbench.training.checkpoint import WeightsAlteredError, check_weights_file
    from slrbench.training.verification import TRAINED_CHECK, verify_model

    _, weights = locate(path)
    card = read_card(path)
    try:
        sha256 = check_weights_file(card, weights)
    except WeightsAlteredError as error:
        # What an altered file computes would say nothing about the checkpoint that was measured.
        return (
            CheckResult(
                name=WEIGHTS_CHECK,
                passed=False,
                figure=f"sha256 {error.found}, the card says {error.expected}",
                hint=error.hint,
            ),
        )
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    try:
        checks = verify_model(
            load_weights(card.spec, weights),
            glosses=card.glosses,
            frame_size=card.frame_size,
            reload_from=weights,
            probe=card.probe,
        )
    finally:
        torch.set_num_threads(before)
    if card.probe is None:
        checks = (*checks, CheckResult(name=TRAINED_CHECK, passed=False, figure="none are stored", hint=_NO_PROBE))
    return (CheckResult(name=WEIGHTS_CHECK, passed=True, figure=f"sha256 {sha256[:16]}..."), *checks)


def find_entry(path: Path) -> tuple[ManifestEntry | None, CheckpointCard | None]:
    """The manifest's entry of an artifact, and the card beside it, where there are any.

    Raises:
        BadInputError: the card cannot be read.
        ExporterError: the manifest cannot be read.
    """
    manifest = read_manifest(path.parent)
    entries = manifest.entries if manifest is not None else ()
    entry = next((each for each in entries if each.artifact.path == path.name), None)
    card = read_card(path.parent) if (path.parent / CARD_NAME).exists() else None
    return entry, card


def _verify_artifact(
    path: Path,
    kind: Kind,
    *,
    size: int | None,
    frames: int | None,
    input_kind: str | None,
    again: bool,
    progress: Progress | None,
) -> tuple[CheckResult, ...]:
    entry, card = find_entry(path)
    checks: list[CheckResult] = []
    if entry is not None:
        _refuse_truncated(path, entry.artifact)
        checks.append(_check_file(path, entry.artifact))
        if not checks[0].passed:
            return tuple(checks)
        before = entry
        entry = _judge_where_needed(path.parent, entry, again=again, progress=progress)
        checks += _check_origin(entry, card, path.parent, judged_now=entry is not before)
    elif again or kind == "trt":
        raise BadInputError(
            f"{path} is in no {MANIFEST_NAME}: nothing says what it must compute",
            hint="copy the manifest and the parity cases with it; python -m slrbench pack MODEL packs all of them",
        )
    if kind == "trt":
        return tuple(checks)
    known = card if entry is not None else None
    flavour = entry.artifact.input_kind if entry is not None else cast(InputKind, input_kind or "float32")
    frame_size = known.frame_size if known is not None else (size or DEFAULT_SIZE, size or DEFAULT_SIZE)
    precision = entry.artifact.precision if entry is not None else "fp32"
    rows_tolerance = gates_for(precision).invariance_atol or ROWS_TOLERANCE
    require_runtime(kind, path.parent)
    runner = open_runner(kind, path, threads=THREADS, input_kind=flavour, precision=precision)

    def infer(video: NDArray[Any]) -> NDArray[np.float32]:
        pending = runner.run(runner.stage(video))
        runner.synchronize()
        return runner.fetch(pending)

    try:
        runs = _ArtifactChecks(infer, flavour, frame_size, known, frames or DEFAULT_FRAMES, rows_tolerance)
        return (*runs.run(), *checks)
    finally:
        runner.close()


def _refuse_truncated(path: Path, artifact: Artifact) -> None:
    for file in artifact.files:
        each = path.parent / file.name
        found = each.stat().st_size if each.is_file() else None
        if found is None or found < file.size_bytes:
            what = (
                "is missing" if found is None else f"is truncated: {found} bytes, the manifest says {file.size_bytes}"
            )
            hint = unless_unpacked(path.parent, "copy it again, or export the model again", damaged=True)
            raise BadInputError(f"{each} {what}", hint=hint)


def _check_file(path: Path, artifact: Artifact) -> CheckResult:
    """What the manifest says of parity and origin was said of this very file."""
    found, expected = artifact_sha256(path), artifact.sha256
    if found == expected:
        return CheckResult(name=FILE_CHECK, passed=True, figure=f"sha256 {found[:16]}...")
    return CheckResult(
        name=FILE_CHECK,
        passed=False,
        figure=f"sha256 {found}, the manifest says {expected}",
        hint="the file was altered after its parity was checked: "
        + unless_unpacked(path.parent, "export the model again", damaged=True),
    )


def _judge_where_needed(folder: Path, entry: ManifestEntry, *, again: bool, progress: Progress | None) -> ManifestEntry:
    """The entry with a verdict from the stored cases, where it has none or another one is asked for."""
    require_runtime(entry.artifact.format, folder)
    if not again and (entry.parity_word != "not run" or not (folder / CASES_NAME).is_file()):
        return entry
    return record_verdict(folder, entry, StoredJudge.of(folder).judge(entry, progress=progress))


def _check_origin(
    entry: ManifestEntry, card: CheckpointCard | None, folder: Path, *, judged_now: bool
) -> list[CheckResult]:
    passed, figure = entry.parity_word == "passed", str(entry.parity_word)
    if judged_now and entry.parity is not None:
        figure += f" on {entry.parity.machine}"
        error = entry.parity.max_abs_error
        figure += f", max |error| {error:.2g}" if error is not None else ""
        figure += f": {entry.parity.reasons[0]}" if entry.parity.reasons else ""
    elif passed:
        figure += f", as recorded in {MANIFEST_NAME}"
    checks = [
        CheckResult(
            name=PARITY_CHECK,
            passed=passed,
            figure=figure,
            hint=None if passed else unless_unpacked(folder, "export the model again, which checks parity again"),
        ),
    ]
    if card is not None:
        built_from = entry.artifact.built_from_sha256
        fits = built_from == card.weights_sha256
        checks.append(
            CheckResult(
                name=SOURCE_CHECK,
                passed=fits,
                figure=f"sha256 {built_from[:16]}...",
                hint=None
                if fits
                else unless_unpacked(folder, "the checkpoint is newer than this file: export the model again"),
            )
        )
    return checks


class _ArtifactChecks:
    """The checks that run the file. What is not known of a stranger's file (classes, stride) is not asked of it."""

    def __init__(
        self,
        infer: Infer,
        input_kind: InputKind,
        frame_size: tuple[int, int],
        card: CheckpointCard | None,
        frames: int,
        rows_tolerance: float,
    ) -> None:
        self.rows_tolerance = rows_tolerance
        self.infer, self.input_kind, self.frame_size = infer, input_kind, frame_size
        self.card, self.frames = card, frames
        self.comparable = True  # rows and steps have their axes only where every output is (T', B, C)

    def run(self) -> tuple[CheckResult, ...]:
        """Outputs at several shapes, then what depends on batch and length."""
        first = (1 if self.card is None else 2, self.frames)
        try:
            results = [self._outputs(first, seed=0)]
        except RunFailedError as error:
            return (self._does_not_run(first, error),)
        broken = None
        for seed, shape in enumerate([(1, self.frames + 16), (3, self.frames), (1, 13)], start=1):
            try:
                results.append(self._outputs(shape, seed=seed))
            except SlrbenchError as error:
                broken = f"B = {shape[0]}, T = {shape[1]}: {error.message}"
                break
        dynamic = CheckResult(
            name=DYNAMIC_CHECK,
            passed=broken is None,
            figure=broken or f"{len(results)} shapes",
            hint=None if broken is None else "the exporter froze an axis: export with dynamic batch and time",
        )
        merged = merge_checks(results)
        if broken is not None or not self.comparable:
            return (*merged, dynamic)
        return (*merged, dynamic, self._rows(), *([self._lengths(self.card)] if self.card is not None else []))

    def _does_not_run(self, shape: tuple[int, int], error: RunFailedError) -> CheckResult:
        height, width = self.frame_size
        options = "--size and --frames say what a file without a card takes" if self.card is None else None
        return CheckResult(
            name=RUNS_CHECK,
            passed=False,
            figure=f"B = {shape[0]}, T = {shape[1]}, {height} x {width} pixels: {error.message}",
            hint="; ".join(filter(None, (error.hint, options))) or None,
        )

    def _video(self, shape: tuple[int, int], seed: int) -> NDArray[Any]:
        batch, frames = shape
        rng = np.random.default_rng(seed)
        if self.input_kind == "uint8":
            return rng.integers(0, 256, (batch, frames, *self.frame_size, 3), dtype=np.uint8)
        return (rng.random((batch, 3, frames, *self.frame_size)) * 2 - 1).astype(np.float32)

    def _outputs(self, shape: tuple[int, int], *, seed: int) -> tuple[CheckResult, ...]:
        batch, frames = shape
        expected: tuple[int | None, int, int | None] = (None, batch, None)
        if self.card is not None:
            expected = (output_length(frames, self.card.spec.stride), batch, self.card.spec.num_classes)
        outputs = self.infer(self._video(shape, seed))
        self.comparable = self.comparable and outputs.ndim == 3
        return check_log_probs(outputs, expected_shape=expected)

    def _rows(self) -> CheckResult:
        video = self._video((3, self.frames), seed=9)
        together = self.infer(video)
        alone = [self.infer(video[row : row + 1]) for row in range(len(video))]
        steps, _, classes = together.shape
        figure = float("inf")
        if together.shape[1] == len(video) and all(each.shape == (steps, 1, classes) for each in alone):
            figure = float(np.abs(together - np.concatenate(alone, axis=1)).max())
        passed = figure <= self.rows_tolerance  # False for NaN
        return CheckResult(
            name=ROWS_CHECK,
            passed=passed,
            figure=f"max |difference| {figure:.2g}",
            hint=None
            if passed
            else "the export mixes clips of a batch: a frozen batch axis, or batch norm in training mode",
        )

    def _lengths(self, card: CheckpointCard) -> CheckResult:
        video = self._video((1, 64), seed=11)
        time_axis = 1 if self.input_kind == "uint8" else 2
        wrong = []
        for frames in range(1, 65):
            try:
                found = str(len(self.infer(np.ascontiguousarray(np.take(video, range(frames), axis=time_axis)))))
            except RunFailedError as error:
                found = f"an error ({error.message})"
            if found != str(output_length(frames, card.spec.stride)):
                wrong.append(f"T = {frames} gives {found}, not {output_length(frames, card.spec.stride)}")
        return CheckResult(
            name=LENGTH_CHECK,
            passed=not wrong,
            figure="; ".join(wrong[:2]) or f"stride {card.spec.stride}",
            hint="the time axis was frozen in the export: export the model again" if wrong else None,
        )
