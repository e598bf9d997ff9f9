"""``slrbench bench``: measure artifacts against each other."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slrbench.cli import console, load_options
from slrbench.cli.bench_values import deeper_command, numbers_of, settings_of, words_of
from slrbench.cli.common_options import Cache

if TYPE_CHECKING:
    from slrbench.records import Report
    from slrbench.workflows.bench_options import BenchOptions


def command(
    context: typer.Context,
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
        typer.Option("--threads", metavar="LIST", help="Threads, the same for every backend; one per physical core."),
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
        int | None,
        typer.Option(
            "--rounds", min=1, help="Rounds, each over all candidates; 10, or 3 with --quick, or 6 with --budget."
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option("--processes", min=1, help="Fresh processes per candidate over the rounds; 3, or 1 with --quick."),
    ] = None,
    baseline: Annotated[
        str,
        typer.Option(
            "--baseline",
            metavar="[MODEL:]BACKEND",
            help="What is measured twice and compared with; the first that can be measured by default.",
        ),
    ] = "",
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="TIME",
            help="Such as 90s, 5m, 1h: after --rounds, further ones narrow the widest intervals to ±3 % in this time.",
        ),
    ] = None,
    roofline: Annotated[
        bool,
        typer.Option("--roofline/--no-roofline", help="Measure the machine's own peaks, too; not with --quick."),
    ] = True,
    wer_clips: Annotated[
        int, typer.Option("--wer-clips", min=0, help="Test clips for each file's word error rate; 0: none.")
    ] = 100,
    cache: Cache = None,
    load: load_options.Load = None,
    streams: load_options.Streams = None,
    stride: load_options.Stride = None,
    latency_bound_ms: load_options.LatencyBound = load_options.BOUND_MS,
    load_seconds: load_options.LoadSeconds = load_options.SECONDS,
    video: Annotated[
        Path | None,
        typer.Option(
            "--video",
            metavar="FILE",
            help="Time this video from its bytes to glosses as well (scope pixels_to_glosses); for --batch 1.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the order within rounds, and of random weights.")] = 0,
    name: Annotated[str, typer.Option("--name", help="The report's folder is called <date>-<name>.")] = "bench",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FOLDER", help="The report's folder itself.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="FOLDER",
            help="Go on with the benchmark that was interrupted there; its options are taken from its journal.",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")] = False,
) -> None:
    """Measure latency, throughput, memory, size and word error rate of artifacts, each in a process of its own.

    Only files whose parity passed are measured. What cannot be measured stands in the report with its reason; where
    that is failed parity, the exit code is 1. Lists are separated by commas and form axes: --batch 1,8 --frames 32,64
    measures four shapes. The baseline is measured twice: what its copies differ by, this run cannot tell apart.

    For example: bench student --backend onnx,openvino --threads 1,2
    or, before anything is trained: bench --untrained teacher:width=1,size=224 --frames 64
    """
    from slrbench.measure.environment import default_threads
    from slrbench.workflows.bench import BenchOptions, report_folder
    from slrbench.workflows.bench_axes import Axes
    from slrbench.workflows.bench_instead import require_some_backend
    from slrbench.workflows.bench_journal import begun_in

    if resume is not None and not _is_given(context):
        options = begun_in(resume).options
    else:
        axes = Axes(
            backends=words_of(backend),
            devices=words_of(device),
            precisions=words_of(precision),
            torch_modes=words_of(torch_mode),
            providers=words_of(provider or ""),
            cuda_graph=cuda_graph,
            threads=numbers_of(threads, "--threads") if threads is not None else (default_threads(),),
            batches=numbers_of(batch, "--batch"),
            frames=numbers_of(frames, "--frames"),
            sizes=numbers_of(size, "--size") if size is not None else (),
            input_kinds=words_of(input),
        )
        options = BenchOptions(
            models=(*(models or ()), *words_of(models_list or "")),
            axes=axes,
            untrained=tuple(untrained or ()),
            allow_unverified=allow_unverified,
            wer_clips=wer_clips,
            cache=cache,
            settings=settings_of(quick=quick, rounds=rounds, processes=processes, budget=budget, seed=seed),
            baseline=baseline,
            video="" if video is None else str(video),
            load=load_options.load_settings(
                load=load, streams=streams, stride=stride, bound_ms=latency_bound_ms, seconds=load_seconds, seed=seed
            ),
            roofline=roofline and not quick,
        )
    if options.models or not options.untrained:
        require_some_backend(options.axes, options.models)
    if (most := max(options.axes.threads)) > (cores := os.cpu_count() or most):
        console.warning(f"--threads {most} is more than the {cores} logical cores: threads wait for each other")
    folder = _folder(output, resume) or report_folder(Path("reports"), name)
    _run(options, name, folder, resume=resume is not None, json=json)


def _run(options: "BenchOptions", name: str, folder: Path, *, resume: bool, json: bool) -> None:
    from slrbench.measure.journal import JOURNAL_NAME
    from slrbench.workflows.bench import bench, require_passed_parity

    try:
        with console.Progress() as progress:
            report = bench(
                options,
                title=f"Benchmark: {name}",
                command=_command_line(),
                folder=folder,
                progress=progress,
                detail=progress.detail,
                resume=resume,
            )
    except KeyboardInterrupt:
        if (folder / JOURNAL_NAME).is_file():
            console.info(f"next: {shlex.join(['python', '-m', 'slrbench', 'bench', '--resume', str(folder)])}")
        raise
    path = folder / "report.json"
    if json:
        console.print_json({"report": path, "summary": report.summary, "skipped": report.skipped})
    else:
        _show(report)
    arguments = shlex.split(report.command)[3:] if report.command else sys.argv[1:]
    settings = options.settings
    thorough = None if "--quick" in arguments or settings.budget_s is not None else 2 * settings.rounds
    deeper = deeper_command(arguments, thorough)
    if settings.budget_s is not None:
        deeper += f" --budget {2 * max(settings.budget_s, report.measuring.get('spent_s', 0.0)):.0f}s"
    console.wrote(
        [path, *(folder / f"report.{kind}" for kind in ("md", "csv", "html"))],
        next_command=deeper,
    )
    require_passed_parity(report)


_BESIDE_RESUME = ("resume", "output", "json")


def _is_given(context: typer.Context) -> bool:
    """Whether anything that a journal holds was stated on the command line."""
    return any(
        source is not None and source.name == "COMMANDLINE"
        for name in context.params
        if name not in _BESIDE_RESUME and (source := context.get_parameter_source(name)) is not None
    )


def _folder(output: Path | None, resume: Path | None) -> Path | None:
    from slrbench.errors import BadInputError

    if output is not None and resume is not None and output.resolve() != resume.resolve():
        raise BadInputError(
            f"--output {output} is not the folder of --resume {resume}",
            hint="leave --output out, to go on where it began",
        )
    return resume if resume is not None else output


def _command_line() -> str:
    return shlex.join(["python", "-m", "slrbench", *sys.argv[1:]])


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
