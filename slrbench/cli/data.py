"""``slrbench data``: look at a corpus before training on it."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slrbench.cli import console

if TYPE_CHECKING:
    from slrbench.data.corpus import Corpus
    from slrbench.data.distributions import LengthAndGlosses
    from slrbench.data.indexed import IndexedCorpus

SHOWN = 10
"""Clips that are named before they are only counted."""


def command(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC",
            help="Corpus: fingerspelling:letters=10,size=48, or phoenix2014:PATH, phoenix2014t:PATH, csl-daily:PATH or "
            "manifest:FILE, each with options such as ,size=112.",
        ),
    ] = "fingerspelling",
    preview: Annotated[
        list[Path] | None,
        typer.Option("--preview", metavar="FILE", help="Contact sheet (.png) or video (.gif, .mp4); may be repeated."),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="Split of the preview.")] = "test",
    clips: Annotated[int, typer.Option("--clips", min=1, help="Clips of the preview.")] = 6,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Draw how clips, labels and glosses are distributed."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Decode the beginning of each clip only.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, with every clip that is left out.")] = (
        False
    ),
) -> None:
    """Print what a person checks first: clips, signers, frames, glosses, what CTC cannot align, and broken files.

    Reads every file, so that a broken one is found now and not in the third epoch; --quick reads fewer.

    Example: python -m slrbench data fingerspelling:letters=10,size=64 --preview letters.png --preview letters.mp4

    Example: python -m slrbench data phoenix2014:/data/phoenix2014-release --plot phoenix.png
    """
    from slrbench.data import open_corpus
    from slrbench.data.distributions import LengthAndGlosses, check_plot_path
    from slrbench.data.indexed import IndexedCorpus

    if plot is not None:
        check_plot_path(plot)
    corpus = open_corpus(spec)
    if preview:
        from slrbench.data.preview import write_preview

        for path in preview:
            write_preview(corpus, path, split=split, clips=clips)
    statistics: dict[str, Any]
    drawn: dict[str, list[LengthAndGlosses]] | None = None
    if isinstance(corpus, IndexedCorpus):
        statistics, drawn = _survey(corpus, quick=quick)
    else:
        console.info("rendering every clip to count its frames")
        statistics = dict(corpus.statistics())
    if plot is not None:
        _draw(corpus, plot, drawn)
    if json:
        console.print_json(statistics)
    elif isinstance(corpus, IndexedCorpus):
        _show_indexed(statistics)
    else:
        _show(statistics)
    wrote = [*(preview or []), *([plot] if plot is not None else [])]
    console.wrote(wrote, next_command=f"python -m slrbench train-and-export --data {shlex.quote(corpus.spec)}")


def _survey(corpus: "IndexedCorpus", *, quick: bool) -> tuple[dict[str, Any], "dict[str, list[LengthAndGlosses]]"]:
    from slrbench.data.distributions import LengthAndGlosses
    from slrbench.data.survey import survey

    with console.Progress() as progress:
        found = survey(
            corpus,
            read="some" if quick else "all",
            progress=lambda done, total: progress("reading the clips", done, total),
        )
    drawn = {
        name: [LengthAndGlosses(frames=c.frames, glosses=c.glosses) for c in found.of(name) if c.frames is not None]
        for name in corpus.split_names
    }
    return found.document(), drawn


def _draw(corpus: "Corpus", path: Path, drawn: "dict[str, list[LengthAndGlosses]] | None") -> None:
    from slrbench.data.distributions import LengthAndGlosses, write_distributions

    unit = "gloss"
    if drawn is None:
        unit, drawn = "letter", {}
        for name in corpus.split_names:
            split = corpus.split(name)
            clips = [split[index] for index in range(len(split))]
            drawn[name] = [LengthAndGlosses(frames=len(clip.frames), glosses=clip.glosses) for clip in clips]
    write_distributions(path, drawn, title=corpus.spec, unit=unit)


def _show_indexed(statistics: dict[str, Any]) -> None:
    splits: dict[str, dict[str, Any]] = statistics["splits"]
    height, width = statistics["frame_size"]
    console.result(f"corpus: {statistics['corpus']}")
    console.result(f"fingerprint: {statistics['fingerprint']}")
    console.result(f"frames: {height} x {width} pixels for the network, {statistics['frames_per_second']:g} per second")
    console.result(f"vocabulary: {len(statistics['vocabulary'])} glosses, of train only")
    console.result(f"scoring: {statistics['scoring']}")
    for note in statistics["notes"]:
        console.result(console.wrapped(note, first="note: "))
    console.result("")
    console.result(console.table([_counts(name, f) for name, f in splits.items()], _COUNTS))
    console.result("")
    console.result(console.table([_lengths(name, f) for name, f in splits.items()], _LENGTHS))
    for line in (
        "Spreads are least–median–most. Out of vocabulary: glosses that are not in train; each is an error.",
        "Repeats: a gloss right after the same gloss. Not alignable: clips with fewer output steps at that stride than "
        "CTC needs for their glosses; training leaves them out.",
    ):
        console.result(console.wrapped(line, indent=""))
    unseen = {name: figures["signers_not_in_train"] for name, figures in splits.items() if name != "train"}
    for name, signers in unseen.items():
        if signers:
            console.result(
                console.wrapped(f"{name} has signers that are not in train: {', '.join(signers)}", indent="")
            )
    _name_clips("left out", [(c["clip_id"], c["split"], c["reason"]) for c in statistics["missing"]])
    _name_clips("unreadable", [(c["clip_id"], c["split"], c["reason"]) for c in statistics["unreadable"]])
    if statistics["decoded"] == "some":
        console.result("Only the beginning of each clip was decoded (--quick): what breaks later is not found.")


def _name_clips(word: str, clips: list[tuple[str, str, str]]) -> None:
    """The first ``SHOWN`` clips with their reasons, and how many more there are."""
    if not clips:
        return
    console.result("")
    console.result(f"{len(clips)} {'clip is' if len(clips) == 1 else 'clips are'} {word}:")
    for clip_id, split, reason in clips[:SHOWN]:
        console.result(console.wrapped(f"{clip_id} ({split or 'no split'}): {reason}", first="  ", indent="    "))
    if len(clips) > SHOWN:
        console.result(f"  and {len(clips) - SHOWN} more (--json names all)")


_COUNTS = ["Split", "Clips", "Signers", "Frames", "Glosses", "Out of vocab.", "Left out", "Unreadable"]
_LENGTHS = ["Split", "Frames", "Glosses", "Frames/gloss", "Repeats", "Not alignable at 4", "at 8"]


def _counts(name: str, figures: dict[str, Any]) -> list[object]:
    return [
        name,
        figures["clips"],
        len(figures["signers"]),
        figures["frames"],
        figures["glosses"],
        figures["out_of_vocabulary"],
        figures["missing"],
        figures["unreadable"],
    ]


def _lengths(name: str, figures: dict[str, Any]) -> list[object]:
    return [
        name,
        _spread(figures["frames_min_median_max"]),
        _spread(figures["glosses_min_median_max"]),
        figures["frames_per_gloss"],
        figures["adjacent_repeats"],
        figures["not_alignable_at_stride_4"],
        figures["not_alignable_at_stride_8"],
    ]


def _spread(values: list[int]) -> str:
    return "–".join(map(str, values))


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
            *(_spread(figures[key]) for key in _SPREADS),
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
