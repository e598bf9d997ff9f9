"""The torchscript runner: a ``.torchscript`` file on the CPU, or on a CUDA device where its trace names no other."""

import warnings
from pathlib import Path
from typing import Any

import torch

from slrbench.errors import BadInputError, UnavailableError
from slrbench.runners.inputs import check_artifact_file, check_input_kind
from slrbench.runners.options import check_options
from slrbench.runners.torch_module import ModuleRunner, set_threads
from slrbench.runners.torch_places import place_of


def open_torchscript(
    path: Path,
    *,
    threads: int,
    device: str = "cpu",
    input_kind: str = "float32",
    precision: str = "fp32",
    variant: str = "",
    expected_sha256: str | None = None,
) -> ModuleRunner:
    """The scripted network.

    Raises:
        BadInputError: the file is missing or damaged, or not the one of ``expected_sha256``; precision or variant are
            not of this backend and device.
        UnavailableError: the file can only run on the device that it was traced on, or the device cannot be used.
    """
    check_options("torchscript", device, precision, variant)
    check_input_kind(input_kind)
    check_artifact_file(path, ".torchscript", expected_sha256=expected_sha256)
    set_threads(threads)
    module = _load(path, "cpu")
    if device != "cpu":
        refuse_bound_to_cpu(module, path, device)
    place = place_of(device, precision)
    if device != "cpu":
        module = _load(path, place.device)  # a frozen module can only be moved while it is loaded
    return ModuleRunner(
        "torchscript", module.eval(), threads=threads, input_kind=input_kind, normalise_here=False, place=place,
        device=device, precision=precision,
    )  # fmt: skip


def refuse_bound_to_cpu(module: Any, path: Path, device: str) -> None:
    """Return where a trace creates no tensor on the CPU by name.

    ``torch.jit.load`` moves weights and constants, but not the devices that a trace holds as constants of its code: an
    LSTM's initial states, zeros made on the device of the tracing, would stay on the CPU and meet weights on the GPU.

    Raises:
        UnavailableError: the trace does.
    """
    graph = module.inlined_graph  # made anew at each look, and its nodes live as long as it does
    users = {
        use.user.kind()
        for node in graph.findAllNodes("prim::Constant")
        if node.output().type().kind() == "DeviceObjType" and node.output().toIValue() == torch.device("cpu")
        for use in node.output().uses()
    }
    if users:
        raise UnavailableError(
            f"{path} was traced on a CPU and cannot run on {device}: its {', '.join(sorted(users))} name the device "
            "that it was traced on, and torch.jit.load moves weights only",
            hint="--backend torch,onnx,trt run this network on a GPU, --device cpu runs this file",
        )


def _load(path: Path, device: torch.device | str) -> Any:
    try:
        with warnings.catch_warnings():
            # All of TorchScript is called deprecated (DeprecationWarning in torch 2.13, FutureWarning in 2.14), with no
            # date for its end.
            warnings.filterwarnings("ignore", message="`torch.jit.load` is")
            return torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadInputError(
            f"{path} is not a TorchScript file, or is cut off: {first}", hint="export the model again"
        ) from error
