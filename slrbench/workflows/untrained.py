"""Networks of any stated size with random weights, to measure speed before anything is trained.

They are written as files into a scratch folder and measured like any other; their WER column says ``untrained``.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import ValidationError

from exporters.artifact import Artifact, Format, InputKind, Manifest, ManifestEntry, Precision, describe_files
from slrbench.errors import BadInputError
from slrbench.models.spec import ModelSpec
from slrbench.runners.availability import availability
from slrbench.training.card import CARD_NAME, WEIGHTS_NAME
from slrbench.workflows.bench_candidates import BenchModel

if TYPE_CHECKING:
    from slrbench.models.ctc_head import Recogniser

NUM_CLASSES = 1296
"""The vocabulary of PHOENIX-2014 (1295 glosses) with the blank, where none is stated."""

SIZE = 224
"""Height and width where none is stated, pixels: what the field trains on."""

_FILES: dict[str, str] = {"torchscript": "model.torchscript", "onnx": "model.onnx", "openvino": "model.openvino.xml"}


def parse_untrained(text: str) -> tuple[ModelSpec, int]:
    """``teacher:width=0.5,size=112`` as dimensions, and height and width in pixels.

    Raises:
        BadInputError: an unknown architecture or option, or a value out of range.
    """
    architecture, _, rest = text.partition(":")
    values: dict[str, object] = {"architecture": architecture.strip(), "num_classes": NUM_CLASSES}
    size = SIZE
    options = sorted({*ModelSpec.model_fields, "size"} - {"architecture"})
    for part in filter(None, (part.strip() for part in rest.split(","))):
        name, equals, value = (each.strip() for each in part.partition("="))
        if not equals or name not in options:
            raise BadInputError(
                f"{part!r} in {text!r} is not an option with a value", hint=f"options are {', '.join(options)}"
            )
        if name == "size":
            if not value.isdecimal() or not 16 <= int(value) <= 1024:
                raise BadInputError(f"size={value} in {text!r} is not an integer in 16..1024", hint="size=224")
            size = int(value)
        else:
            # Literal fields of integers do not take text.
            values[name] = int(value) if value.isdecimal() else value
    try:
        return ModelSpec.model_validate(values), size
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInputError(
            f"{text!r} is not a network: {where}: {first['msg']}", hint="for example teacher:width=1,size=224"
        ) from error


def build_untrained(
    text: str,
    folder: Path,
    *,
    backends: Sequence[str],
    input_kinds: Sequence[str],
    precisions: Sequence[str] = ("fp32",),
    seed: int = 0,
) -> BenchModel:
    """Build the network with seeded random weights and write what the backends open into ``folder``.

    Engines are built later, where there is a GPU: :mod:`slrbench.workflows.untrained_typed`.

    Raises:
        BadInputError: ``text`` is not a network.
        ExporterError: it cannot be exported.
    """
    spec, size = parse_untrained(text)
    import safetensors.torch
    import torch

    from slrbench.models.cost import count_parameters
    from slrbench.models.registry import build_model
    from slrbench.workflows.untrained_typed import typed_onnx

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build_model(spec).eval()
    folder.mkdir(parents=True)
    safetensors.torch.save_file(
        {name: value.detach().contiguous() for name, value in model.state_dict().items()}, folder / WEIGHTS_NAME
    )
    _, weights_sha256, _ = describe_files(folder, [WEIGHTS_NAME])
    card = {"spec": spec.model_dump(mode="json"), "weights_sha256": weights_sha256}
    (folder / CARD_NAME).write_text(json.dumps(card), encoding="utf-8")
    manifest = Manifest(model_id=text)
    for kind in cast(Sequence[InputKind], input_kinds):
        for artifact in _export(model, folder, backends, kind, size, weights_sha256):
            manifest = manifest.with_entry(ManifestEntry(artifact=artifact))
        for precision in _typed_onnx_precisions(backends, precisions):
            artifact = typed_onnx(model, folder, precision, kind, size, weights_sha256)
            manifest = manifest.with_entry(ManifestEntry(artifact=artifact))
    return BenchModel(
        model_id=f"untrained {text}",
        folder=folder,
        spec=spec,
        frame_size=(size, size),
        parameters=count_parameters(model),
        weights_sha256=weights_sha256,
        manifest=manifest,
    )


def _typed_onnx_precisions(backends: Sequence[str], precisions: Sequence[str]) -> list[Precision]:
    """Of ONNX files that will be opened: fp16 runs on a GPU only, int8 on the CPU only."""
    if "onnx" not in backends:
        return []
    fp16: list[Precision] = ["fp16"] if "fp16" in precisions and availability("onnx", "cuda").available else []
    return [*fp16, *(cast(list[Precision], ["int8"]) if "int8" in precisions else [])]


def _export(
    model: "Recogniser", folder: Path, backends: Sequence[str], kind: InputKind, size: int, weights_sha256: str
) -> list[Artifact]:
    from exporters.input_adapter import example_video, tensor_specs
    from exporters.to_onnx import onnx_from_module
    from exporters.to_openvino import openvino_from_onnx
    from exporters.to_torchscript import torchscript_from_module

    infix = "" if kind == "float32" else f".{kind}"
    paths = {name: folder / file.replace("model", f"model{infix}", 1) for name, file in _FILES.items()}
    example = example_video(kind, height=size, width=size)
    made: dict[Format, list[str]] = {}
    if "torchscript" in backends:
        torchscript_from_module(model, paths["torchscript"], example_video=example, input_kind=kind, metadata={})
        made["torchscript"] = [paths["torchscript"].name]
    if "onnx" in backends or "openvino" in backends:
        onnx_from_module(model, paths["onnx"], example_video=example, input_kind=kind, metadata={})
        made["onnx"] = [paths["onnx"].name]
    if "openvino" in backends:
        openvino_from_onnx(paths["onnx"], paths["openvino"], metadata={})
        made["openvino"] = [paths["openvino"].name, paths["openvino"].with_suffix(".bin").name]
    inputs, outputs = tensor_specs(kind, height=size, width=size, num_classes=model.spec.num_classes)
    artifacts = []
    for format, names in made.items():
        files, sha256, size_bytes = describe_files(folder, names)
        artifacts.append(
            Artifact(
                format=format, input_kind=kind, files=files, sha256=sha256, built_from_sha256=weights_sha256,
                size_bytes=size_bytes, inputs=inputs, outputs=outputs, built_with={},
            )
        )  # fmt: skip
    return artifacts
