"""Train one network into a verified checkpoint: over-fitting test, training or distillation, WER, controls, checks."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from slrbench.data import open_corpus
from slrbench.data.corpus import Corpus
from slrbench.errors import BadInputError, NegativeVerdictError, SlrbenchError
from slrbench.models.cost import count_parameters
from slrbench.models.ctc_head import Recogniser
from slrbench.models.registry import build_model
from slrbench.models.spec import ModelSpec
from slrbench.training.card import CARD_NAME, WEIGHTS_NAME, CheckpointCard, read_card
from slrbench.training.checkpoint import load_checkpoint, save_checkpoint, update_card
from slrbench.training.config import Role, RunConfig
from slrbench.training.distributed import Processes, ends_with_the_others
from slrbench.training.launch import restarts
from slrbench.training.loop import StepReport, Trainer
from slrbench.training.optimisers import release
from slrbench.training.overfit import choose_clips, run_overfit
from slrbench.training.overfit_records import OverfitSettings
from slrbench.training.verification import verify_model
from slrbench.workflows.caching import fill_cache
from slrbench.workflows.evaluate import left_out_notes
from slrbench.workflows.folders import check_writable
from slrbench.workflows.provenance import initial_weights, same_training, start_of, training_identity, versions
from slrbench.workflows.scoring import Progress, control_runs, measure_wer
from slrbench.workflows.spikes import spikes_of_distilled

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """What to train and where to leave it."""

    config: RunConfig
    models_folder: Path
    states_folder: Path
    resume: bool = False
    overwrite: bool = False
    """Whether a verified checkpoint of another configuration may be replaced."""
    init: Path | None = None
    """Weights of the public PyTorch I3D for the teacher."""
    student_init: Path | None = None
    """Weights of a torchvision MobileNetV3 for the student."""
    imagenet: bool = False
    """Whether the student starts from ImageNet weights."""
    overfit: bool = True
    """Whether the network must first pass the over-fitting test."""
    cache: Path | None = None
    """Folder of decoded clips, for corpora of files."""
    log_dir: Path | None = None
    """Where the figures of every step go, for TensorBoard."""

    def init_of(self, role: Role) -> Path | None:
        """The file that the network of that role starts from."""
        return self.init if role == "teacher" else self.student_init

    @property
    def teacher_outputs(self) -> Path:
        """Where the teacher's outputs are kept, where ``distillation.cache_teacher`` is on."""
        return self.states_folder / "teacher-outputs"

    def model_id(self, role: Role) -> str:
        """Folder and id of the checkpoint."""
        return f"{role}-{self.config.preset}"

    def folder(self, role: Role) -> Path:
        """Where the checkpoint goes."""
        return self.models_folder / self.model_id(role)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """One network that is about to be trained, and everything that its card says of how."""

    role: Role
    job: TrainingJob
    corpus: Corpus
    spec: ModelSpec
    identity: dict[str, Any]
    teacher: Recogniser | None
    teacher_card: CheckpointCard | None

    @property
    def model_id(self) -> str:
        return self.job.model_id(self.role)

    @property
    def folder(self) -> Path:
        return self.job.folder(self.role)

    @property
    def state_path(self) -> Path:
        return self.job.states_folder / f"{self.model_id}.state"


def set_threads(config: RunConfig) -> None:
    """Give torch the number of threads of the configuration; 0 leaves torch's own choice, every core."""
    if config.threads:
        torch.set_num_threads(config.threads)


def train_checkpoint(
    role: Role, job: TrainingJob, *, teacher: Path | None = None, progress: Progress, say: Say
) -> CheckpointCard:
    """Train the network of ``role`` and save its checkpoint; with ``teacher``, distil.

    With ``job.resume``, a checkpoint of the same configuration is taken as it is, and a training that was interrupted
    continues; so it is where torchrun started the processes anew. Everything that can be wrong with the input is found
    before anything is trained. Of several processes, the first writes all files.

    Raises:
        BadInputError: the teacher's checkpoint, an initialisation or a state cannot be used, or the folder holds a
            verified checkpoint of another configuration.
        NegativeVerdictError: the over-fitting test failed, the teacher is not good enough, or a check failed; a
            checkpoint with a failed check is saved all the same, and says so.
        UnavailableError: the device is not there.
        RunFailedError: training failed.
        OSError: a folder cannot be written, or the disk is full.
    """
    processes = Processes(job.config.device)
    set_threads(job.config)
    plan = _plan(role, job, teacher)
    resume = job.resume or restarts() > 0  # torchrun starts the same command again where a process has failed
    again = f"the same command with --resume continues from {plan.state_path}"
    with ends_with_the_others(hint=again):
        if (found := processes.from_main(_finished(plan, resume) if processes.is_main else None)) is not None:
            say(f"{found.model_id}: already trained with this configuration, taken as it is")
            return found
        if processes.is_main:
            check_writable(plan.folder)
            check_writable(job.states_folder)
            for line in left_out_notes(plan.corpus):
                say(f"{plan.model_id}: {line}")
        processes.wait()
        if processes.is_main:
            fill_cache(plan.corpus, workers=job.config.workers, progress=progress, say=say)
        processes.wait()
        trainer = _trainer(plan)
        resumed = resume and trainer.load_state()
        overfit = _overfit(plan, progress, say) if job.overfit and processes.is_main else None
        if resumed:
            say(f"{plan.model_id}: continuing after step {trainer.step}")
        trainer.result.starts.append(start_of(trainer.step, str(trainer.device), processes.count))
        try:
            trainer.run(_reporter(plan.model_id, progress, say))
        except KeyboardInterrupt:
            if plan.state_path.exists():
                say(f"{plan.model_id}: interrupted; {again}")
            raise
        card = processes.from_main(_finish(plan, trainer, overfit, progress, say))
        assert card is not None  # the main process's
        return card


def _plan(role: Role, job: TrainingJob, teacher: Path | None) -> _Plan:
    corpus = open_corpus(job.config.data, cache=job.cache)
    require_splits(corpus)
    model, card = load_teacher(teacher, job.config, corpus) if teacher is not None else (None, None)
    start = initial_weights(job.init_of(role), imagenet=job.imagenet and role == "student")
    return _Plan(
        role=role,
        job=job,
        corpus=corpus,
        spec=job.config.network(role).spec(role, corpus.vocabulary.num_classes),
        identity=training_identity(role, job.config, corpus, start=start, teacher=card),
        teacher=model,
        teacher_card=card,
    )


def require_splits(corpus: Corpus) -> None:
    """Raises BadInputError where a split that training needs has no clips: it would be found out hours later."""
    empty = [name for name in ("train", "dev", "test") if len(corpus.split(name)) == 0]
    if empty:
        raise BadInputError(
            f"{corpus.spec} has no clips in {' and '.join(empty)}",
            hint="train is trained on, dev is measured meanwhile, test at the end; python -m slrbench data counts them",
        )


def _trainer(plan: _Plan) -> Trainer:
    job, config = plan.job, plan.job.config
    torch.manual_seed(config.seed)
    return Trainer(
        build_model(
            plan.spec,
            init=job.init_of(plan.role),
            imagenet=job.imagenet and plan.role == "student",
        ),
        plan.corpus,
        config.optimisation(plan.role),
        seed=config.seed,
        teacher=plan.teacher,
        distillation=config.distillation,
        mixed_precision=config.mixed_precision,
        device=config.device,
        state_path=plan.state_path,
        teacher_cache=job.teacher_outputs,
        identity=json.dumps(plan.identity, sort_keys=True),
        workers=config.workers,
        log_dir=job.log_dir,
        name=plan.model_id,
    )


def _finish(
    plan: _Plan, trainer: Trainer, overfit: dict[str, Any] | None, progress: Progress, say: Say
) -> CheckpointCard | None:
    """Measure in all processes; the main one saves, verifies, and only then lets go of the state. None elsewhere."""
    model, result, corpus, processes = trainer.model, trainer.result, plan.corpus, trainer.processes

    def tell(text: str, done: int, total: int) -> None:
        progress(f"{plan.model_id}: {text}", done, total)

    unreadable = dict(trainer.stream.unreadable)
    wer = measure_wer(model, corpus, tell, unreadable=unreadable, count=processes.evaluate)
    unreadable = processes.joined(unreadable)
    left_out = getattr(corpus, "left_out", ())
    for clip_id, reason in unreadable.items():
        say(f"{plan.model_id}: left out, as it cannot be read: clip {clip_id}: {reason}")
    spikes = None
    if processes.is_main and plan.teacher is not None and plan.teacher_card is not None:
        names = plan.model_id, plan.teacher_card.model_id
        spikes = spikes_of_distilled(model, plan.teacher, corpus, names, plan.folder / "spikes.png", say)
    progress(f"{plan.model_id}: control runs", 0, 2)
    controls = control_runs(model, corpus, count=processes.evaluate)
    if not processes.is_main:
        return None
    release(model)
    save_checkpoint(
        plan.folder,
        model,
        CheckpointCard(
            model_id=plan.model_id,
            spec=plan.spec,
            glosses=corpus.vocabulary.glosses,
            data=corpus.spec,
            data_fingerprint=corpus.fingerprint(),
            frames_per_second=corpus.frames_per_second,
            frame_size=corpus.frame_size,
            parameters=count_parameters(model),
            trained_with={
                **plan.identity,
                "steps": result.steps,
                "clips": result.steps * plan.job.config.optimisation(plan.role).batch_size,
                "seconds": round(result.seconds, 1),
                "clips_that_ctc_cannot_align": result.clips_dropped,
                **({"clips_that_cannot_be_read": sorted(unreadable)} if unreadable else {}),
                **({"clips_left_out": len(left_out)} if left_out else {}),
                "steps_skipped": result.steps_skipped,
                "distilled_from": plan.teacher_card.model_id if plan.teacher_card else None,
                **({"spikes_against_teacher": spikes} if spikes is not None else {}),
                "starts": result.starts,
                "versions": versions(),
                "weights_of_step": result.weights_of_step,
                "stopped_early": result.stopped_early,
                "dev_wer_while_training": [[int(e["step"]), round(e["dev_wer"], 4)] for e in result.history],
            },
            wer=wer,
            controls=controls,
            overfit=overfit,
        ),
    )
    progress(f"{plan.model_id}: checks", 0, 1)
    card = read_card(plan.folder)
    # The network that was trained, against the file that was written of it.
    checks = verify_model(
        model,
        glosses=card.glosses,
        frame_size=card.frame_size,
        reload_from=plan.folder / WEIGHTS_NAME,
        probe=card.probe,
    )
    card = card.model_copy(update={"verification": checks})
    update_card(plan.folder, card)
    failed = [check for check in checks if not check.passed]
    if failed:
        raise NegativeVerdictError(
            f"{plan.model_id} failed {len(failed)} of {len(checks)} checks: {failed[0].name} ({failed[0].figure})",
            hint=f"python -m slrbench verify {plan.folder}",
        )
    plan.state_path.unlink(missing_ok=True)
    say(
        f"{plan.model_id}: WER dev {wer['dev'].wer:.1%}, test {wer['test'].wer:.1%}, "
        f"{len(checks)} checks passed, {card.parameters:,} parameters"
    )
    return card


def _overfit(plan: _Plan, progress: Progress, say: Say) -> dict[str, Any]:
    """The over-fitting test: a network that cannot learn a few clips by heart is not worth training."""
    config = plan.job.config
    settings = OverfitSettings(seed=config.seed, **config.overfit.model_dump())
    clips = choose_clips(plan.corpus.split("train"), settings, stride=plan.spec.stride)
    result = run_overfit(
        plan.spec, clips, settings, lambda p: progress(f"{plan.model_id}: over-fitting test", p.stats.epoch, p.epochs)
    )
    if not result.achieved:
        raise NegativeVerdictError(
            f"{plan.model_id} did not pass the over-fitting test: WER {result.final_counts.wer:.0%} on "
            f"{len(clips)} clips after {len(result.history)} epochs",
            hint=f"python -m slrbench overfit {plan.role} --option a    (shows what to try)",
        )
    say(
        f"{plan.model_id}: over-fitting test passed, 0% WER at epoch {result.first_zero_epoch} ({result.seconds:.0f} s)"
    )
    return result.figures()


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
                f"{model_id}: step {step.step}/{step.steps} | CTC {recent:.3f} per gloss | dev WER {step.dev_wer:.1%} "
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


def _finished(plan: _Plan, resume: bool) -> CheckpointCard | None:
    """The checkpoint in the folder, where ``--resume`` may take it as it is.

    Raises:
        BadInputError: it is a verified checkpoint of another configuration, which training would replace.
    """
    if not (plan.folder / CARD_NAME).exists():
        return None
    try:
        card = read_card(plan.folder)
    except SlrbenchError:
        return None  # what cannot be read is not lost by training anew
    if card.spec == plan.spec and same_training(card.trained_with, plan.identity):
        return card if resume and card.checks_passed else None
    if card.checks_passed and not plan.job.overwrite:
        raise BadInputError(
            f"{plan.folder} holds a verified checkpoint that was trained with another configuration",
            hint="--overwrite replaces it; --models FOLDER leaves it where it is",
        )
    return None
