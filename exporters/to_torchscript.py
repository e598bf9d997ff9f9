"""Export to TorchScript: a trace, frozen, with its metadata in the file. Needs torch.

The trace keeps batch and time dynamic only as far as the network computes sizes with tensor operations; the parity
check at other shapes shows whether it does. A trace holds the device it was made on: this file runs on a CPU.

Frozen by default: batch normalisation folds into the convolutions and what ``forward`` does not use (the auxiliary
head) is left out, so the file is smaller, loads in about half the time and runs a little faster. The folding moves
log-probabilities by 1e-6 to 1e-5 on the project's networks, an unfrozen trace by nothing at all; so a network whose
frozen file fails parity is worth a second try without freezing.
"""

import io
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from exporters.artifact import ExporterError, InputKind, atomic_path
from exporters.input_adapter import InputAdapter

METADATA_FILE = "metadata.json"


def torchscript_from_module(
    module: nn.Module,
    path: Path,
    *,
    example_video: Tensor,
    input_kind: InputKind = "float32",
    metadata: Mapping[str, str],
    freeze: bool = True,
) -> dict[str, Any]:
    """Trace ``module`` in evaluation mode and write it to ``path``, whole or not at all.

    Args:
        module: maps float32 ``(B, 3, T, H, W)`` to log-probabilities ``(T', B, C)``, on the CPU.
        path: the ``.torchscript`` file.
        example_video: the video to trace with, of ``input_kind``.
        input_kind: what the file takes; see :mod:`exporters.input_adapter`.
        metadata: what a loader must know (vocabulary, stride, normalisation, checkpoint's hash), stored as JSON in the
            file; :func:`read_metadata` reads it.
        freeze: fold constants and drop what is not used.

    Returns:
        What the file was built with.

    Raises:
        ExporterError: the network is in training mode or cannot be traced.
        OSError: the file cannot be written.
    """
    adapter = InputAdapter(module, input_kind)
    with expected_warnings(), torch.no_grad(), atomic_path(path) as temporary:
        try:
            # The tracer's own check compares at the example's shape, where a frozen axis shows nothing.
            scripted = torch.jit.trace(adapter, (example_video,), check_trace=False)
        except Exception as error:  # whatever the network's own code raises
            raise ExporterError(
                f"the network cannot be traced: {_last_line(error)}", hint="python -m slrbench verify MODEL"
            ) from error
        if freeze:
            scripted = torch.jit.freeze(scripted)
        extra = {METADATA_FILE: json.dumps(dict(metadata), ensure_ascii=False)}
        buffer = io.BytesIO()  # so that a full disk is an OSError, which torch's own writer does not raise
        torch.jit.save(scripted, buffer, _extra_files=extra)
        temporary.write_bytes(buffer.getbuffer())
    return {
        "exporter": "torch.jit.trace",
        "frozen": freeze,
        "device": "cpu",
        "example_shape": list(example_video.shape),
        "torch": torch.__version__,
    }


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata that was stored in a TorchScript file."""
    extra: dict[str, Any] = {METADATA_FILE: ""}
    with expected_warnings():
        torch.jit.load(str(path), map_location="cpu", _extra_files=extra)
    return {str(key): str(value) for key, value in json.loads(extra[METADATA_FILE]).items()}


@contextmanager
def expected_warnings() -> Iterator[None]:
    """Silence what torch is known to say while it traces these networks; everything else is heard."""
    with warnings.catch_warnings():
        # TorchScript is deprecated since torch 2.11, with no date for its end; it remains the only format of torch that
        # runs an LSTM of any length without compiling.
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", FutureWarning)
        warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
        # nn.LSTM checks its input's shape in Python. The check becomes a constant, the computation does not.
        warnings.filterwarnings("ignore", category=TracerWarning, module=r"torch\.nn\.modules\.rnn")
        yield


def _last_line(error: Exception) -> str:
    """The tracer's messages start with a stack; what went wrong stands last."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
