"""The training loop of one network: CTC on both heads, with distillation from a teacher where one is given.

A run is a function of its configuration: batches and random numbers come from the step number, and the state that
``--resume`` continues from holds weights, optimiser and what has been measured, so that on the CPU an interrupted run
ends with the same weights as one that was not. Several processes share the clips of a step; what they compute together
is what one would compute with all of them.

Shapes: B clips, T frames, T' output steps, C classes with blank 0.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from accelerate import Accelerator
from accelerate.state import AcceleratorState

from slrbench.data.batching import Batch
from slrbench.data.corpus import Corpus
from slrbench.evaluation import scoring_of
from slrbench.models.ctc_head import Recogniser
from slrbench.records import ErrorCounts
from slrbench.training.batches import BatchStream
from slrbench.training.config import DistillationConfig, OptimisationConfig
from slrbench.training.distiller import Distiller
from slrbench.training.distributed import Device, Processes, check_device, trains_on_cpu
from slrbench.training.ema import WeightAverage
from slrbench.training.network import evaluation_mode, infer_with, refresh_batch_norm
from slrbench.training.prefetch import Prefetcher
from slrbench.training.progress import StepReport, TrainingResult
from slrbench.training.state import read_state, write_state
from slrbench.training.step import Learner
from slrbench.training.stopping import BestWeights
from slrbench.training.teacher_cache import cache_for
from slrbench.training.tracking import StepLog, check_tensorboard

__all__ = ["StepReport", "Trainer", "TrainingResult"]

_REFRESH_BATCHES = 12  # training batches over which the statistics of batch normalisation are taken anew


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
        device: Device = "cpu",
        state_path: Path | None = None,
        teacher_cache: Path | None = None,
        identity: str = "",
        workers: int = 0,
        log_dir: Path | None = None,
        name: str = "training",
    ) -> None:
        """Prepare model and optimiser; where torchrun launched several processes, join the others.

        ``identity`` is what else determines the weights, the caller's to know: a state of another one is refused.
        ``teacher_cache`` is a folder for the teacher's outputs, used where ``distillation.cache_teacher`` is on.
        ``workers`` processes prepare the batches; 0: this one does.
        Figures of every step go to ``log_dir / name`` for TensorBoard.

        Raises:
            BadInputError: teacher and student have different output strides or classes, fp16 on a CPU, or the teacher's
                outputs were to be kept for a corpus that shows other clips in every epoch.
            UnavailableError: a GPU was asked for, and torch sees none; or TensorBoard, and it is not installed.
            RunFailedError: the other processes cannot be reached.
        """
        check_device(device, mixed_precision)
        if log_dir is not None:
            check_tensorboard()
        # The state is one per process; without this a second network could not be trained at another precision.
        AcceleratorState._reset_state(reset_partial_state=True)
        self.processes = Processes(device)
        self.accelerator = Accelerator(
            mixed_precision=mixed_precision,
            cpu=trains_on_cpu(device),
            log_with="tensorboard" if log_dir is not None else None,
            project_dir=log_dir,
        )
        self.device = self.accelerator.device
        self.corpus, self.config, self.seed = corpus, config, seed
        self.state_path = state_path
        self.identity = identity
        self.result = TrainingResult()
        self.model = model
        self.distiller = None
        if teacher is not None:
            settings = distillation or DistillationConfig()
            cache = cache_for(teacher_cache, teacher, corpus, settings, mixed_precision, seed)
            self.distiller = Distiller(teacher, model, settings, device=self.device, seed=seed, cache=cache)
        self.learner = Learner(
            model,
            config,
            self.accelerator,
            self.processes,
            self.result,
            seed=seed,
            frame_size=corpus.frame_size,
            distiller=self.distiller,
        )
        self.average = WeightAverage(model, config.ema_decay) if config.ema_decay > 0 else None
        self.best = BestWeights(config) if config.keeps_best else None
        self.log = StepLog(self.accelerator, name) if log_dir is not None else None
        self.stream = self._stream(
            seed, curriculum_steps=config.curriculum_steps, first_difficulty=config.first_difficulty
        )
        self.batches = Prefetcher(self.stream, steps=config.steps, workers=workers)
        self.step = 0

    def _stream(self, seed: int, **curriculum: Any) -> BatchStream:
        return BatchStream(
            self.corpus,
            batch_size=self.config.batch_size,
            seed=seed,
            stride=self.model.stride,
            share=(self.processes.index, self.processes.count),
            **curriculum,
        )

    @property
    def evaluated(self) -> Recogniser:
        """The network that is evaluated and kept: with averaged weights, where they are averaged."""
        return self.average.model if self.average is not None else self.model

    def run(self, on_step: Callable[[StepReport], None] | None = None, *, until: int | None = None) -> TrainingResult:
        """Train to the last step (or ``until``), refresh batch normalisation, leave the model in evaluation mode.

        Raises:
            BadInputError: CTC could align no clip of a whole epoch.
            RunFailedError: the loss was not finite for many steps in a row.
            OSError: the state or the logs could not be written.
        """
        last = self.config.steps if until is None else min(until, self.config.steps)
        self.model.train()
        while self.step < last and not self.result.stopped_early:
            started = perf_counter()
            drawn = self.batches[self.step]
            figures = self.learner.learn(self.step, drawn)
            self.step += 1
            seconds = perf_counter() - started
            self.result.seconds += seconds
            self.result.steps = self.step
            if figures is None:
                self.learner.give_up_where_hopeless(self.stream.steps_per_epoch)
                continue
            if self.average is not None:
                self.average.update(self.model)
            if self.step % self.config.evaluate_every == 0 and self.step < self.config.steps:
                figures["dev_wer"] = self._evaluate(figures["loss"])
            if self.step % self.config.save_every == 0:
                self.save_state()
            report = StepReport(
                step=self.step,
                steps=self.config.steps,
                difficulty=self.stream.difficulty((self.step - 1) // self.stream.steps_per_epoch),
                clips_per_s=self.config.batch_size / seconds,
                **figures,
            )
            if self.log is not None:
                self.log.write(report)
            if on_step is not None:
                on_step(report)
        self.batches.close()
        if self.step >= self.config.steps or self.result.stopped_early:
            self._choose_weights()
        if self.log is not None:
            self.log.close()
        self.model.eval()
        return self.result

    def _evaluate(self, loss: float) -> float:
        wer = self.dev_error(limit=self.config.dev_clips or None).wer
        self.result.history.append({"step": self.step, "loss": loss, "dev_wer": wer})
        if self.best is not None:
            self.best.evaluated(self.step, wer, self.evaluated)
            self.result.stopped_early = self.best.stops(self.step)
        return wer

    def _choose_weights(self) -> None:
        """Leave in the model what is kept: the averaged, the best, or the last weights."""
        self.result.weights_of_step = self.step
        if self.best is not None and not self.result.stopped_early:
            self.best.evaluated(self.step, self.dev_error(limit=self.config.dev_clips or None).wer, self.evaluated)
        if self.average is not None:
            self.model.load_state_dict(self.average.model.state_dict())
        if self.best is not None:
            self.best.restore(self.model)
            self.result.weights_of_step = self.best.step
        self.refresh(self.model)

    def refresh(self, model: Recogniser) -> None:
        """Take the statistics of batch normalisation anew over training clips of every length."""

        def batches() -> Iterator[Batch | None]:
            stream = self._stream(self.seed + 1_000_003)  # another seed than training's: clips not trained on
            for step in range(min(_REFRESH_BATCHES, stream.steps_per_epoch)):
                batch = stream[step].batch
                if any(self.processes.totals([batch is not None])):
                    yield batch

        refresh_batch_norm(model, batches(), self.device, frame_size=self.corpus.frame_size)

    def dev_error(self, split: str = "dev", limit: int | None = 100) -> ErrorCounts:
        """Word errors on a split, greedy decoding, with fresh batch normalisation."""
        model = self.evaluated
        self.refresh(model)
        with evaluation_mode(model):
            infer = infer_with(model, self.device)
            rule = scoring_of(self.corpus)
            return self.processes.evaluate(
                infer, self.corpus.split(split), self.corpus.vocabulary, limit=limit, batch=8, scoring=rule
            )

    def save_state(self) -> None:
        """Write everything that the next step depends on, whole or not at all; the main process does."""
        if self.state_path is None or not self.processes.is_main:
            return
        state = {name: part.state_dict() for name, part in self._resumed()}
        write_state(self.state_path, self._identity(), {"step": self.step, "result": vars(self.result), **state})

    def load_state(self) -> bool:
        """Continue from ``state_path``; False where there is none. The main process reads it for all.

        Raises:
            BadInputError: the state is damaged, or of another configuration, corpus or seed.
        """
        path = self.state_path
        state = read_state(path, self._identity()) if path is not None and self.processes.is_main else None
        state = self.processes.from_main(state)
        if state is None:
            return False
        for name, part in self._resumed():
            part.load_state_dict(state[name])
        self.step = state["step"]
        vars(self.result).update(state["result"])
        return True

    def _resumed(self) -> Sequence[tuple[str, Any]]:
        """What has a state, by name. Random numbers have none: they come from the step number."""
        parts = {
            "model": self.model,
            "optimiser": self.learner.optimiser,
            "distiller": self.distiller,
            "average": self.average,
            "best": self.best,
            "scaler": self.accelerator.scaler,
        }
        return [(name, part) for name, part in parts.items() if part is not None]

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
