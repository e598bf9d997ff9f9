"""``slrbench overfit``: can a network learn a handful of clips by heart."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slrbench.cli import console

if TYPE_CHECKING:
    from slrbench.data.corpus import Corpus
    from slrbench.models.spec import ModelSpec
    from slrbench.training.config import Role
    from slrbench.training.overfit_records import OverfitProgress, OverfitResult, OverfitSettings

DEFAULT_DATA = "fingerspelling:language=ase,size=48"
ROLES: tuple["Role", ...] = ("teacher", "student")
LINE_EVERY = 10
"""Epochs from one printed line to the next, where no warning comes between."""


def command(
    network: Annotated[
        str | None, typer.Argument(metavar="[teacher|student]", help="The network; not needed with --compare.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Run teacher and student with the same hyper-parameters.")
    ] = False,
    option: Annotated[
        str | None,
        typer.Option(
            "--option",
            metavar="a|b|c",
            help="What to try next: a = lower learning rate, longer warm-up, less dropout; b = AdamW, weight decay; "
            "c = 3 samples, no dropout, 4000 epochs. Single options below win over it.",
        ),
    ] = None,
    samples: Annotated[int | None, typer.Option("--samples", min=1, help="Training clips (5).")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs at most (2000).")] = None,
    lr: Annotated[float | None, typer.Option("--lr", min=0.0, help="Learning rate after the warm-up (0.001).")] = None,
    warmup: Annotated[int | None, typer.Option("--warmup", min=0, help="Epochs of linear warm-up (50).")] = None,
    dropout: Annotated[float | None, typer.Option("--dropout", min=0.0, max=0.99, help="Dropout (0.1).")] = None,
    optimizer: Annotated[str | None, typer.Option("--optimizer", metavar="adam|adamw", help="(adam)")] = None,
    weight_decay: Annotated[float | None, typer.Option("--weight-decay", min=0.0, help="(0)")] = None,
    clip: Annotated[
        float | None, typer.Option("--clip", min=1e-6, help="Largest gradient norm of a step (1.0).")
    ] = None,
    target_loss: Annotated[
        float | None, typer.Option("--target-loss", min=1e-6, help="The loss must be below this (0.1).")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of clips, weights and dropout (0).")] = None,
    data: Annotated[str, typer.Option("--data", metavar="SPEC", help="Corpus.")] = DEFAULT_DATA,
    size: Annotated[
        int | None, typer.Option("--size", min=1, help="Frame size in pixels, in place of --data's.")
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="Where the networks' dimensions come from.")] = "demo",
    width: Annotated[
        float | None,
        typer.Option("--width", min=0.01, help="Channel multiplier of the network, in place of the preset's."),
    ] = None,
    lstm_hidden: Annotated[int | None, typer.Option("--lstm-hidden", min=1, help="In place of the preset's.")] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE.png", help="(runs/overfit-NETWORK/overfit.png)")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document, with every epoch.")] = False,
) -> None:
    """Check that a network can learn: 0 % WER on a handful of clips.

    Stops once the WER is 0 % and the loss under 0.1 and both have stayed so. WER is measured in evaluation mode, each
    clip alone. Exit code 1 where 0 % is not reached: then the tips at the end say what to try.
    """
    roles = _roles(network, compare)
    settings = _settings(
        option,
        samples=samples,
        epochs=epochs,
        learning_rate=lr,
        warmup_epochs=warmup,
        dropout=dropout,
        optimizer=optimizer,
        weight_decay=weight_decay,
        clip_norm=clip,
        target_loss=target_loss,
        seed=seed,
    )
    from slrbench.data import open_corpus
    from slrbench.training.overfit import choose_clips, run_overfit
    from slrbench.training.overfit_plot import save_plot

    corpus = open_corpus(_with_size(data, size))
    results: dict[str, OverfitResult] = {}
    for role in roles:
        spec = _spec(role, corpus, preset=preset, width=width, lstm_hidden=lstm_hidden)
        clips = choose_clips(corpus.split("train"), settings, stride=spec.stride)
        console.info(f"{role}: {len(clips)} clips of {corpus.spec}: {', '.join(clip.clip_id for clip in clips)}")
        results[role] = run_overfit(spec, clips, settings, _show)
    path = save_plot(plot or Path("runs") / f"overfit-{'compare' if compare else roles[0]}" / "overfit.png", results)
    _report(results, json=json, path=path)


def _roles(network: str | None, compare: bool) -> tuple["Role", ...]:
    from slrbench.errors import BadInputError

    if compare:
        return ROLES
    chosen = tuple(role for role in ROLES if role == network)
    if not chosen:
        raise BadInputError(
            f"unknown network {network!r}, expected teacher or student" if network else "no network was named",
            hint="python -m slrbench overfit teacher    (or student, or --compare for both)",
        )
    return chosen


def _settings(option: str | None, **given: Any) -> "OverfitSettings":
    from pydantic import ValidationError

    from slrbench.errors import BadInputError
    from slrbench.training.overfit_records import OPTIONS, OverfitSettings

    if option is not None and option not in OPTIONS:
        raise BadInputError(f"unknown option {option!r}, expected a, b or c", hint="--option a")
    chosen = dict(OPTIONS[option]) if option is not None else {}
    chosen.update({name: value for name, value in given.items() if value is not None})
    try:
        return OverfitSettings(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadInputError(
            f"{first['loc'][0]} = {first['input']!r} does not fit: {first['msg']}",
            hint="python -m slrbench overfit --help",
        ) from error


def _with_size(data: str, size: int | None) -> str:
    """The corpus spec with its frame size replaced."""
    from slrbench.data.options import with_option

    return data if size is None else with_option(data, "size", str(size))


def _spec(role: "Role", corpus: "Corpus", *, preset: str, width: float | None, lstm_hidden: int | None) -> "ModelSpec":
    from slrbench.training.config import load_preset

    spec = load_preset(preset).network(role).spec(role, corpus.vocabulary.num_classes)
    changed: dict[str, Any] = {}
    if width is not None:
        changed["width" if role == "teacher" else "width_mult"] = width
    if lstm_hidden is not None:
        changed["lstm_hidden"] = lstm_hidden
    return spec.model_copy(update=changed)


def _show(progress: "OverfitProgress") -> None:
    """A line each ten epochs, at the end, and where there is something to say."""
    for warning in progress.warnings:
        console.info(warning)
    epoch = progress.stats.epoch
    if epoch == 1 or epoch % LINE_EVERY == 0 or progress.finished:
        console.info(progress.line())


def _report(results: dict[str, "OverfitResult"], *, json: bool, path: Path) -> None:
    """The result on stdout; the exit code by the exception.

    Raises:
        NegativeVerdictError: a run did not reach 0 % WER with the loss under its bound.
    """
    from slrbench.errors import NegativeVerdictError
    from slrbench.training.overfit_monitor import outcome, what_to_try

    if json:
        console.print_json({"runs": results, "plot": path})
    else:
        if len(results) > 1:
            console.result(console.table(_rows(results), HEADERS))
        for name, result in results.items():
            console.result("\n".join(_last_words(name if len(results) > 1 else "", result)))
    console.wrote([path], next_command=_next_command(results))
    failed = [name for name, result in results.items() if not result.achieved]
    if failed:
        raise NegativeVerdictError(
            "; ".join(f"{name}: {outcome(results[name])}" for name in failed),
            hint=f"python -m slrbench overfit {failed[0]} {what_to_try(results[failed[0]])}",
        )


HEADERS = [
    "Network",
    "0% WER at",
    "Epochs",
    "Loss",
    "Best loss",
    "WER",
    "Best WER",
    "Warnings",
    "Parameters",
    "Time (s)",
]


def _rows(results: dict[str, "OverfitResult"]) -> list[list[Any]]:
    return [
        [
            name,
            result.first_zero_epoch,
            len(result.history),
            _four(result.final_loss),
            _four(result.best_loss),
            f"{result.final_counts.wer:.2%}",
            f"{result.best_wer:.2%}",
            len(result.warnings),
            f"{result.parameters:,}",
            f"{result.seconds:.1f}",
        ]
        for name, result in results.items()
    ]


def _four(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def _last_words(name: str, result: "OverfitResult") -> list[str]:
    from slrbench.training.overfit_monitor import debugging_tips, outcome

    prefix = f"{name}: " if name else ""
    if result.achieved:
        return [
            f"{prefix}SUCCESS! Achieved 0% WER at epoch {result.first_zero_epoch}"
            f"   (loss {_four(result.final_loss)} after {len(result.history)} epochs, {result.seconds:.0f} s)"
        ]
    tips = debugging_tips(result)
    return [
        f"{prefix}{outcome(result)}   (best loss {_four(result.best_loss)})",
        "Debugging tips:",
        *[f"  {number}. {tip}" for number, tip in enumerate(tips, start=1)],
    ]


def _next_command(results: dict[str, "OverfitResult"]) -> str | None:
    if not all(result.achieved for result in results.values()):
        return None
    return (
        "python -m slrbench train-and-export" if len(results) > 1 else f"python -m slrbench train {next(iter(results))}"
    )
