"""``slrbench data``: look at a corpus before training on it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from slrbench.cli import console


def command(
    spec: Annotated[
        str, typer.Argument(metavar="SPEC", help="Corpus, for example fingerspelling:letters=10,size=48.")
    ] = "fingerspelling",
    preview: Annotated[
        list[Path] | None,
        typer.Option("--preview", metavar="FILE", help="Contact sheet (.png) or video (.gif, .mp4); may be repeated."),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Split of the preview.")] = "test",
    clips: Annotated[int, typer.Option("--clips", min=1, help="Clips of the preview.")] = 6,
    plain: Annotated[
        bool, typer.Option("--plain", help="A video preview of the frames alone, for recognize to read.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Print what a person checks first: clips, frames, letters, output steps, and what CTC cannot align.

    Example: python -m slrbench data fingerspelling:letters=10,size=64 --preview letters.png --preview letters.mp4
    """
    from slrbench.data import open_corpus

    corpus = open_corpus(spec)
    if preview:
        from slrbench.data.preview import write_preview

        for path in preview:
            write_preview(corpus, path, split=split, clips=clips, plain=plain)
    console.info("rendering every clip to count its frames")
    statistics = dict(corpus.statistics())
    if json:
        console.print_json(statistics)
    else:
        _show(statistics)
    console.wrote(preview or [], next_command=f"python -m slrbench train-and-export --data '{corpus.spec}'")


def _show(statistics: dict[str, Any]) -> None:
    splits = statistics.pop("splits")
    for name, value in statistics.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        console.result(f"{name.replace('_', ' ')}: {' '.join(text) if isinstance(text, list) else text}")
    console.result("")
    rows = [
        [
            name,
            figures["clips"],
            *("–".join(str(n) for n in figures[key]) for key in _SPREADS),
            figures["frames_per_letter"],
            figures["not_alignable_at_stride_4"],
        ]
        for name, figures in splits.items()
    ]
    headers = ["Split", "Clips", "Frames", "Letters", "Output steps", "Frames/letter", "Not alignable"]
    console.result(console.table(rows, headers))
    console.result("Signers are named by the code of their sign language, and the letters whose shape is shared.")
    console.result("Spreads are least–median–most; not alignable: clips whose label CTC cannot fit at stride 4.")


_SPREADS = ("frames_min_median_max", "letters_min_median_max", "output_steps_min_median_max")
