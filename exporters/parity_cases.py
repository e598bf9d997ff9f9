"""Parity cases as a file: inputs and the reference's outputs, so that a target machine can judge without torch.

``parity.npz`` holds ``video_<i>``, uint8 ``(B, T, H, W, 3)``, and ``log_probs_<i>``, float32 ``(T', B, C)``, for each
case, and ``about``, a JSON document. Arrays only: nothing in the file is executed when it is read. NumPy only.
"""

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from exporters.artifact import ExporterError, atomic_path
from exporters.comparison import ParityInput

CASES_NAME = "parity.npz"
SCHEMA_VERSION = 1

UNREADABLE = (
    OSError, ValueError, KeyError, TypeError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile,
    zlib.error, struct.error,
)  # fmt: skip
"""What NumPy and zipfile raise at a damaged ``.npz`` file."""

MOST_ARRAY_BYTES = 4 << 30
"""Largest contents of an ``.npz`` file that is read: far above what is written, and no forged size fills the memory."""


class StoredReference:
    """The reference's outputs, looked up: what :func:`exporters.parity.check_parity` takes as its reference."""

    def __init__(
        self, name: str, built_from_sha256: str, inputs: Sequence[ParityInput], outputs: Sequence[NDArray[np.float32]]
    ) -> None:
        """Keep the cases; ``outputs`` go with ``inputs`` one by one."""
        self.name = name
        self.built_from_sha256 = built_from_sha256
        self.inputs = tuple(inputs)
        self._outputs = {id(item.video): output for item, output in zip(inputs, outputs, strict=True)}

    def __call__(self, frames: NDArray[Any]) -> NDArray[np.float32]:
        """The stored output for the very array that is the video of one of ``inputs``."""
        return self._outputs[id(frames)]


def inputs_within(inputs: Sequence[ParityInput], built_with: Mapping[str, Any]) -> tuple[ParityInput, ...]:
    """The inputs whose batch and frames an artifact takes: all of them, but for an engine with a narrower profile."""
    profile = built_with.get("profile", {})

    def fits(item: ParityInput) -> bool:
        return all(
            profile[axis][0] <= size <= profile[axis][-1]
            for axis, size in zip(("batch", "frames"), item.shape, strict=True)
            if axis in profile
        )

    return tuple(item for item in inputs if fits(item))


def write_parity_cases(
    path: Path,
    inputs: Sequence[ParityInput],
    outputs: Sequence[NDArray[np.float32]],
    *,
    reference: str,
    built_from_sha256: str,
) -> None:
    """Write the cases, whole or not at all.

    Args:
        path: usually ``parity.npz`` beside the artifacts.
        inputs: raw frames, uint8.
        outputs: the reference's log-probabilities, one for each input.
        reference: what the reference is, in words.
        built_from_sha256: of the checkpoint's weights.

    Raises:
        OSError: the file cannot be written.
    """
    about = {
        "schema_version": SCHEMA_VERSION,
        "reference": reference,
        "built_from_sha256": built_from_sha256,
        "cases": [{"name": item.name, "source": item.source} for item in inputs],
    }
    arrays: dict[str, NDArray[Any]] = {f"video_{i}": item.video for i, item in enumerate(inputs)}
    arrays |= {f"log_probs_{i}": np.asarray(output, dtype=np.float32) for i, output in enumerate(outputs)}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, about=np.array(json.dumps(about)), **arrays)


def read_parity_cases(path: Path) -> StoredReference:
    """The cases of a file that :func:`write_parity_cases` wrote.

    Raises:
        ExporterError: the file is missing, damaged, or of another schema.
    """
    again = "export the model again, which writes it, and copy it with the artifacts"
    if not path.is_file():
        raise ExporterError(f"there are no parity cases at {path}", hint=again, bad_input=True)
    try:
        with path.open("rb") as file, load_arrays(file) as stored:  # NumPy leaks a damaged file
            about = json.loads(str(stored["about"]))
            if about["schema_version"] != SCHEMA_VERSION:
                raise ExporterError(
                    f"{path} has schema_version {about['schema_version']!r}, expected {SCHEMA_VERSION}",
                    hint=again,
                    bad_input=True,
                )
            inputs = tuple(
                ParityInput(name=case["name"], video=stored[f"video_{i}"], source=case["source"])
                for i, case in enumerate(about["cases"])
            )
            outputs = [stored[f"log_probs_{i}"] for i in range(len(inputs))]
            _check_arrays(inputs, outputs)
            return StoredReference(about["reference"], about["built_from_sha256"], inputs, outputs)
    except UNREADABLE as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ExporterError(f"{path} does not hold parity cases: {first}", hint=again, bad_input=True) from error


def load_arrays(file: IO[bytes]) -> NpzFile:
    """Open an ``.npz`` file whose arrays are known to be as large as they say, before memory is taken for them.

    Raises:
        ValueError: an array says another size than it has, or all are too large; or one of ``UNREADABLE``.
    """
    with zipfile.ZipFile(file) as archive:
        if sum(info.file_size for info in archive.infolist()) > MOST_ARRAY_BYTES:
            raise ValueError(f"its arrays have more than {MOST_ARRAY_BYTES} bytes")
        for info in archive.infolist():
            with archive.open(info) as member:
                old = np.lib.format.read_magic(member) == (1, 0)
                read = np.lib.format.read_array_header_1_0 if old else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(member)
                # NumPy itself refuses objects.
                if not dtype.hasobject and member.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
                    raise ValueError(f"{info.filename} is not an array of {dtype} {shape}")
    file.seek(0)
    loaded: NpzFile = np.load(file, allow_pickle=False)
    return loaded


def _check_arrays(inputs: Sequence[ParityInput], outputs: Sequence[NDArray[np.float32]]) -> None:
    """Raises ValueError where there is nothing, or something that cannot be compared with."""
    if not inputs:
        raise ValueError("there is no case")
    for item, output in zip(inputs, outputs, strict=True):
        video = item.video
        if video.dtype != np.uint8 or video.ndim != 5 or video.shape[-1] != 3 or 0 in video.shape:
            raise ValueError(f"{item.name}: video is {video.dtype} {video.shape}, expected uint8 (B, T, H, W, 3)")
        if output.dtype != np.float32 or output.ndim != 3 or 0 in output.shape or output.shape[1] != len(video):
            raise ValueError(f"{item.name}: outputs are {output.dtype} {output.shape}, expected float32 (T', B, C)")
        if not np.isfinite(output).all():
            raise ValueError(f"{item.name}: the reference's outputs are not finite")
        if item.source not in ("clips", "noise"):
            raise ValueError(f"{item.name}: source is {item.source!r}, expected clips or noise")
