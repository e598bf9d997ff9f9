"""The training loop of one network: CTC on both heads, with distillation from a teacher where one is given.

A run is a function of its configuration: batches come from the step number, and the state that ``--resume``
continues from holds weights, optimiser and random generator, so that on the CPU an interrupted run ends with the
same weights as one that was not.

Shapes: B clips, T frames, T' output steps, C classes with blank 0.
"""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from exporters.artifact import atomic_path
from slrbench.data.batching import Batch
from slrbench.data.corpus import Corpus
from slrbench.errors import BadInputError, RunFailedError, UnavailableError
from slrbench.evaluation import evaluate
from slrbench.models.ctc_head import CtcOutput, Recogniser
from slrbench.records import ErrorCounts
from slrbench.training.batches import BatchStream
from slrbench.training.config import DistillationConfig, OptimisationConfig
from slrbench.training.distiller import Distiller, blank_share
from slrbench.training.network import ctc_loss, evaluation_mode, infer_with, refresh_batch_norm, to_device
from slrbench.training.teacher_cache import cache_for

_STATE_VERSION = 1
_REFRESH_BATCHES = 12  # training batches over which the statistics of batch normalisation are taken anew
_MOST_SKIPPED = 20  # steps in a row with a loss that is not finite, after which training has failed


@dataclass(frozen=True, kw_only=True)
class StepReport:
    """One optimiser step."""

    step: int
    steps: int
    loss: float
    ctc: float
    gradient_norm: float
    learning_rate: float
    blank_share: float
    difficulty: float
    clips_per_s: float
    dev_wer: float | None = None
    distillation: dict[str, float] = field(default_factory=dict)
    """Each term without its weight, and the teacher's share of blank steps; empty without a teacher."""


@dataclass(kw_only=True)
class TrainingResult:
    """What a run gave; the module holds its weights."""

    seconds: float
    steps: int
    clips_dropped: int
    steps_skipped: int
    history: list[dict[str, float]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    """Where the run began and was resumed: the step, and what the caller says of the code and the machine."""


def learning_rate_at(step: int, config: OptimisationConfig) -> float:
    """Linear warm-up, then cosine to zero at the last step."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    share = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * share))


class Trainer:
    """Trains one network; ``run`` may be interrupted at any step and continued by another ``Trainer``."""

    def __init__(
        self,
        model: Recogniser,
        corpus: Corpus,
        config: OptimisationConfig,
        *,
        seed: int,
        teacher: Recogniser | None = None,
        distillation: DistillationConfig | None = None,
        mixed_precision: str = "no",
        device: Literal["auto", "cpu", "cuda"] = "cpu",
        state_path: Path | None = None,
        teacher_cache: Path | None = None,
        identity: str = "",
    ) -> None:
        """Prepare model and optimiser.

        ``identity`` is what else determines the weights, the caller's to know: a state of another one is refused.
        ``teacher_cache`` is a folder for the teacher's outputs, used where ``distillation.cache_teacher`` is on.

        Raises:
            BadInputError: teacher and student have different output strides or classes, fp16 on a CPU, or the teacher's
                outputs were to be kept for a corpus that shows other clips in every epoch.
            UnavailableError: a GPU was asked for, and torch sees none.
        """
        _check_device(device, mixed_precision)
        # The state is one per process; without this a second network could not be trained at another precision.
        AcceleratorState._reset_state(reset_partial_state=True)
        self.accelerator = Accelerator(mixed_precision=mixed_precision, cpu=device == "cpu")
        self.device = self.accelerator.device
        self.corpus, self.config, self.seed = corpus, config, seed
        self.state_path = state_path
        self.identity = identity
        self.distiller = None
        if teacher is not None:
            settings = distillation or DistillationConfig()
            cache = cache_for(teacher_cache, teacher, corpus, settings, mixed_precision, seed)
            self.distiller = Distiller(teacher, model, settings, device=self.device, seed=seed, cache=cache)
        beside = self.distiller.beside if self.distiller is not None else []
        optimiser = torch.optim.AdamW(
            _parameter_groups([model, *beside], config.weight_decay),
            lr=config.learning_rate,
            betas=(0.9, 0.98),
        )
        self.model, self.optimiser = self.accelerator.prepare(model, optimiser)
        # Steps enter autocast themselves. Wrapped, evaluation and the saved outputs would be half precision, too.
        self.model = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.stream = BatchStream(
            corpus,
            batch_size=config.batch_size,
            seed=seed,
            stride=model.stride,
            curriculum_steps=config.curriculum_steps,
            first_difficulty=config.first_difficulty,
        )
        self.step = 0
        self.result = TrainingResult(seconds=0.0, steps=0, clips_dropped=0, steps_skipped=0)
        self._skipped_in_a_row = 0
        self._dropped_in_a_row = 0

    def run(self, on_step: Callable[[StepReport], None] | None = None, *, until: int | None = None) -> TrainingResult:
        """Train to the last step (or ``until``), refresh batch normalisation, leave the model in evaluation mode.

        Raises:
            BadInputError: CTC could align no clip of a whole epoch.
            RunFailedError: the loss was not finite for many steps in a row.
            OSError: the state could not be saved.
        """
        last = self.config.steps if until is None else min(until, self.config.steps)
        if self.step == 0:
            torch.manual_seed(self.seed)
        self.model.train()
        while self.step < last:
            started = perf_counter()
            report = self._train_step()
            self.step += 1
            seconds = perf_counter() - started
            self.result.seconds += seconds
            self.result.steps = self.step
            if report is None:
                continue
            if self.step % self.config.evaluate_every == 0 and self.step < self.config.steps:
                wer = self.dev_error().wer
                self.result.history.append({"step": self.step, "loss": report["loss"], "dev_wer": wer})
                report["dev_wer"] = wer
            if self.state_path is not None and self.step % self.config.save_every == 0:
                self.save_state()
            if on_step is not None:
                on_step(
                    StepReport(
                        step=self.step,
                        steps=self.config.steps,
                        difficulty=self.stream.difficulty((self.step - 1) // self.stream.steps_per_epoch),
                        clips_per_s=self.config.batch_size / seconds,
                        **report,
                    )
                )
        if self.step >= self.config.steps:
            self.refresh()
        self.model.eval()
        return self.result

    def _train_step(self) -> dict[str, Any] | None:
        drawn = self.stream[self.step]
        self.result.clips_dropped += drawn.dropped
        if drawn.batch is None:
            self._give_up_after_an_epoch()
            return None
        self._dropped_in_a_row = 0
        rate = learning_rate_at(self.step, self.config)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        video, lengths, labels, label_lengths = to_device(drawn.batch, self.device)
        with self.accelerator.autocast():
            output: CtcOutput = self.model.forward_training(video, lengths)
            taught = self.distiller.teach(drawn.batch, video, lengths) if self.distiller is not None else None
        ctc = ctc_loss(output.log_probs, output.lengths, labels, label_lengths)
        auxiliary = ctc_loss(output.auxiliary_log_probs, output.lengths, labels, label_lengths)
        loss = ctc + self.config.auxiliary_weight * auxiliary
        terms: dict[str, Tensor] = {}
        if self.distiller is not None and taught is not None:
            terms = self.distiller.terms(output, taught)
            loss = self.distiller.ctc_weight * ctc + self.config.auxiliary_weight * auxiliary
            loss = loss + self.distiller.loss(terms)
            terms["teacher_blank_share"] = blank_share(taught.log_probs, output.lengths)
        if not torch.isfinite(loss):
            self._skip(float(loss.detach()))
            return None
        self._skipped_in_a_row = 0
        self.optimiser.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        if self.distiller is not None:
            self.distiller.average_gradients()
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.optimiser.step()
        return {
            "loss": float(loss.detach()),
            "ctc": float(ctc.detach()),
            "gradient_norm": float(norm),
            "learning_rate": rate,
            "blank_share": float(blank_share(output.log_probs.detach(), output.lengths)),
            "distillation": {name: float(value.detach()) for name, value in terms.items()},
        }

    def _give_up_after_an_epoch(self) -> None:
        self._dropped_in_a_row += 1
        if self._dropped_in_a_row >= self.stream.steps_per_epoch:
            raise BadInputError(
                f"CTC can align no clip of a whole epoch ({self.result.clips_dropped} were dropped): every clip is too "
                f"short for its label at stride {self.model.stride}",
                hint="python -m slrbench data SPEC counts the clips that cannot be aligned",
            )

    def _skip(self, loss: float) -> None:
        self.result.steps_skipped += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= _MOST_SKIPPED:
            raise RunFailedError(
                f"the loss was {loss} for {_MOST_SKIPPED} steps in a row, up to step {self.step + 1}",
                hint="lower the learning rate (--set train_teacher.learning_rate=5e-4), or switch mixed precision off",
            )

    def refresh(self) -> None:
        """Take the statistics of batch normalisation anew over training clips of every length."""

        def batches() -> Iterator[Batch]:
            # Another seed than training's: these clips were not trained on.
            stream = BatchStream(
                self.corpus,
                batch_size=self.config.batch_size,
                seed=self.seed + 1_000_003,
                stride=self.model.stride,
                curriculum_steps=0,
                first_difficulty=1.0,
            )
            for step in range(min(_REFRESH_BATCHES, stream.steps_per_epoch)):
                batch = stream[step].batch
                if batch is not None:
                    yield batch

        # Evaluating must not move the random numbers that training goes on with.
        with torch.random.fork_rng(devices=[]):
            refresh_batch_norm(self.model, batches(), self.device)

    def dev_error(self, split: str = "dev", limit: int | None = 100) -> ErrorCounts:
        """Word errors on a split, greedy decoding, with fresh batch normalisation."""
        self.refresh()
        with evaluation_mode(self.model):
            infer = infer_with(self.model, self.device)
            return evaluate(infer, self.corpus.split(split), self.corpus.vocabulary, limit=limit, batch=8).counts

    def save_state(self) -> None:
        """Write everything that the next step depends on, whole or not at all."""
        assert self.state_path is not None
        state = {
            "version": _STATE_VERSION,
            "identity": self._identity(),
            "step": self.step,
            "model": self.model.state_dict(),
            "distiller": self.distiller.state_dict() if self.distiller is not None else {},
            "optimiser": self.optimiser.state_dict(),
            "random": torch.get_rng_state(),
            "result": vars(self.result),
        }
        # torch.save into a file names a full disk in words of its own; bytes fail as an OSError.
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with atomic_path(self.state_path) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def load_state(self) -> bool:
        """Continue from ``state_path``; False where there is none.

        Raises:
            BadInputError: the state is damaged, or of another configuration, corpus or seed.
        """
        if self.state_path is None or not self.state_path.exists():
            return False
        try:
            state = torch.load(self.state_path, weights_only=True)
        except Exception as error:  # torch raises many kinds for a damaged file, all of them meaning this
            raise BadInputError(
                f"{self.state_path} cannot be read: {type(error).__name__}", hint="delete it and train from the start"
            ) from error
        if state.get("version") != _STATE_VERSION or state["identity"] != self._identity():
            raise BadInputError(
                f"{self.state_path} belongs to another run (configuration, corpus or seed differ)",
                hint="give the same options as before, or another output folder",
            )
        self.model.load_state_dict(state["model"])
        if self.distiller is not None:
            self.distiller.load_state_dict(state.get("distiller", {}))
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["random"])
        self.step = state["step"]
        self.result = TrainingResult(**state["result"])
        return True

    def _identity(self) -> str:
        parts = (
            self.model.spec.model_dump_json(),
            self.config.model_dump_json(),
            self.distiller.config.model_dump_json() if self.distiller is not None else "",
            self.corpus.fingerprint(),
            str(self.seed),
            self.accelerator.mixed_precision,
            self.identity,
        )
        return "|".join(parts)


def _check_device(device: str, mixed_precision: str) -> None:
    gpu = torch.cuda.is_available()
    if device == "cuda" and not gpu:
        raise UnavailableError(
            "device 'cuda' cannot train here: torch sees no GPU", hint="--set device=cpu    (python -m slrbench doctor)"
        )
    if mixed_precision == "fp16" and (device == "cpu" or not gpu):
        raise BadInputError("fp16 does not train on a CPU", hint="--set mixed_precision=bf16, or no")


def _parameter_groups(modules: Sequence[nn.Module], weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels only: shrinking biases and normalisation gains helps nothing."""
    trained = [p for module in modules for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
