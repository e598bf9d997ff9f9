"""``slrbench evaluate``: word error rate of a checkpoint or an artifact on a split."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slrbench.cli import console
from slrbench.cli.common_options import Cache
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
        int | None, typer.Option("--threads", min=1, help="Threads of the runtime; one per physical core by default.")
    ] = None,
    decoder: Annotated[
        str,
        typer.Option(
            "--decoder", metavar="NAME", help="greedy, or beam:10: prefix beam search that keeps 10 sequences."
        ),
    ] = "greedy",
    lm: Annotated[
        str | None,
        typer.Option(
            "--lm",
            metavar="N|FILE",
            help="Of a beam search: an n-gram model over glosses, of order N from the training split, or from a file.",
        ),
    ] = None,
    lm_weight: Annotated[
        float | None, typer.Option("--lm-weight", min=0.0, help="Weight of its log-probability (0.5).")
    ] = None,
    insertion_bonus: Annotated[
        float, typer.Option("--insertion-bonus", help="Of a beam search: nats for each gloss.")
    ] = 0.0,
    prune: Annotated[
        float | None,
        typer.Option(
            "--prune",
            min=0.1,
            help="Of a beam search: add no gloss that is this many nats less probable than a step's best class.",
        ),
    ] = None,
    save_lm: Annotated[
        Path | None, typer.Option("--save-lm", metavar="FILE", help="Write the n-gram model as JSON.")
    ] = None,
    scoring: Annotated[
        str | None,
        typer.Option(
            "--scoring",
            metavar="NAME",
            help="Clean-up before errors are counted: plain, phoenix2014, phoenix2014-sentence, phoenix2014t or "
            "csl-daily (the corpus's own).",
        ),
    ] = None,
    alignment: Annotated[
        str | None,
        typer.Option(
            "--alignment",
            metavar="COSTS",
            help="unit: every error costs 1; sclite: a substitution 4, a deletion or insertion 3 (the scoring's own).",
        ),
    ] = None,
    cache: Cache = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that decode clips for the cache.")] = 0,
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

    Runs that very file on its own runtime, decodes and counts substitutions, deletions and insertions over all clips:
    WER = (S + D + I) / N. A file whose hash is not the one that was checked is refused.

    A file of an archive is measured on the test clips that were packed with it: evaluate ARCHIVE --backend onnx
    """
    from slrbench.errors import BadInputError
    from slrbench.workflows.archive import folder_of_pack, is_archive
    from slrbench.workflows.decoding import DecoderOptions
    from slrbench.workflows.evaluate import evaluate_path

    decoding = DecoderOptions(
        decoder=decoder,
        lm=lm,
        lm_weight=lm_weight,
        insertion_bonus=insertion_bonus,
        prune=prune,
        save_lm=save_lm,
    )
    if workers and cache is None:
        raise BadInputError("--workers decode clips for a cache, and there is none", hint="--cache FOLDER")
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
            decoding=decoding,
            scoring=scoring,
            alignment=alignment,
            cache=cache,
            workers=workers,
            progress=progress,
        )
        offsets = None
        if against is not None:
            from slrbench.workflows.spikes import spikes_against

            teacher = find_model(against)
            offsets = spikes_against(
                path, teacher, split=split, data=data, clips=clips, picture=spikes, progress=progress, cache=cache
            )
    for note in found.notes:
        console.warning(note)
    if json:
        console.print_json(
            {
                "accuracy": found.accuracy,
                "notes": found.notes,
                "language_model": found.language_model,
                "sequences": _sequences(found),
                **({"spikes": offsets.figures()} if offsets is not None else {}),
            }
        )
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
    for line in (*_wrong(found), *_how(found)):
        console.result(line)
    if offsets is not None:
        console.result("\n" + offsets.sentence())
    wrote = [each for each in (save_lm, spikes) if each is not None]
    console.wrote(wrote, next_command=_next_command(model))


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


def _how(found: "Evaluation") -> list[str]:
    """How the figures came about, and what the other alignment gives where it gives something else."""
    from slrbench.reporting.display import percent
    from slrbench.scoring import rule_named

    accuracy, other, model = found.accuracy, found.accuracy.other_alignment, found.language_model
    lines = [
        f"Decoder: {accuracy.decoder}. Scoring: {accuracy.scoring} ({rule_named(accuracy.scoring).about}), "
        f"{_COSTS[accuracy.alignment]}."
    ]
    if other is not None and other != accuracy.counts:
        costs = _COSTS["sclite" if accuracy.alignment == "unit" else "unit"]
        lines.append(
            f"With {costs}: WER {percent(other.wer)} % ({other.substitutions} sub, {other.deletions} del, "
            f"{other.insertions} ins)."
        )
    if model is not None and model.perplexity is not None:
        lines.append(
            f"Language model: order {model.order}, perplexity {model.perplexity:.1f} on {model.words} words of "
            f"{accuracy.split}."
        )
    return lines


_COSTS = {"unit": "unit alignment (every error costs 1)", "sclite": "sclite alignment (4, 3, 3)"}


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
