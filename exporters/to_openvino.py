"""Convert ONNX to OpenVINO's intermediate representation: an ``.xml`` and a ``.bin``. Needs openvino, not torch."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openvino

from exporters.artifact import ExporterError, sha256_file

METADATA_SECTION = "metadata"


def openvino_from_onnx(onnx_path: Path, path: Path, *, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Convert an ONNX file to ``path`` (``.xml``) and a ``.bin`` of the same name beside it.

    Both are written in full elsewhere and moved in at the end, weights first.

    Args:
        onnx_path: the ONNX file; batch and time stay as dynamic as they are in it.
        path: the ``.xml`` file.
        metadata: what a loader must know, stored as ``rt_info`` under ``metadata``.

    Returns:
        What the files were built with.

    Raises:
        ExporterError: OpenVINO cannot read or write the network.
        OSError: a file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, for a rename must not cross file systems.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
        temporary = Path(folder) / path.name
        try:
            # The same front end as convert_model's, which would load openvino's telemetry besides.
            model = openvino.Core().read_model(onnx_path)
            for key, value in metadata.items():
                model.set_rt_info(value, [METADATA_SECTION, key])
            # The default, True, stores the weights as fp16 and computes with what is left of them.
            openvino.save_model(model, temporary, compress_to_fp16=False)
        except RuntimeError as error:
            raise ExporterError(f"OpenVINO cannot convert {onnx_path.name}: {_last_line(error)}") from error
        for suffix in (".bin", ".xml"):
            temporary.with_suffix(suffix).replace(path.with_suffix(suffix))
    return {
        "exporter": "openvino.save_model",
        "compress_to_fp16": False,
        "onnx_sha256": sha256_file(onnx_path),
        "openvino": openvino.__version__,
    }


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata that was stored in an ``.xml``."""
    model = openvino.Core().read_model(path)
    section = model.get_rt_info([METADATA_SECTION]).value if model.has_rt_info([METADATA_SECTION]) else {}
    return {str(key): str(getattr(value, "value", value)) for key, value in section.items()}


def _last_line(error: Exception) -> str:
    """OpenVINO's messages start with source files; what went wrong stands last."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
