"""The torchscript runner: a ``.torchscript`` file on the CPU."""

import warnings
from pathlib import Path

import torch

from slrbench.errors import BadInputError
from slrbench.runners.inputs import check_artifact_file, check_input_kind
from slrbench.runners.torch_module import ModuleRunner, set_threads


def open_torchscript(
    path: Path, *, threads: int, input_kind: str = "float32", expected_sha256: str | None = None
) -> ModuleRunner:
    """The scripted network.

    Raises:
        BadInputError: the file is missing or damaged, or not the one of ``expected_sha256``.
    """
    check_input_kind(input_kind)
    check_artifact_file(path, ".torchscript", expected_sha256=expected_sha256)
    set_threads(threads)
    try:
        with warnings.catch_warnings():
            # All of TorchScript is called deprecated (DeprecationWarning in torch 2.13, FutureWarning in 2.14), with no
            # date for its end.
            warnings.filterwarnings("ignore", message="`torch.jit.load` is")
            module = torch.jit.load(str(path), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInputError(
            f"{path} is not a TorchScript file, or is cut off: {first}", hint="export the model again"
        ) from error
    return ModuleRunner("torchscript", module.eval(), threads=threads, input_kind=input_kind, normalise_here=False)
