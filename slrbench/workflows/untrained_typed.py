"""Networks with random weights as typed ONNX graphs and as engines: measured for speed, judged by nobody.

Int8 is calibrated on noise: the ranges are as random as the weights, and the kernels are those of a calibrated network.
"""

from pathlib import Path

import numpy as np
from torch import nn

from exporters.artifact import Artifact, Format, InputKind, ManifestEntry, Precision, describe_files
from exporters.engine_options import EngineOptions, target_name
from exporters.input_adapter import example_video, tensor_specs
from exporters.quantize import quantize_onnx
from exporters.tensorrt_library import find_library
from exporters.to_onnx import onnx_from_module
from exporters.to_tensorrt import compute_capabilities_of, engine_from_onnx
from exporters.typed_network import TypedNetwork
from slrbench.models.ctc_head import Recogniser
from slrbench.models.registry import load_weights
from slrbench.training.card import WEIGHTS_NAME
from slrbench.workflows.artifact_metadata import file_name
from slrbench.workflows.bench_candidates import BenchModel
from slrbench.workflows.engine_building import engine_name
from slrbench.workflows.typed_graphs import BF16_OPSET, GraphPrecision, graph_precision

CALIBRATION_SHAPES = ((1, 16), (1, 32))
"""B and T of the noise that int8 is calibrated on."""


def typed_onnx(
    model: Recogniser, folder: Path, precision: Precision, kind: InputKind, size: int, weights_sha256: str
) -> Artifact:
    """Write the network as an ONNX file of one precision.

    Raises:
        ExporterError: it cannot be exported.
    """
    name = file_name("onnx", kind, precision)
    _write_graph(model, folder / name, graph_precision(precision), kind, size)
    return _artifact(model, folder, name, "onnx", precision, kind, size, weights_sha256)


def untrained_engine(model: BenchModel, precision: Precision, kind: InputKind, options: EngineOptions) -> ManifestEntry:
    """Build an engine of a network with random weights into its folder.

    Raises:
        ExporterError: it cannot be built, or not here.
    """
    library = find_library(options.builder)
    capabilities = compute_capabilities_of(library, options)
    network = load_weights(model.spec, model.folder / WEIGHTS_NAME).eval()
    size = model.frame_size[0]
    graph = model.folder / f"graph.{kind}.{precision}.onnx"
    _write_graph(network, graph, graph_precision(precision), kind, size)
    name = engine_name(library, capabilities, precision, kind)
    built_with = engine_from_onnx(
        graph,
        model.folder / name,
        library=library,
        precision=precision,
        frame_size=model.frame_size,
        options=options,
    )
    graph.unlink()
    artifact = _artifact(network, model.folder, name, "trt", precision, kind, size, model.weights_sha256)
    update = {"target": target_name(library.name, capabilities), "built_with": built_with}
    return ManifestEntry(artifact=artifact.model_copy(update=update))


def _write_graph(network: Recogniser, path: Path, precision: GraphPrecision, kind: InputKind, size: int) -> None:
    if precision == "int8":
        source = path.with_suffix(".fp32.onnx")
        _write_graph(network, source, "fp32", kind, size)
        quantize_onnx(source, path, calibration=[_noise(kind, *shape, size) for shape in CALIBRATION_SHAPES])
        source.unlink()
        return
    module: nn.Module = network if precision == "fp32" else TypedNetwork(network, precision)
    onnx_from_module(
        module,
        path,
        example_video=example_video(kind, height=size, width=size),
        input_kind=kind,
        metadata={"precision": precision},
        cast_first=True,
        convert_to_opset=BF16_OPSET if precision == "bf16" else None,
    )


def _noise(kind: InputKind, batch: int, frames: int, size: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.generic]]":
    rng = np.random.default_rng(frames)
    if kind == "uint8":
        return rng.integers(0, 256, (batch, frames, size, size, 3), dtype=np.uint8)
    return (rng.random((batch, 3, frames, size, size)) * 2 - 1).astype(np.float32)


def _artifact(
    network: Recogniser,
    folder: Path,
    name: str,
    format: Format,
    precision: Precision,
    kind: InputKind,
    size: int,
    weights_sha256: str,
) -> Artifact:
    files, sha256, size_bytes = describe_files(folder, [name])
    inputs, outputs = tensor_specs(kind, height=size, width=size, num_classes=network.spec.num_classes)
    return Artifact(
        format=format, precision=precision, input_kind=kind, files=files, sha256=sha256,
        built_from_sha256=weights_sha256, size_bytes=size_bytes, inputs=inputs, outputs=outputs, built_with={},
    )  # fmt: skip
