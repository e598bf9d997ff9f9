"""``slrbench export``: export checkpoints, and prove that the files compute the same."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from slrbench.cli import console
from slrbench.cli.common_options import Cache
from slrbench.cli.export_table import HEADERS, MODELS_FOLDER, document, next_command, notes, rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporters.engine_options import BuilderChoice, HardwareCompatibility
    from slrbench.workflows.export import ExportResult

ENGINES = "TensorRT engines"


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODEL]...", help="Ids of models, or their folders; all of trained_models by default."),
    ] = None,
    formats: Annotated[
        str, typer.Option("--formats", metavar="LIST", help="Of torchscript, onnx, openvino, trt.")
    ] = "torchscript,onnx,openvino",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="LIST",
            help="Of fp32, tf32, fp16, bf16, int8: all of them for trt; fp32, fp16 and int8 for onnx; fp32 elsewhere.",
        ),
    ] = "fp32",
    input: Annotated[
        str,
        typer.Option(
            "--input", metavar="LIST", help="Of float32 (normalised video) and uint8 (raw frames, normalised inside)."
        ),
    ] = "float32",
    exporter: Annotated[
        str,
        typer.Option(
            "--exporter",
            metavar="NAME",
            help="Which of torch's ONNX exporters: torchscript (quick), dynamo, or auto (the quick one, and the other "
            "where its file fails parity).",
        ),
    ] = "auto",
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Parity's absolute and relative tolerance, 0 to 1e-4.")
    ] = 1e-4,
    builder: Annotated[
        str,
        typer.Option(
            "--builder",
            metavar="NAME",
            help="Of engines: tensorrt (for the GPU at hand), tensorrt-rtx (for RTX GPUs, built without one), or auto: "
            "tensorrt where there is a GPU.",
            rich_help_panel=ENGINES,
        ),
    ] = "auto",
    batch: Annotated[
        str, typer.Option("--batch", metavar="MIN:OPT:MAX", help="Clips of an engine's call.", rich_help_panel=ENGINES)
    ] = "1:1:8",
    frames: Annotated[
        str,
        typer.Option("--frames", metavar="MIN:OPT:MAX", help="Frames of an engine's clips.", rich_help_panel=ENGINES),
    ] = "1:64:256",
    compute_capability: Annotated[
        str | None,
        typer.Option(
            "--compute-capability",
            metavar="LIST",
            help="What tensorrt-rtx builds for, such as 86,89 (the default) or 75,120.",
            rich_help_panel=ENGINES,
        ),
    ] = None,
    optimization_level: Annotated[
        int | None,
        typer.Option("--optimization-level", help="The builder's, 0 to 5; its default is 3.", rich_help_panel=ENGINES),
    ] = None,
    workspace_mb: Annotated[
        int | None,
        typer.Option("--workspace-mb", help="Most scratch memory of a layer; all by default.", rich_help_panel=ENGINES),
    ] = None,
    aux_streams: Annotated[
        int | None,
        typer.Option("--aux-streams", help="Most auxiliary streams; the library decides.", rich_help_panel=ENGINES),
    ] = None,
    version_compatible: Annotated[
        bool,
        typer.Option("--version-compatible", help="Let later TensorRT versions load it.", rich_help_panel=ENGINES),
    ] = False,
    hardware_compatibility: Annotated[
        str,
        typer.Option(
            "--hardware-compatibility",
            metavar="LEVEL",
            help="Of TensorRT: none, ampere_plus or same_compute_capability.",
            rich_help_panel=ENGINES,
        ),
    ] = "none",
    timing_cache: Annotated[
        Path | None,
        typer.Option(
            "--timing-cache",
            metavar="FILE",
            help="Where TensorRT (not TensorRT-RTX) keeps what it measured; by default in the user's cache folder.",
            rich_help_panel=ENGINES,
        ),
    ] = None,
    builds: Annotated[
        int,
        typer.Option("--builds", help="Builds of each engine; the best is kept.", rich_help_panel=ENGINES),
    ] = 1,
    cache: Cache = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Export checkpoints to TorchScript, ONNX, OpenVINO and TensorRT, and prove parity.

    Every file is compared with the PyTorch network on real clips and on noise, at ten batch sizes and lengths
    other than the export's; the verdict goes into manifest.json beside it. A file that fails is kept out of benchmarks,
    and the exit code is 1; where a file could not be made at all, it is 4.

    An engine that cannot run here is written with the verdict "not run", and what it was built from is compared in its
    place; on the target machine, verify settles it.

    For example: export student --formats trt --precision fp32,fp16 --compute-capability 86,89
    """
    from exporters.engine_options import EngineOptions, Range, parse_compute_capability
    from slrbench.workflows.export_plan import make_plan

    engine = EngineOptions(
        builder=cast("BuilderChoice", builder),
        batch=Range.parse(batch, option="--batch"),
        frames=Range.parse(frames, option="--frames"),
        compute_capabilities=tuple(
            parse_compute_capability(word, builder) for word in _words(compute_capability or "")
        ),
        builder_optimization_level=optimization_level,
        workspace_bytes=None if workspace_mb is None else workspace_mb << 20,
        max_aux_streams=aux_streams,
        version_compatible=version_compatible,
        hardware_compatibility=cast("HardwareCompatibility", hardware_compatibility),
        timing_cache=timing_cache,
        builds=builds,
    )
    asked: dict[str, Any] = {
        "formats": _words(formats),
        "input_kinds": _words(input),
        "precisions": _words(precision),
        "exporter": exporter,
        "tolerance": tolerance,
        "engine": engine,
    }
    make_plan(**asked)  # refuses what cannot be asked, before torch is loaded
    folders = _model_folders(models or [])
    export_model, raise_worst = _load_exporting()
    results = []
    with console.Progress() as progress:
        for folder in folders:
            results.append(export_model(folder, **asked, cache=cache, progress=progress))
    if json:
        console.print_json(document(results))
    else:
        console.result(console.table([row for result in results for row in rows(result)], HEADERS))
    for text in dict.fromkeys(line for result in results for line in notes(result)):
        console.warning(text)
    console.wrote([result.manifest_path for result in results], next_command=next_command(results))
    raise_worst([result.error for result in results if result.error is not None], console.error)


def _load_exporting() -> "tuple[Callable[..., ExportResult], Callable[..., None]]":
    """What exports, and what tells of the worst error; loads torch.

    Raises:
        UnavailableError: torch or another package that graphs are made with is not installed.
    """
    from slrbench.errors import UnavailableError

    try:
        from slrbench.workflows.export import export_model, raise_worst
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "slrbench", "exporters"):
            raise
        raise UnavailableError(
            f"the package {package} is not installed, and export needs it: graphs are made from the torch module",
            hint=f"pip install {package}; or export on a machine that has it, and python -m slrbench pack takes the "
            "files here",
        ) from error
    return export_model, raise_worst


def _model_folders(models: list[str]) -> list[Path]:
    """Folders of the models that were named, by path or by id; of every model where none was.

    Raises:
        BadInputError: there is no such model, or none at all.
    """
    from slrbench.errors import BadInputError
    from slrbench.training.card import CARD_NAME

    if not models:
        found = sorted(path.parent for path in MODELS_FOLDER.glob(f"*/{CARD_NAME}"))
        if not found:
            raise BadInputError(
                f"there is no model in {MODELS_FOLDER}",
                hint="python -m slrbench train-and-export makes one; a model elsewhere is named by its folder",
            )
        return found
    folders = []
    for model in models:
        candidates = [Path(model), MODELS_FOLDER / model]
        existing = next((path for path in candidates if path.exists()), None)
        if existing is None:
            raise BadInputError(
                f"there is no model {model!r}: neither {candidates[0]} nor {candidates[1]} exists",
                hint="python -m slrbench list models",
            )
        folders.append(existing)
    return folders


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
