"""Train one network into a verified checkpoint: over-fitting test, training or distillation, WER, controls, checks."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slrbench.data import open_corpus
from slrbench.data.corpus import Clip, Corpus, Split
from slrbench.errors import BadInputError, NegativeVerdictError
from slrbench.evaluation import evaluate
from slrbench.models.cost import count_parameters
from slrbench.models.ctc_head import Recogniser
from slrbench.models.registry import build_model
from slrbench.records import ErrorCounts
from slrbench.training.card import CARD_NAME, WEIGHTS_NAME, CheckpointCard, read_card
from slrbench.training.checkpoint import load_checkpoint, save_checkpoint, update_card
from slrbench.training.config import Role, RunConfig
from slrbench.training.loop import StepReport, Trainer, TrainingResult, infer_with
from slrbench.training.overfit import OverfitSettings, choose_clips, run_overfit
from slrbench.training.verification import verify_model

Progress = Callable[[str, int, int], None]
Say = Callable[[str], None]

_PACKAGES = ("torch", "torchvision", "numpy", "spoken-to-signed", "opencv-python-headless", "accelerate")


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What to train and where to leave it."""

    config: RunConfig
    models_folder: Path
    states_folder: Path
    resume: bool = False
    init: Path | None = None
    imagenet: bool = False
    overfit: bool = True
    """Whether the network must first pass the over-fitting test."""

    def model_id(self, role: Role) -> str:
        """Folder and id of the checkpoint."""
        return f"{role}-{self.config.preset}"

    def folder(self, role: Role) -> Path:
        """Where the checkpoint goes."""
        return self.models_folder / self.model_id(role)


def set_threads(config: RunConfig) -> None:
    """Give torch the number of threads of the configuration; 0 leaves torch's own choice, every core."""
    if config.threads:
        torch.set_num_threads(config.threads)


def train_checkpoint(
    role: Role, job: TrainingJob, *, teacher: Path | None = None, progress: Progress, say: Say
) -> CheckpointCard:
    """Train the network of ``role`` and save its checkpoint; with ``teacher``, distil.

    With ``job.resume``, a checkpoint of the same configuration is taken as it is, and a training that was interrupted
    continues.

    Raises:
        BadInputError: the teacher's checkpoint, an initialisation or a state cannot be used.
        NegativeVerdictError: the over-fitting test failed, the teacher is not good enough, or a check failed; a
            checkpoint with a failed check is saved all the same, and says so.
        RunFailedError: training failed.
        OSError: a folder cannot be written, or the disk is full.
    """
    set_threads(job.config)
    corpus = open_corpus(job.config.data)
    folder = job.folder(role)
    teacher_model, teacher_card = load_teacher(teacher, job.config, corpus) if teacher is not None else (None, None)
    identity = _identity(role, job, corpus, teacher_card)
    if job.resume and (found := _finished(folder, identity)) is not None:
        say(f"{found.model_id}: already trained with this configuration, taken as it is")
        return found
    _check_writable(folder)
    overfit = _overfit(role, job, corpus, progress, say) if job.overfit else None

    torch.manual_seed(job.config.seed)
    spec = job.config.network(role).spec(role, corpus.vocabulary.num_classes)
    model = build_model(spec, init=job.init, imagenet=job.imagenet)
    trainer = Trainer(
        model,
        corpus,
        job.config.optimisation(role),
        seed=job.config.seed,
        teacher=teacher_model,
        distillation=job.config.distillation,
        mixed_precision=job.config.mixed_precision,
        device=job.config.device,
        state_path=job.states_folder / f"{job.model_id(role)}.state",
    )
    if job.resume and trainer.load_state():
        say(f"{job.model_id(role)}: continuing after step {trainer.step}")
    result = trainer.run(_reporter(job.model_id(role), progress, say))
    return _finish(role, job, trainer, result, corpus, identity, overfit, teacher_card, progress, say)


def _finish(
    role: Role,
    job: TrainingJob,
    trainer: Trainer,
    result: TrainingResult,
    corpus: Corpus,
    identity: dict[str, Any],
    overfit: dict[str, Any] | None,
    teacher_card: CheckpointCard | None,
    progress: Progress,
    say: Say,
) -> CheckpointCard:
    """Measure, verify and save."""
    model = trainer.model
    model_id, folder = job.model_id(role), job.folder(role)
    wer = measure_wer(model, corpus, lambda text, done, total: progress(f"{model_id}: {text}", done, total))
    progress(f"{model_id}: control runs", 0, 2)
    controls = control_runs(model, corpus)
    card = CheckpointCard(
        model_id=model_id,
        spec=model.spec,
        glosses=corpus.vocabulary.glosses,
        data=corpus.spec,
        data_fingerprint=corpus.fingerprint(),
        frames_per_second=corpus.frames_per_second,
        frame_size=corpus.frame_size,
        parameters=count_parameters(model),
        trained_with={
            **identity,
            "steps": result.steps,
            "clips": result.steps * job.config.optimisation(role).batch_size,
            "seconds": round(result.seconds, 1),
            "clips_that_ctc_cannot_align": result.clips_dropped,
            "steps_skipped": result.steps_skipped,
            "distilled_from": teacher_card.model_id if teacher_card else None,
            "device": str(trainer.device),
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
            "versions": {name: importlib.metadata.version(name) for name in _PACKAGES},
            "git_revision": _git_revision(),
            "dev_wer_while_training": [[int(entry["step"]), round(entry["dev_wer"], 4)] for entry in result.history],
        },
        wer=wer,
        controls=controls,
        overfit=overfit,
    )
    save_checkpoint(folder, model, card)
    progress(f"{model_id}: checks", 0, 1)
    model, card = load_checkpoint(folder)
    checks = verify_model(
        model,
        glosses=card.glosses,
        frame_size=card.frame_size,
        reload_from=folder / WEIGHTS_NAME,
        probe=card.probe,
    )
    card = card.model_copy(update={"verification": checks})
    update_card(folder, card)
    failed = [check for check in checks if not check.passed]
    if failed:
        raise NegativeVerdictError(
            f"{model_id} failed {len(failed)} of {len(checks)} checks: {failed[0].name} ({failed[0].figure})",
            hint=f"python -m slrbench verify {folder}",
        )
    if trainer.state_path is not None:
        trainer.state_path.unlink(missing_ok=True)
    say(
        f"{model_id}: WER dev {wer['dev'].wer:.1%}, test {wer['test'].wer:.1%}, "
        f"{len(checks)} checks passed, {card.parameters:,} parameters"
    )
    return card


def measure_wer(model: Recogniser, corpus: Corpus, progress: Progress) -> dict[str, ErrorCounts]:
    """Word errors on every split but ``train``, greedy decoding."""
    infer = infer_with(model.eval(), next(model.parameters()).device)
    return {
        name: evaluate(
            infer,
            corpus.split(name),
            corpus.vocabulary,
            batch=8,
            progress=lambda done, total, name=name: progress(f"WER on {name}", done, total),  # type: ignore[misc]
        ).counts
        for name in corpus.split_names
        if name != "train"
    }


@dataclass(frozen=True)
class _Controlled:
    """A split whose clips are spoilt on purpose."""

    split: Split
    spoil: Callable[[Clip, int], Clip]
    clips: int

    @property
    def name(self) -> str:
        return self.split.name

    def __len__(self) -> int:
        return min(self.clips, len(self.split))

    def __getitem__(self, index: int) -> Clip:
        return self.spoil(self.split[index], index)

    def label_length(self, index: int) -> int:
        return self.split.label_length(index)


def _blank_video(clip: Clip, index: int) -> Clip:
    return replace(clip, frames=np.full_like(clip.frames, 128))


def _shuffled_frames(clip: Clip, index: int) -> Clip:
    order = np.random.default_rng(index).permutation(len(clip.frames))
    return replace(clip, frames=clip.frames[order])


def control_runs(model: Recogniser, corpus: Corpus, *, clips: int = 100) -> dict[str, float]:
    """WER on test clips without a picture and with their frames in random order.

    A network that reads the video must fail on both; one that guesses likely words, or ignores order, does not.
    """
    infer = infer_with(model.eval(), next(model.parameters()).device)
    controls = {"blank video": _blank_video, "shuffled frames": _shuffled_frames}
    return {
        name: evaluate(infer, _Controlled(corpus.split("test"), spoil, clips), corpus.vocabulary, batch=8).counts.wer
        for name, spoil in controls.items()
    }


def _overfit(role: Role, job: TrainingJob, corpus: Corpus, progress: Progress, say: Say) -> dict[str, Any]:
    """The over-fitting test: a network that cannot learn five clips by heart is not worth training."""
    model_id = job.model_id(role)
    wanted = job.config.overfit
    settings = OverfitSettings(
        samples=wanted.samples,
        epochs=wanted.epochs,
        learning_rate=wanted.learning_rate,
        warmup_epochs=wanted.warmup_epochs,
        dropout=wanted.dropout,
        seed=job.config.seed,
    )
    spec = job.config.network(role).spec(role, corpus.vocabulary.num_classes)
    clips = choose_clips(corpus.split("train"), settings, stride=spec.stride)
    result = run_overfit(
        spec, clips, settings, lambda p: progress(f"{model_id}: over-fitting test", p.stats.epoch, p.epochs)
    )
    figures = result.figures()
    if not result.achieved:
        raise NegativeVerdictError(
            f"{model_id} did not pass the over-fitting test: WER {result.final_counts.wer:.0%} on "
            f"{len(clips)} clips after {len(result.history)} epochs",
            hint=f"python -m slrbench overfit {role} --option a    (shows what to try)",
        )
    say(f"{model_id}: over-fitting test passed, 0% WER at epoch {result.first_zero_epoch} ({result.seconds:.0f} s)")
    return figures


def _reporter(model_id: str, progress: Progress, say: Say) -> Callable[[StepReport], None]:
    losses: list[float] = []
    speeds: list[float] = []

    def report(step: StepReport) -> None:
        losses.append(step.ctc)
        speeds.append(1 / step.clips_per_s)
        progress(f"{model_id}: training", step.step, step.steps)
        if step.dev_wer is not None:
            recent = sum(losses[-50:]) / len(losses[-50:])
            speed = len(speeds[-50:]) / sum(speeds[-50:])
            say(
                f"{model_id}: step {step.step}/{step.steps} | CTC {recent:.3f} per letter | dev WER {step.dev_wer:.1%} "
                f"| blank {step.blank_share:.0%} | {speed:.0f} clips/s"
            )

    return report


def load_teacher(path: Path, config: RunConfig, corpus: Corpus) -> tuple[Recogniser, CheckpointCard]:
    """A teacher that is worth learning from.

    Raises:
        BadInputError: the checkpoint cannot be used, or belongs to another corpus.
        NegativeVerdictError: it is not verified, or its dev WER is above the bound.
    """
    model, card = load_checkpoint(path)
    if card.checks_passed is not True:
        raise NegativeVerdictError(
            f"{card.model_id} is not verified: distilling from it would copy its faults",
            hint=f"python -m slrbench verify {path}",
        )
    dev, bound = card.wer.get("dev"), config.distillation.largest_teacher_wer
    if dev is None or dev.wer > bound:
        found = "was not measured" if dev is None else f"is {dev.wer:.1%}"
        raise NegativeVerdictError(
            f"the dev WER of {card.model_id} {found}, a teacher must be at {bound:.0%} or below",
            hint="train it longer, or raise the bound: --set distillation.largest_teacher_wer=0.5",
        )
    if (card.glosses, card.frame_size) != (corpus.vocabulary.glosses, corpus.frame_size):
        raise BadInputError(
            f"{card.model_id} was trained on {card.data}, not on {corpus.spec}",
            hint="distil on the teacher's own corpus: --data '" + card.data + "'",
        )
    return model, card


def _identity(role: Role, job: TrainingJob, corpus: Corpus, teacher: CheckpointCard | None) -> dict[str, Any]:
    """What determines the weights, for the card and to know a finished training again."""
    config = job.config
    return {
        "preset": config.preset,
        "seed": config.seed,
        "optimisation": config.optimisation(role).model_dump(),
        "mixed_precision": config.mixed_precision,
        "data_fingerprint": corpus.fingerprint(),
        "init": str(job.init) if job.init else ("imagenet" if job.imagenet else None),
        "distillation": config.distillation.model_dump() if teacher else None,
        "teacher_sha256": teacher.weights_sha256 if teacher else None,
    }


def _finished(folder: Path, identity: dict[str, Any]) -> CheckpointCard | None:
    if not (folder / CARD_NAME).exists():
        return None
    card = read_card(folder)
    same = all(card.trained_with.get(key) == value for key, value in identity.items())
    return card if same and card.checks_passed else None


def _check_writable(folder: Path) -> None:
    """Fail before training rather than after it.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".writable"
    probe.touch()
    probe.unlink()


def _git_revision() -> str | None:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None  # git is not installed
    return done.stdout.strip() or None
