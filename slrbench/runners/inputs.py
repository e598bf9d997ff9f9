"""What every runner asks of its input before it touches a runtime, and of the file that it opens."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.errors import BadInputError

_LAYOUTS = {"float32": "(B, 3, T, H, W)", "uint8": "(B, T, H, W, 3)"}
_CHANNEL_AXIS = {"float32": 1, "uint8": 4}
_DTYPES = {kind: np.dtype(kind) for kind in _LAYOUTS}


def check_input_kind(input_kind: str) -> str:
    """``input_kind`` itself: ``float32`` or ``uint8``.

    Raises:
        BadInputError: it is neither.
    """
    if input_kind not in _LAYOUTS:
        raise BadInputError(f"unknown input {input_kind!r}, expected float32 or uint8", hint="--input float32")
    return input_kind


def check_video(video: NDArray[Any], input_kind: str) -> NDArray[Any]:
    """The video, contiguous and writable, without a copy where it already is.

    Raises:
        BadInputError: dtype or shape is not that of ``input_kind``.
    """
    # In the timed region of every call, right after a network has emptied the caches: what is usual comes first and
    # builds nothing (half of 0.08 ms went into words for errors that did not happen).
    if (
        not isinstance(video, np.ndarray)
        or video.dtype != _DTYPES[input_kind]
        or video.ndim != 5
        or video.shape[_CHANNEL_AXIS[input_kind]] != 3
        or video.size == 0
    ):
        raise _refusal(video, input_kind)
    flags = video.flags
    return video if flags.c_contiguous and flags.writeable else np.require(video, requirements=["C", "W"])


def _refusal(video: object, input_kind: str) -> BadInputError:
    """Why this is no input of that kind."""
    expected = f"{input_kind} video {_LAYOUTS[input_kind]}"
    if not isinstance(video, np.ndarray):
        return BadInputError(f"the input is a {type(video).__name__}, expected a NumPy array: {expected}")
    if video.dtype != _DTYPES[input_kind]:
        other = next((kind for kind, dtype in _DTYPES.items() if video.dtype == dtype), None)
        hint = f"an artifact with {other} input takes it as it is (--input {other})" if other else None
        return BadInputError(f"the input has dtype {video.dtype}, expected {expected}", hint=hint)
    return BadInputError(
        f"the input has shape {video.shape}, expected {expected} with at least one clip, frame and pixel",
        hint="a single clip is a batch of 1: video[None]",
    )


def check_artifact_file(path: Path, suffix: str, *, expected_sha256: str | None = None) -> Path:
    """The file that a runtime opens, known to be there.

    Raises:
        BadInputError: it is missing, is a folder, has another suffix, or is not the file of that hash.
    """
    if not path.exists():
        raise BadInputError(f"there is no file {path}", hint="python -m slrbench export MODEL writes the artifacts")
    if path.is_dir():
        raise BadInputError(f"{path} is a folder, expected a {suffix} file", hint=f"name the {suffix} file in it")
    if path.suffix != suffix:
        raise BadInputError(f"{path} is not a {suffix} file", hint="give the file that belongs to the backend")
    if expected_sha256 is not None and (found := artifact_sha256(path)) != expected_sha256:
        raise BadInputError(
            f"{path} is not the file whose parity was checked: its SHA-256 is {found}, "
            f"the manifest says {expected_sha256}",
            hint="export the model again, which checks parity again",
        )
    return path


def artifact_files(path: Path) -> list[Path]:
    """The files of an artifact, known to be there: OpenVINO's weights lie beside its graph.

    Raises:
        BadInputError: one is missing.
    """
    paths = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    for each in paths:
        if not each.is_file():
            raise BadInputError(
                f"{path} lacks its weights {each.name}", hint="the two files belong together: copy both"
            )
    return paths


def artifact_sha256(path: Path) -> str:
    """The hash of an artifact as manifests hold it: of the file; of its files' hashes joined, for OpenVINO's pair.

    The same rule as ``exporters.artifact.describe_files``, without its dependencies: workers load only their runtime.
    """
    hashes = []
    for each in artifact_files(path):
        with each.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
