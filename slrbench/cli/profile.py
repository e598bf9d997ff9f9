"""``slrbench profile``: where the time of one call goes."""

from pathlib import Path
from typing import Annotated

import typer

from slrbench.cli import console
from slrbench.cli.verify import find_model


def command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="ARTIFACT",
            help="A .torchscript, .onnx, .xml or .engine file, a checkpoint's folder, or the id of a model in "
            "trained_models (its checkpoint in torch).",
        ),
    ],
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, or cuda:N for an engine; by default where the file runs.")
    ] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1, help="Threads; one per physical core.")] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Clips of a call.")] = 1,
    frames: Annotated[int, typer.Option("--frames", min=1, help="Frames of a clip.")] = 32,
    size: Annotated[
        int | None, typer.Option("--size", metavar="PIXELS", min=1, help="Height and width; the model's by default.")
    ] = None,
    input: Annotated[
        str | None, typer.Option("--input", metavar="KIND", help="float32 or uint8, for a file in no manifest.")
    ] = None,
    calls: Annotated[int, typer.Option("--calls", min=1, help="Calls that are profiled.")] = 20,
    depth: Annotated[int, typer.Option("--depth", min=1, help="Parts of a module's name that make a group.")] = 2,
    top: Annotated[int, typer.Option("--top", min=0, help="Longest operators that are listed.")] = 12,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Write profile.json, .md and .png there."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")] = False,
) -> None:
    """List the time of one call by the network's modules and by operator, from the runtime's own profiler.

    What is shown is how a call's time is shared out. How long a call takes is what bench measures, without a profiler.

    For example: profile trained_models/student/model.onnx --frames 64 --output reports/profile
    """
    from slrbench.workflows.profile import ProfileOptions, profile_path

    options = ProfileOptions(
        device=device, threads=threads, batch=batch, frames=frames, size=size, input_kind=input, calls=calls
    )
    if output is not None:
        from slrbench.workflows.folders import check_writable

        check_writable(output)
        _require_matplotlib()
    with console.Progress() as progress:
        progress(f"profiling {path}", 0, 1)
        found = profile_path(find_model(path), options)
    from slrbench.reporting.profile_tables import profile_text

    text = profile_text(found, depth=depth, top=top)
    if json:
        console.print_json(found)
    else:
        console.result(text)
    if output is not None:
        from exporters.artifact import write_text_atomically
        from slrbench.reporting.profile_plot import save_profile_plot

        written = [output / "profile.json", output / "profile.md", output / "profile.png"]
        write_text_atomically(written[0], found.model_dump_json(indent=2) + "\n")
        write_text_atomically(written[1], f"# Profile of {found.model} on {found.backend}\n\n{text}\n")
        save_profile_plot(written[2], found, depth=depth)
        console.wrote(written)


def _require_matplotlib() -> None:
    """Return where the picture can be drawn; said before anything is profiled.

    Raises:
        UnavailableError: it cannot.
    """
    from importlib.util import find_spec

    from slrbench.errors import UnavailableError

    if find_spec("matplotlib") is None:
        raise UnavailableError(
            "the picture needs matplotlib, which is not installed here",
            hint="pip install matplotlib; without --output the tables need none",
        )
