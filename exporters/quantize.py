"""Int8 as explicit Q/DQ pairs in an ONNX graph, from calibration on real clips. Needs onnx and onnxruntime, no torch.

Symmetric everywhere (zero point 0, as TensorRT asks), weights per output channel, activations per tensor. Convolutions
only: the LSTMs and the last layer stay in fp32, where a small error in a state or a logit would be carried on.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from exporters.artifact import ExporterError, atomic_path
from exporters.input_names import INPUT_NAME

QUANTISED = ("Conv",)
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}


class _Clips(CalibrationDataReader):  # type: ignore[misc]
    """Hands the videos out one by one."""

    def __init__(self, videos: Sequence[NDArray[Any]]) -> None:
        self._videos = iter(videos)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        video = next(self._videos, None)
        return None if video is None else {INPUT_NAME: video}


def quantize_onnx(
    source: Path, path: Path, *, calibration: Sequence[NDArray[Any]], method: str = "minmax"
) -> dict[str, Any]:
    """Write ``source`` with Q/DQ pairs around its convolutions to ``path``, whole or not at all.

    Args:
        source: an fp32 graph.
        path: the ``.onnx`` file.
        calibration: videos as the graph takes them, of training clips; ranges are taken over all of them.
        method: of ``METHODS``: how a range is chosen from what was seen.

    Returns:
        What was done: pairs, convolutions, calibration clips and method.

    Raises:
        ExporterError: there is no video, or the graph cannot be quantised.
        OSError: the file cannot be written.
    """
    if not calibration:
        raise ExporterError("int8 needs clips to calibrate on, and there is none", bad_input=True)
    with atomic_path(path) as temporary:
        try:
            with _quiet_advice():
                quantize_static(
                    str(source),
                    str(temporary),
                    _Clips(calibration),
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QInt8,
                    weight_type=QuantType.QInt8,
                    op_types_to_quantize=list(QUANTISED),
                    calibrate_method=METHODS[method],
                    extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
                )
        except (OSError, MemoryError):
            raise
        except Exception as error:  # the quantiser raises whatever its passes and the runtime raise
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ExporterError(f"{source.name} cannot be quantised to int8: {first}") from error
        model = onnx.load(temporary)
        counts = check_symmetric(model)
        onnx.helper.set_model_props(
            model, {prop.key: prop.value for prop in model.metadata_props} | {"precision": "int8"}
        )
        onnx.save(model, temporary)
    return {
        "quantiser": f"onnxruntime {onnxruntime.__version__} quantize_static",
        "scheme": "QDQ, symmetric int8, weights per channel, activations per tensor",
        "quantised_operators": list(QUANTISED),
        "calibration_method": method,
        "calibration_clips": len(calibration),
        **counts,
    }


def check_symmetric(model: onnx.ModelProto) -> dict[str, int]:
    """Count convolutions between Q/DQ pairs, known to be symmetric and per channel.

    Raises:
        ExporterError: a zero point is not 0, a convolution lacks its pair, a weight has one scale for all channels, or
            an LSTM or a matrix product was quantised.
    """
    graph = model.graph
    made_by = {output: node for node in graph.node for output in node.output}
    values = {initializer.name: onnx.numpy_helper.to_array(initializer) for initializer in graph.initializer}
    convolutions = 0
    for node in graph.node:
        sources = [made_by.get(name) for name in node.input]
        dequantised = [source for source in sources if source is not None and source.op_type == "DequantizeLinear"]
        if node.op_type == "Conv":
            if len(dequantised) < 2:
                raise ExporterError(f"the convolution {node.name!r} lacks Q/DQ pairs at input and weight")
            scale = values[dequantised[1].input[1]]
            if scale.size == 1 and values_shape(values, dequantised[1].input[0])[0] > 1:
                raise ExporterError(f"the weight of {node.name!r} has one scale for all channels")
            convolutions += 1
        elif node.op_type in ("LSTM", "MatMul", "Gemm") and dequantised:
            raise ExporterError(f"the {node.op_type} {node.name!r} was quantised, which its accuracy does not bear")
        pair = node.op_type in ("QuantizeLinear", "DequantizeLinear")
        if pair and len(node.input) > 2 and np.any(values[node.input[2]] != 0):
            raise ExporterError(f"the zero point of {node.name!r} is not 0: TensorRT takes symmetric int8 only")
    if convolutions == 0:
        raise ExporterError("no convolution was quantised")
    return {"quantised_convolutions": convolutions}


def values_shape(values: dict[str, NDArray[Any]], name: str) -> tuple[int, ...]:
    """Shape of a constant; ``(0,)`` where it is not one."""
    return values[name].shape if name in values else (0,)


@contextmanager
def _quiet_advice() -> Iterator[None]:
    """Leave out the quantiser's advice to preprocess: the exporter has folded batch normalisation already."""
    logger = logging.getLogger()

    def keep(record: logging.LogRecord) -> bool:
        return "pre-processing" not in record.getMessage()

    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
