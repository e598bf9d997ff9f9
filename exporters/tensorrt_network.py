"""What a strongly typed TensorRT network computes in, read from the network itself. Needs no GPU.

In a strongly typed network each layer's type is fixed by the graph, so the network says what an engine computes in,
before it is built and without the engine inspector, which needs a GPU.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

from exporters.artifact import ExporterError, Precision

if TYPE_CHECKING:
    import tensorrt as trt_types

COMPUTE_LAYERS = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY", "EINSUM")
"""Layers that hold nearly all multiply-accumulates: a precision is theirs."""

_TYPES: dict[Precision, str] = {"fp32": "FLOAT", "tf32": "FLOAT", "fp16": "HALF", "bf16": "BF16"}
_FLOATS = ("FLOAT", "HALF", "BF16", "INT8")

LayerCounts = dict[str, dict[str, int]]


def layers_by_type(network: "trt_types.INetworkDefinition") -> LayerCounts:
    """Layer kind to numeric type to count, of layers that compute with real numbers.

    A convolution whose input comes from an int8 tensor by way of a dequantisation counts as INT8: that pair is what
    TensorRT fuses into an int8 kernel.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    dequantised = _outputs_of(layers, "DEQUANTIZE")
    counts: dict[str, Counter[str]] = {}
    for layer in layers:
        if layer.num_outputs == 0 or layer.num_inputs == 0:
            continue
        kind = layer.type.name
        name = layer.get_output(0).dtype.name
        if kind in COMPUTE_LAYERS:
            source = layer.get_input(0)
            name = "INT8" if source is not None and source.name in dequantised else source.dtype.name
        if name in _FLOATS:
            counts.setdefault(kind, Counter())[name] += 1
    return {kind: dict(sorted(found.items())) for kind, found in sorted(counts.items())}


def check_types(network: "trt_types.INetworkDefinition", precision: Precision) -> LayerCounts:
    """The layers by type, known to be those of ``precision``, with softmax and output in fp32.

    Raises:
        ExporterError: a layer that computes does so in another type, or the output is not float32 ``(T', B, C)``.
    """
    counts = layers_by_type(network)
    compute = sum((Counter(counts.get(kind, {})) for kind in COMPUTE_LAYERS), Counter[str]())
    if not compute:
        raise ExporterError("the network has no convolution and no matrix product: it is not a recogniser")
    if precision == "int8":
        convolutions = counts.get("CONVOLUTION", {})
        if convolutions.get("INT8", 0) * 2 < sum(convolutions.values()):
            raise ExporterError(
                f"only {convolutions.get('INT8', 0)} of {sum(convolutions.values())} convolutions take int8",
                hint="the graph lacks Q/DQ pairs: this is a bug, report it",
            )
    elif set(compute) != {_TYPES[precision]}:
        wrong = ", ".join(f"{count} in {name}" for name, count in sorted(compute.items()) if name != _TYPES[precision])
        raise ExporterError(
            f"{wrong} of {compute.total()} convolutions and matrix products, where {precision} means "
            f"{_TYPES[precision]}",
            hint="the graph's types and its label disagree: this is a bug, report it",
        )
    softmax = counts.get("SOFTMAX", {})
    if set(softmax) != {"FLOAT"}:
        raise ExporterError(
            f"softmax is computed in {', '.join(softmax) or 'nothing'}, expected FLOAT: in half precision small "
            "probabilities become zero and their logarithm -inf"
        )
    output = network.get_output(0)
    if network.num_outputs != 1 or output.dtype.name != "FLOAT" or len(output.shape) != 3:
        raise ExporterError(
            f"the network gives {network.num_outputs} outputs, the first {output.dtype.name} of {len(output.shape)} "
            "axes, expected one FLOAT (T', B, C)"
        )
    return counts


def _outputs_of(layers: "list[Any]", kind: str) -> set[str]:
    return {
        layer.get_output(index).name
        for layer in layers
        if layer.type.name == kind
        for index in range(layer.num_outputs)
    }
