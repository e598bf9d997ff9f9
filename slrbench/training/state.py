"""The file that ``--resume`` continues from: written whole or not at all, and refused where it is another run's."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from exporters.artifact import atomic_path
from slrbench.errors import BadInputError

_VERSION = 2


def write_state(path: Path, identity: str, state: Mapping[str, Any]) -> None:
    """Write everything that the next step depends on.

    Raises:
        OSError: the file could not be written.
    """
    # torch.save into a file names a full disk in words of its own; bytes fail as an OSError.
    buffer = io.BytesIO()
    torch.save({**state, "version": _VERSION, "identity": identity}, buffer)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_state(path: Path, identity: str) -> dict[str, Any] | None:
    """What ``write_state`` was given; None where there is no file.

    Raises:
        BadInputError: the state is damaged, or of another configuration, corpus or seed.
    """
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises many kinds for a damaged file, all of them meaning this
        raise BadInputError(
            f"{path} cannot be read: {type(error).__name__}", hint="delete it and train from the start"
        ) from error
    if state.get("version") != _VERSION or state.get("identity") != identity:
        raise BadInputError(
            f"{path} belongs to another run (configuration, corpus or seed differ)",
            hint="give the same options as before, or another output folder",
        )
    return state
