"""Export to ONNX: one file, dynamic batch and time, real LSTM nodes, metadata. Needs torch, onnx and onnxscript.

Two exporters of torch can write these networks, measured with torch 2.14 on the project's teacher and student:

- ``torchscript``: the exporter by tracing, opset 17. 0.2 to 0.6 s a model on one core, right at every shape tried.
  Called legacy by torch, still maintained.
- ``dynamo``: by ``torch.export``, opset 20. 7 to 9 s a model, right at every shape tried, equally fast in ONNX Runtime.
  It needs torch's private patch that keeps an LSTM a loop while it is captured: without it the time axis freezes or the
  export fails, depending on the version (pytorch#191855).

So ``torchscript`` comes first and ``dynamo`` is what to try where it fails. Neither is trusted: parity at other shapes
is.
"""

import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import onnx
import torch
from torch import Tensor, nn

from exporters.artifact import ExporterError, InputKind, atomic_path
from exporters.input_adapter import BATCH_AXIS, TIME_AXIS, InputAdapter
from exporters.input_names import INPUT_NAME, OUTPUT_NAME
from exporters.to_torchscript import expected_warnings

OnnxExporter = Literal["torchscript", "dynamo"]
OPSET: dict[OnnxExporter, int] = {"torchscript": 17, "dynamo": 20}


def onnx_from_module(
    module: nn.Module,
    path: Path,
    *,
    example_video: Tensor,
    input_kind: InputKind = "float32",
    metadata: Mapping[str, str],
    exporter: OnnxExporter = "torchscript",
    patch_lstm: bool = True,
    cast_first: bool = False,
    convert_to_opset: int | None = None,
) -> dict[str, Any]:
    """Export ``module`` in evaluation mode to ``path``, whole or not at all.

    Args:
        module: maps float32 ``(B, 3, T, H, W)`` to log-probabilities ``(T', B, C)``, on the CPU.
        path: the ``.onnx`` file; weights are inside.
        example_video: the video to capture with, of ``input_kind``; B of 2 or more.
        input_kind: what the file takes; see :mod:`exporters.input_adapter`.
        metadata: what a loader must know, stored as ``metadata_props``.
        exporter: which of torch's exporters writes the graph.
        patch_lstm: for ``dynamo``, keep LSTMs loops while they are captured; without it the time axis does not survive.

        cast_first: for ``uint8``, cast before everything else; see :class:`exporters.input_adapter.InputAdapter`.
        convert_to_opset: convert the graph to this opset: bf16 convolutions are allowed from 22 on.

    Returns:
        What the file was built with: exporter, opset, versions, count of LSTM nodes.

    Raises:
        ExporterError: the network cannot be captured, the graph does not pass the checker, or its LSTMs were taken
            apart.
        OSError: the file cannot be written.
    """
    adapter = InputAdapter(module, input_kind, cast_first=cast_first)
    with atomic_path(path) as temporary:
        export = _export_by_tracing if exporter == "torchscript" else _export_by_dynamo
        try:
            # Where it fails, the exporter by tracing prints its whole graph to stdout.
            with torch.no_grad(), _expected_onnx_warnings(), _lstm_patch(exporter, patch_lstm), _no_stdout():
                export(adapter, temporary, example_video, input_kind)
        except (ExporterError, OSError, MemoryError):
            raise
        except Exception as error:  # the exporters' passes raise whatever they stumble over
            raise ExporterError(
                f"torch's {exporter} exporter failed: {_summary(error)}", hint="--exporter auto tries the other one"
            ) from error
        graph = onnx.load(temporary)
        if convert_to_opset is not None:
            graph = onnx.version_converter.convert_version(graph, convert_to_opset)
        make_pool_pads_explicit(graph)
        _tidy(graph, metadata)
        onnx.save(graph, temporary)
        check_graph(temporary)
        found, expected = count_nodes(graph, "LSTM"), _count_lstm_layers(module)
        if found != expected:
            raise ExporterError(
                f"the graph has {found} LSTM nodes where the network has {expected} LSTM layers: they were taken apart",
                hint="--exporter torchscript keeps them",
            )
    return {
        "exporter": exporter,
        "opset": convert_to_opset or OPSET[exporter],
        "ir_version": graph.ir_version,
        "lstm_nodes": found,
        "nodes": len(graph.graph.node),
        "example_shape": list(example_video.shape),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        **({"onnxscript": version("onnxscript")} if exporter == "dynamo" else {}),
    }


def _export_by_tracing(adapter: nn.Module, path: Path, example: Tensor, input_kind: InputKind) -> None:
    torch.onnx.export(
        adapter,
        (example,),
        str(path),
        dynamo=False,
        opset_version=OPSET["torchscript"],
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
        dynamic_axes={
            INPUT_NAME: {BATCH_AXIS: "batch", TIME_AXIS[input_kind]: "time"},
            OUTPUT_NAME: {0: "steps", 1: "batch"},
        },
    )


def _export_by_dynamo(adapter: nn.Module, path: Path, example: Tensor, input_kind: InputKind) -> None:
    torch.onnx.export(
        adapter,
        (example,),
        str(path),
        dynamo=True,
        verbose=False,
        opset_version=OPSET["dynamo"],
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
        dynamic_shapes=({BATCH_AXIS: "batch", TIME_AXIS[input_kind]: "time"},),
        external_data=False,  # the default writes the weights beside the file
    )


def _no_stdout() -> AbstractContextManager[object]:
    return redirect_stdout(io.StringIO())


def _lstm_patch(exporter: OnnxExporter, wanted: bool) -> AbstractContextManager[object]:
    """Enter torch's private patch that captures an LSTM as a loop over a dynamic time axis."""
    if exporter != "dynamo" or not wanted:
        return nullcontext()
    try:
        from torch.export import _patches

        patch: AbstractContextManager[object] = _patches.register_lstm_while_loop_decomposition()
    except (ImportError, AttributeError) as error:
        raise ExporterError(
            f"torch {torch.__version__} lacks torch.export._patches.register_lstm_while_loop_decomposition, "
            "without which the dynamo exporter freezes the time axis",
            hint="--exporter torchscript",
        ) from error
    return patch


def _tidy(graph: onnx.ModelProto, metadata: Mapping[str, str]) -> None:
    """Set the metadata, name the output's axes, and remove stack traces, which name folders of this machine."""
    del graph.metadata_props[:]
    onnx.helper.set_model_props(graph, dict(metadata))
    for node in graph.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*graph.graph.value_info, *graph.graph.input, *graph.graph.output):
        del value.metadata_props[:]
    for name, dimension in zip(("steps", "batch"), graph.graph.output[0].type.tensor_type.shape.dim, strict=False):
        if not dimension.HasField("dim_value"):  # dynamo writes a formula as the name
            dimension.dim_param = name


def make_pool_pads_explicit(graph: onnx.ModelProto) -> int:
    """Give every max pool with ``ceil_mode`` the pads that it stands for; returns how many were changed.

    OpenVINO 2026.4 gives an empty output, or an older one, where the kernel is longer than the axis and ``ceil_mode``
    alone makes room for it (a 3-wide pool over 2 frames); with pads it is right. With kernel k, stride s and pads p, q,
    ``ceil((n + p + q - k) / s) + 1 = floor((n + p + (q + s - 1) - k) / s) + 1`` for every length n, and where
    ``q + s <= k`` no window lies in the padding alone, which ``ceil_mode`` would leave out.
    """
    changed = 0
    for node in graph.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type != "MaxPool" or not attributes.get("ceil_mode"):
            continue
        kernel = list(attributes["kernel_shape"])
        strides = list(attributes.get("strides", [1] * len(kernel)))
        pads = list(attributes.get("pads", [0] * 2 * len(kernel)))
        ends = pads[len(kernel) :]
        dilated = any(dilation != 1 for dilation in attributes.get("dilations", []))
        if dilated or any(q + s > k for k, s, q in zip(kernel, strides, ends, strict=True)):
            continue
        more = [q + s - 1 for s, q in zip(strides, ends, strict=True)]
        kept = [a for a in node.attribute if a.name not in ("ceil_mode", "pads")]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("pads", [*pads[: len(kernel)], *more])])
        changed += 1
    return changed


def check_graph(path: Path) -> None:
    """Run ONNX's checker with shape inference on the file, and look that its weights are inside.

    Raises:
        ExporterError: the checker refused it, or a weight is outside.
    """
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExporterError(f"the ONNX checker refused the graph: {_summary(error)}") from error
    graph = onnx.load(path, load_external_data=False).graph
    outside = [i.name for i in graph.initializer if i.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise ExporterError(f"{len(outside)} weights are outside the file, {outside[0]} among them")


def count_nodes(graph: onnx.ModelProto, op_type: str) -> int:
    """Nodes of that type, functions included."""
    nodes = [*graph.graph.node, *(node for function in graph.functions for node in function.node)]
    return sum(node.op_type == op_type for node in nodes)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata that was stored in an ONNX file."""
    return {prop.key: prop.value for prop in onnx.load(path, load_external_data=False).metadata_props}


def _count_lstm_layers(module: nn.Module) -> int:
    """An ONNX LSTM node is one layer, both directions."""
    return sum(each.num_layers for each in module.modules() if isinstance(each, nn.LSTM))


@contextmanager
def _expected_onnx_warnings() -> Iterator[None]:
    """Silence what torch is known to say while it exports these networks; everything else is heard."""
    with expected_warnings():
        # The exporter by tracing is called legacy. It is chosen on measurement, see above.
        warnings.filterwarnings("ignore", "You are using the legacy TorchScript-based ONNX export", DeprecationWarning)
        warnings.filterwarnings("ignore", "The feature will be removed", DeprecationWarning)
        # About LSTMs with given initial states and another batch than the example's; ours start from zeros of the
        # batch's own size, and parity at other batches shows it.
        warnings.filterwarnings("ignore", "Exporting a model to ONNX with a batch_size other than 1", UserWarning)
        # An optimisation that is not made.
        warnings.filterwarnings("ignore", "Constant folding - Only steps=1 can be constant folded", UserWarning)
        # dynamo, about torch's own code.
        warnings.filterwarnings("ignore", "_check_is_size will be removed", FutureWarning)
        warnings.filterwarnings("ignore", r"The tensor attributes? .*_flat_weights", UserWarning)
        yield


def _summary(error: Exception) -> str:
    """The exporters' messages are pages long: the line that names the exception, or the first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    named = [line for line in lines if line.startswith("<class ")]
    return (named or lines or [type(error).__name__])[0]
