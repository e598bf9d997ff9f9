"""The torchscript runner: a ``.torchscript`` file on the CPU, or on CUDA, to which it is moved while it is loaded."""

import warnings
from pathlib import Path
from typing import Any

import torch

from slrbench.errors import BadInputError
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
        UnavailableError: torch cannot use the device.
    """
    check_options("torchscript", device, precision, variant)
    check_input_kind(input_kind)
    check_artifact_file(path, ".torchscript", expected_sha256=expected_sha256)
    set_threads(threads)
    place = place_of(device, precision)
    module = _load(path, place.device)  # a frozen module can only be moved while it is loaded
    moved = 0 if device == "cpu" else move_device_constants(module, place.device)
    runner = ModuleRunner(
        "torchscript", module.eval(), threads=threads, input_kind=input_kind, normalise_here=False, place=place,
        device=device, precision=precision,
    )  # fmt: skip
    if device != "cpu":
        runner.actual["device_constants_moved"] = moved
    return runner


def move_device_constants(module: Any, device: torch.device) -> int:
    """Rewrite the devices that a trace names in its code, such as that of an LSTM's first state; how many there were.

    ``torch.jit.load`` moves weights and the tensors of a frozen graph, and leaves these: zeros made on the CPU would
    meet weights on the GPU. To be called before the first run, since the executor keeps its own copy of the graph.
    """
    moved = 0
    for each in module.modules():
        try:
            graph = each.graph
        except (AttributeError, RuntimeError):  # a part that the trace never called has no code
            continue
        for node in graph.findAllNodes("prim::Constant"):
            if node.output().type().kind() == "DeviceObjType" and "value" in node.attributeNames():
                node.s_("value", str(device))
                moved += 1
    return moved


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
