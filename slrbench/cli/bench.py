"""``slrbench bench``: measure artifacts against each other."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slrbench.cli import console, load_options

if TYPE_CHECKING:
    from slrbench.measure.rounds import MeasureSettings
    from slrbench.records import Report


def command(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Ids, folders, or the words teacher and student; all of trained_models by default.",
        ),
    ] = None,
    models_list: Annotated[
        str | None, typer.Option("--models", metavar="LIST", help="Models as one list, like those named above.")
    ] = None,
    backend: Annotated[
        str, typer.Option("--backend", metavar="LIST", help="Of torch, torchscript, onnx, openvino, trt.")
    ] = "torch,torchscript,onnx,openvino",
    device: Annotated[
        str, typer.Option("--device", metavar="LIST", help="Of cpu, cuda, cuda:N; trt always runs on cuda.")
    ] = "cpu",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="LIST",
            help="Of fp32, tf32, fp16, bf16, int8; on a CPU fp32, and fp16 and int8 of onnx.",
        ),
    ] = "fp32",
    torch_mode: Annotated[
        str,
        typer.Option(
            "--torch-mode",
            metavar="LIST",
            help="Of eager, compile, compile-reduce-overhead, compile-max-autotune.",
        ),
    ] = "eager",
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider", metavar="LIST", help="Of cpu, cuda, tensorrt: for onnx; the device's own by default."
        ),
    ] = None,
    cuda_graph: Annotated[
        bool, typer.Option("--cuda-graph/--no-cuda-graph", help="Capture trt's launches into a CUDA graph.")
    ] = False,
    threads: Annotated[
        str | None,
        typer.Option("--threads", metavar="LIST", help="Threads, the same for every backend; all cores by default."),
    ] = None,
    batch: Annotated[str, typer.Option("--batch", metavar="LIST", help="Clips of one call.")] = "1",
    frames: Annotated[str, typer.Option("--frames", metavar="LIST", help="Frames of a clip.")] = "32",
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="LIST", help="Height and width, pixels; the model's own by default."),
    ] = None,
    input: Annotated[
        str, typer.Option("--input", metavar="LIST", help="Of float32 (normalised video) and uint8 (raw frames).")
    ] = "float32",
    untrained: Annotated[
        list[str] | None,
        typer.Option(
            "--untrained",
            metavar="NETWORK",
            help="A network of any size with random weights, such as teacher:width=1,size=224; may be repeated.",
        ),
    ] = None,
    allow_unverified: Annotated[
        bool, typer.Option("--allow-unverified", help="Measure files without a passed parity verdict, too.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="3 short rounds in one process each: a first impression.")
    ] = False,
    rounds: Annotated[
        int | None, typer.Option("--rounds", min=1, help="Rounds, each over all candidates; 5, or 3 with --quick.")
    ] = None,
    wer_clips: Annotated[
        int, typer.Option("--wer-clips", min=0, help="Test clips for each file's word error rate; 0: none.")
    ] = 100,
    load: load_options.Load = None,
    streams: load_options.Streams = None,
    stride: load_options.Stride = None,
    latency_bound_ms: load_options.LatencyBound = load_options.BOUND_MS,
    load_seconds: load_options.LoadSeconds = load_options.SECONDS,
    seed: Annotated[int, typer.Option("--seed", help="Of the order within rounds, and of random weights.")] = 0,
    name: Annotated[str, typer.Option("--name", help="The report's folder is called <date>-<name>.")] = "bench",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="The report's folder itself.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Measure latency, throughput, memory, size and word error rate of artifacts, each in a process of its own.

    Only files whose parity passed are measured. What cannot be measured stands in the report with its reason; where
    that is failed parity, the exit code is 1. Lists are separated by commas and form axes: --batch 1,8 --frames 32,64
    measures four shapes.

    For example: bench student --backend onnx,openvino --threads 1,2
    or, before anything is trained: bench --untrained teacher:width=1,size=224 --frames 64
    """
    from slrbench.measure.environment import default_threads
    from slrbench.workflows.bench import BenchOptions, bench, report_folder, require_passed_parity
    from slrbench.workflows.bench_axes import Axes
    from slrbench.workflows.bench_instead import require_some_backend

    axes = Axes(
        backends=_words(backend),
        devices=_words(device),
        precisions=_words(precision),
        torch_modes=_words(torch_mode),
        providers=_words(provider or ""),
        cuda_graph=cuda_graph,
        threads=_numbers(threads, "--threads") if threads is not None else (default_threads(),),
        batches=_numbers(batch, "--batch"),
        frames=_numbers(frames, "--frames"),
        sizes=_numbers(size, "--size") if size is not None else (),
        input_kinds=_words(input),
    )
    options = BenchOptions(
        models=(*(models or ()), *_words(models_list or "")),
        axes=axes,
        untrained=tuple(untrained or ()),
        allow_unverified=allow_unverified,
        wer_clips=wer_clips,
        settings=_settings(quick=quick, rounds=rounds, seed=seed),
        load=load_options.load_settings(
            load=load, streams=streams, stride=stride, bound_ms=latency_bound_ms, seconds=load_seconds, seed=seed
        ),
    )
    if options.models or not options.untrained:
        require_some_backend(axes, options.models)
    folder = output if output is not None else report_folder(Path("reports"), name)
    with console.Progress() as progress:
        report = bench(options, title=f"Benchmark: {name}", command=_command_line(), folder=folder, progress=progress)
    path = folder / "report.json"
    if json:
        console.print_json({"report": path, "summary": report.summary, "skipped": report.skipped})
    else:
        _show(report)
    deeper = _deeper(sys.argv[1:], None if quick else 2 * options.settings.rounds)
    console.wrote([path, *(folder / f"report.{kind}" for kind in ("md", "csv", "html"))], next_command=deeper)
    require_passed_parity(report)


def _settings(*, quick: bool, rounds: int | None, seed: int) -> "MeasureSettings":
    from slrbench.measure.rounds import MeasureSettings

    settings = MeasureSettings.quick(seed=seed) if quick else MeasureSettings(seed=seed)
    return settings if rounds is None else replace(settings, rounds=rounds)


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def _numbers(text: str, option: str) -> tuple[int, ...]:
    from slrbench.errors import BadInputError

    words = _words(text)
    if bad := [word for word in words if not word.isdecimal()]:
        raise BadInputError(f"{option} {bad[0]!r} is not a whole number", hint=f"{option} 1, or {option} 1,8")
    return tuple(int(word) for word in words)


def _command_line() -> str:
    return shlex.join(["python", "-m", "slrbench", *sys.argv[1:]])


def _deeper(arguments: list[str], rounds: int | None) -> str:
    """The same measurement without --quick, with that many rounds (None: the usual), into a folder of its own."""
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in ("--rounds", "--output", "-o"):
            next(words, None)
        elif word not in ("--quick", "--json") and not word.startswith(("--rounds=", "--output=", "-o")):
            kept.append(word)
    return shlex.join(["python", "-m", "slrbench", *kept, *(["--rounds", str(rounds)] if rounds else [])])


def _show(report: "Report") -> None:
    """The main table, what was skipped, and the decision."""
    from slrbench.reporting.display import backend_on
    from slrbench.reporting.render_markdown import render_decision
    from slrbench.reporting.tables import folded_skips

    console.result(render_decision(report))
    for skipped, models in folded_skips(report.skipped):
        console.warning(f"skipped {', '.join(models)} on {backend_on(skipped)}: {skipped.reason}")
    for note in report.notes:
        console.warning(note)
