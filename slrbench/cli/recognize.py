"""``slrbench recognize``: the glosses of videos."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slrbench.cli import console
from slrbench.cli.verify import find_model

if TYPE_CHECKING:
    from slrbench.recognise.online import Update
    from slrbench.recognise.results import Recognition, Segment
    from slrbench.workflows.recognise import Recognised, Wishes

HEADERS = ["Gloss", "Start (s)", "End (s)", "Confidence (%)"]


def command(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...",
            help="Video files, folders with one picture per frame, a camera such as /dev/video0, or - for a video that "
            "comes through stdin.",
        ),
    ],
    model: Annotated[
        Path,
        typer.Option(
            "--model",
            metavar="PATH",
            help="A checkpoint's folder, the id of a model in trained_models, a .torchscript, .onnx, .xml or .engine "
            "file with its card beside it, or an archive that pack wrote (with --backend).",
        ),
    ],
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="Of a model: torch (the checkpoint itself; the default), torchscript, onnx, openvino or trt.",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu, cuda or cuda:N; the CPU by default, the GPU for engines.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads of the runtime; one per physical core by default.")
    ] = None,
    fit: Annotated[
        str,
        typer.Option("--fit", help="Frames of another aspect ratio: squash them, or crop them around the centre."),
    ] = "squash",
    decoder: Annotated[
        str, typer.Option("--decoder", help="greedy, or beam:N for prefix beam search that keeps N prefixes.")
    ] = "greedy",
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document; with --online, one line for each update.")
    ] = False,
    srt: Annotated[
        Path | None, typer.Option("--srt", metavar="PATH", help="Write subtitles: a file, for several videos a folder.")
    ] = None,
    render: Annotated[
        Path | None,
        typer.Option(
            "--render",
            metavar="PATH",
            help="Write the video with the glosses below it: an .mp4 file, for several videos a folder.",
        ),
    ] = None,
    font: Annotated[
        Path | None,
        typer.Option("--font", metavar="FILE", help="Font of --render, for letters that the built-in one lacks."),
    ] = None,
    online: Annotated[
        bool, typer.Option("--online", help="Recognise while frames arrive, and print glosses as they are settled.")
    ] = False,
    window: Annotated[
        int | None, typer.Option("--window", metavar="FRAMES", min=1, help="Online: frames at a time (64).")
    ] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", metavar="FRAMES", min=1, help="Online: frames between two runs (16).")
    ] = None,
    lookahead: Annotated[
        int | None,
        typer.Option(
            "--lookahead",
            metavar="FRAMES",
            min=0,
            help="Online: frames to be seen after a gloss before it is settled; half of window less stride by default.",
        ),
    ] = None,
) -> None:
    """Print the glosses of videos with start, end and confidence.

    A video that cannot be read is named, and the others go on; the exit code is then 2. Times are where the network
    says a gloss, within or close to the sign; confidence is its mean probability there.

    Example: python -m slrbench recognize word.mp4 --model trained_models/student-full --render seen.mp4
    """
    from slrbench.errors import BadInputError

    if fit not in ("squash", "crop"):
        raise BadInputError(f"--fit is {fit!r}, expected squash or crop", hint="--fit squash")
    given = {"--window": window, "--stride": stride, "--lookahead": lookahead}
    stray = next((name for name, value in given.items() if value is not None and not online), None)
    if stray is not None:
        raise BadInputError(f"{stray} goes with --online", hint="--online")
    from slrbench.workflows.recognise import OnlineSettings, Wishes, recognise_videos, worst_error
    from slrbench.workflows.recognizer import Recognizer

    lengths = {name.removeprefix("--"): value for name, value in given.items() if value is not None}
    wishes = Wishes(online=OnlineSettings(**lengths) if online else None, srt=srt, render=render, font=font)
    with Recognizer.load(
        find_model(model),
        backend=backend,
        device=device,
        threads=threads,
        fit="crop" if fit == "crop" else "squash",
        decoder=decoder,
    ) as recognizer:
        show = _Show(json=json, several=len(videos) > 1)
        for note in recognizer.target.notes:
            console.warning(note)
        found = recognise_videos(
            recognizer, videos, wishes, on_start=show.start, on_update=show.update, on_done=show.done
        )
    if json and not online:
        console.print_json({"model": str(recognizer.target.path), "videos": [_document(each) for each in found]})
    wrote = [path for each in found for path in each.wrote]
    error = worst_error(found)
    console.wrote(wrote, next_command=None if error is not None else _next_command(model, videos, wishes))
    if error is not None:
        raise error


class _Show:
    """What is printed while the videos are read."""

    def __init__(self, *, json: bool, several: bool) -> None:
        self._json = json
        self._several = several

    def start(self, name: str) -> None:
        console.info(f"recognising {name}")

    def update(self, name: str, update: "Update") -> None:
        """Online: a line for each gloss that is settled; as JSON, each update with what is tentative."""
        if self._json:
            console.json_line(
                {
                    "video": name,
                    "at_s": update.at_s,
                    "committed": update.committed,
                    "tentative": update.tentative,
                }
            )
            return
        for segment in update.committed:
            start, end = f"{segment.start_s:.2f}", f"{segment.end_s:.2f}"
            console.result(
                f"{start:>8} – {end:<8} {segment.gloss}  {segment.confidence:.0%}  settled at {update.at_s:.2f} s",
                flush=True,
            )

    def done(self, found: "Recognised") -> None:
        if found.recognition is None:
            if self._several and found.error is not None:
                console.error(found.error.message, found.error.hint)
        elif not self._json:
            for line in _lines(found.name, found.recognition):
                console.result(line)
        if found.recognition is not None and found.recognition.window is not None and not self._json:
            console.info(f"{found.name}: the network saw {found.recognition.window} frames at a time")


def _lines(name: str, found: "Recognition") -> list[str]:
    sentence = " ".join(found.glosses) or "(nothing)"
    lines = [f"{name}: {sentence}"]
    if found.segments:
        lines += [console.table([_row(segment) for segment in found.segments], HEADERS), ""]
    return lines


def _row(segment: "Segment") -> list[str]:
    return [
        segment.gloss,
        f"{segment.start_s:.2f}",
        f"{segment.end_s:.2f}",
        f"{100 * segment.confidence:.1f}",
    ]


def _document(found: "Recognised") -> dict[str, Any]:
    if found.recognition is None:
        error = found.error
        return {"video": found.name, "error": error.message if error else "", "hint": error.hint if error else None}
    return {
        "video": found.name,
        "glosses": list(found.recognition.glosses),
        **found.recognition.model_dump(mode="json"),
    }


def _next_command(model: Path, videos: list[str], wishes: "Wishes") -> str | None:
    if wishes.render is not None or wishes.online is not None or len(videos) != 1 or videos == ["-"]:
        return None
    return f"python -m slrbench recognize {shlex.quote(videos[0])} --model {shlex.quote(str(model))} --render seen.mp4"
