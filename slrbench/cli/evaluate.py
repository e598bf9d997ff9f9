"""``slrbench evaluate``: word error rate of a checkpoint or an artifact on a split."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slrbench.cli import console
from slrbench.cli.verify import find_model

if TYPE_CHECKING:
    from slrbench.records import Accuracy
    from slrbench.workflows.evaluate import Evaluation

HEADERS = ["Model", "Backend", "Split", "Clips", "WER (%)", "Sub", "Del", "Ins", "Words", "Sequences wrong"]
SHOWN = 5
"""Wrong sequences that the table is followed by."""


def command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|FILE",
            help="A checkpoint's folder, the id of a model in trained_models, a .torchscript, .onnx, .xml or .engine "
            "file, or an archive that pack wrote, or the folder it was unpacked into (with --backend).",
        ),
    ],
    split: Annotated[str, typer.Option("--split", help="train, dev, test, or another split of the corpus.")] = "test",
    data: Annotated[str | None, typer.Option("--data", metavar="SPEC", help="Corpus, in place of the card's.")] = None,
    clips: Annotated[int | None, typer.Option("--clips", metavar="N", min=1, help="Only the first N clips.")] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="Of a model: torch (the checkpoint itself; the default), torchscript, onnx, openvino or trt.",
        ),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Most clips in one call.")] = 8,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads of the runtime (every core).")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="TEACHER",
            help="Compare a checkpoint's spikes with this one's on the same clips: how many output steps its glosses "
            "come later or earlier.",
        ),
    ] = None,
    spikes: Annotated[
        Path | None, typer.Option("--spikes", metavar="FILE.png", help="Draw that comparison; with --against.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, with every sequence.")] = False,
) -> None:
    """Measure the word error rate of a checkpoint or an artifact on a split.

    Runs that very file on its own runtime, decodes greedily and counts substitutions, deletions and insertions over all
    clips: WER = (S + D + I) / N. A file whose hash is not the one that was checked is refused.

    A file of an archive is measured on the test clips that were packed with it: evaluate ARCHIVE --backend onnx
    """
    from slrbench.errors import BadInputError
    from slrbench.workflows.archive import folder_of_pack, is_archive
    from slrbench.workflows.evaluate import evaluate_path

    if spikes is not None and against is None:
        raise BadInputError("--spikes draws a comparison with a teacher", hint="--against TEACHER")
    path = find_model(model)
    if is_archive(path):
        model = path = folder_of_pack(path)[0]
    with console.Progress() as progress:
        found = evaluate_path(
            path,
            split=split,
            data=data,
            clips=clips,
            backend=backend,
            batch=batch,
            threads=threads,
            progress=progress,
        )
        offsets = None
        if against is not None:
            from slrbench.workflows.spikes import spikes_against

            teacher = find_model(against)
            offsets = spikes_against(
                path, teacher, split=split, data=data, clips=clips, picture=spikes, progress=progress
            )
    for note in found.notes:
        console.warning(note)
    if json:
        document = {"accuracy": found.accuracy, "notes": found.notes, "sequences": _sequences(found)}
        console.print_json({**document, "spikes": offsets.figures()} if offsets is not None else document)
        return
    accuracy, counts = found.accuracy, found.accuracy.counts
    row = [
        accuracy.model,
        accuracy.backend,
        accuracy.split,
        accuracy.clips,
        _wer(accuracy),
        counts.substitutions,
        counts.deletions,
        counts.insertions,
        counts.reference_words,
        accuracy.sequences_wrong,
    ]
    console.result(console.table([row], HEADERS))
    for line in _wrong(found):
        console.result(line)
    if offsets is not None:
        console.result("\n" + offsets.sentence())
    console.wrote([spikes] if spikes is not None else [], next_command=_next_command(model))


def _wer(accuracy: "Accuracy") -> str:
    """In percent, with its interval over clips: ``1.67 (0.00 .. 4.17)``; alone where there are too few clips."""
    from slrbench.reporting.display import percent
    from slrbench.statistics.words import wer_interval

    known = accuracy.clip_errors and accuracy.clip_words
    interval = accuracy.wer_interval
    if interval is None and known:
        interval = wer_interval(accuracy.clip_errors, accuracy.clip_words)
    if interval is None:
        return percent(accuracy.wer)
    return f"{percent(accuracy.wer)} ({percent(interval.low)} .. {percent(interval.high)})"


def _next_command(model: Path) -> str:
    """An artifact is verified next, a model's files are measured against each other."""
    from slrbench.workflows.verify import kind_of

    command = "bench" if kind_of(find_model(model)) == "checkpoint" else "verify"
    return f"python -m slrbench {command} {shlex.quote(str(model))}"


def _sequences(found: "Evaluation") -> list[dict[str, list[str]]]:
    pairs = zip(found.result.references, found.result.hypotheses, strict=True)
    return [{"reference": list(reference), "hypothesis": list(hypothesis)} for reference, hypothesis in pairs]


def _wrong(found: "Evaluation") -> list[str]:
    pairs = zip(found.result.references, found.result.hypotheses, strict=True)
    wrong = [(reference, hypothesis) for reference, hypothesis in pairs if reference != hypothesis]
    lines = [
        f"  {' '.join(reference)}  was read as  {' '.join(hypothesis) or '(nothing)'}"
        for reference, hypothesis in wrong
    ]
    more = [f"  and {len(wrong) - SHOWN} more (--json names all)"] if len(wrong) > SHOWN else []
    return [*lines[:SHOWN], *more]
