"""One step of training: forward, losses, gradients over parts and processes, optimiser.

Shapes: B clips, T frames, T' output steps, C classes with blank 0.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor, nn

from slrbench.data.batching import Batch
from slrbench.errors import BadInputError, RunFailedError
from slrbench.models.ctc_head import CtcOutput, Recogniser
from slrbench.models.spec import BLANK
from slrbench.training.batches import TrainingBatch, even_out, in_parts
from slrbench.training.config import OptimisationConfig
from slrbench.training.distillation import valid_steps
from slrbench.training.distiller import Distiller, blank_share
from slrbench.training.distributed import Processes
from slrbench.training.network import clip_losses, stand_in, taking_part, to_device
from slrbench.training.optimisers import learning_rate_at, optimiser_of, prepare_network, set_learning_rate
from slrbench.training.progress import TrainingResult

_MOST_SKIPPED = 20  # steps in a row with a loss that is not finite, after which training has failed


class Learner:
    """A network, its teacher and its optimiser; ``learn`` changes the weights by one batch."""

    def __init__(
        self,
        model: Recogniser,
        config: OptimisationConfig,
        accelerator: Accelerator,
        processes: Processes,
        result: TrainingResult,
        *,
        seed: int,
        frame_size: tuple[int, int],
        distiller: Distiller | None = None,
    ) -> None:
        """Freeze what stays as it is, and wrap the network for several processes; counts go to ``result``."""
        self.model, self.config, self.distiller = model, config, distiller
        self.accelerator, self.processes, self.device = accelerator, processes, accelerator.device
        prepare_network(model, config, processes=processes.count)
        # Only the training pass is wrapped: evaluation and the saved outputs would be half precision, too.
        beside = distiller.beside if distiller is not None else []
        self._forward, self.optimiser = accelerator.prepare(_TrainingPass(model), optimiser_of(model, config, beside))
        self._result, self._seed, self._frame_size = result, seed, frame_size
        self._skipped_in_a_row = 0
        self._dropped_in_a_row = 0

    def learn(self, step: int, drawn: TrainingBatch) -> dict[str, Any] | None:
        """One step of the optimiser on this process's share of a batch; None where it was left out.

        Raises:
            RunFailedError: the loss was not finite for many steps in a row.
        """
        parts, shares = self._parts(drawn)
        if not parts:
            return None
        # Not drawn on from the last step: a resumed run, with however many processes, sees the same.
        torch.manual_seed(_seed_of(self._seed, step, self.processes.index))
        rate = learning_rate_at(step, self.config)
        set_learning_rate(self.optimiser, rate)
        self.optimiser.zero_grad(set_to_none=True)
        sums = np.zeros(4)  # loss, CTC, steps that say blank, steps
        terms: dict[str, float] = {}
        for number, (part, share) in enumerate(zip(parts, shares, strict=True)):
            waits = number + 1 < len(parts)  # gradients are averaged over the processes with those of the last part
            with self.accelerator.no_sync(self._forward) if waits else nullcontext():
                sums += self._add_gradients(part, share, sum(shares), terms)
        loss, ctc, blanks, steps = self.processes.totals(sums.tolist())
        if not np.isfinite(loss):
            self._skip(step, loss)
            return None
        if self.distiller is not None:
            self.distiller.average_gradients()
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm))
        # fp16 leaves such a step out by itself, and must be told of it to choose a smaller scale.
        if not np.isfinite(norm) and self.accelerator.scaler is None:
            self._skip(step, norm)
            return None
        self._skipped_in_a_row = 0
        self.optimiser.step()
        return {
            "loss": loss,
            "ctc": ctc,
            "gradient_norm": norm,
            "learning_rate": rate,
            "blank_share": blanks / max(steps, 1),
            "distillation": self._of_all(terms),
        }

    def _of_all(self, terms: Mapping[str, float]) -> dict[str, float]:
        """Terms of distillation over the clips of all processes, which have the same ones."""
        totals = self.processes.totals(list(terms.values())) if terms else []
        return {name: total / self.processes.count for name, total in zip(terms, totals, strict=True)}

    def _parts(self, drawn: TrainingBatch) -> tuple[list[Batch | None], list[int]]:
        """This process's clips in as many parts as every process has, and how many clips all have in each."""
        config, processes = self.config, self.processes
        most = -(-config.batch_size // (processes.count * config.accumulate))
        own = in_parts(drawn.batch, clips=most, frames=config.max_frames) if drawn.batch is not None else []
        gathered = processes.gather([drawn.dropped, len(own)])
        self._result.clips_dropped += int(sum(row[0] for row in gathered))
        count = int(max(row[1] for row in gathered))
        if count == 0:
            self._dropped_in_a_row += 1
            return [], []
        self._dropped_in_a_row = 0
        parts = even_out(own, count)
        shares = processes.totals([0 if part is None else len(part.lengths) for part in parts])
        return parts, [int(share) for share in shares]

    def _add_gradients(
        self, part: Batch | None, share: int, clips: int, terms: dict[str, float]
    ) -> NDArray[np.float64]:
        """Gradients of one part; returns this process's share of the step's loss, of its CTC, blank steps and steps.

        What distillation has to say is added to ``terms``, each by its name, without its weight.

        ``share`` clips of this part are in all processes, of ``clips`` in the step. Gradients are averaged over the
        processes, hence the factor ``count``: the average is the gradient of the mean over all clips.
        """
        count = self.processes.count
        batch = part if part is not None else stand_in(self.model, self._frame_size)
        video, lengths, labels, label_lengths = to_device(batch, self.device)
        # The gradients, too: with checkpointing the blocks run once more while they are computed.
        with taking_part(self.model, without_clips=part is None):
            output: CtcOutput = self._forward(video, lengths)
            weight = 0.0 if part is None else count / clips
            ctc, auxiliary = (
                weight * clip_losses(log_probs, output.lengths, labels, label_lengths).sum()
                for log_probs in (output.log_probs, output.auxiliary_log_probs)
            )
            if part is None:
                output = output._replace(lengths=torch.zeros_like(output.lengths))
            loss = ctc + self.config.auxiliary_weight * auxiliary
            if self.distiller is not None:
                with self.accelerator.autocast():
                    taught = self.distiller.teach(batch, video, lengths)
                # Means over what counts in this part of all processes.
                found = self.distiller.terms(output, taught)
                loss = self.distiller.ctc_weight * ctc + self.config.auxiliary_weight * auxiliary
                loss = loss + self.distiller.loss(found) * (share / clips)
                found["teacher_blank_share"] = blank_share(taught.log_probs, output.lengths)
                for name, term in found.items():
                    terms[name] = terms.get(name, 0.0) + float(term.detach()) * share / clips
            self.accelerator.backward(loss)
        valid = valid_steps(output.lengths, len(output.log_probs), self.device)
        blanks = (output.log_probs.detach().argmax(dim=-1) == BLANK) & valid
        return np.array(
            [float(loss.detach()) / count, float(ctc.detach()) / count, int(blanks.sum()), int(valid.sum())]
        )

    def _skip(self, step: int, loss: float) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        self._result.steps_skipped += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row >= _MOST_SKIPPED:
            raise RunFailedError(
                f"the loss was {loss} for {_MOST_SKIPPED} steps in a row, up to step {step + 1}",
                hint="lower the learning rate (--set train_teacher.learning_rate=5e-4), or switch mixed precision off",
            )

    def give_up_where_hopeless(self, steps_per_epoch: int) -> None:
        """Raises BadInputError where CTC could align no clip of a whole epoch."""
        if self._dropped_in_a_row >= steps_per_epoch:
            raise BadInputError(
                f"CTC can align no clip of a whole epoch ({self._result.clips_dropped} were dropped): every clip is "
                f"too short for its label at stride {self.model.stride}",
                hint="python -m slrbench data SPEC counts the clips that cannot be aligned",
            )


class _TrainingPass(nn.Module):
    """``forward_training`` as a call, which is what accelerate wraps for several processes and half precision."""

    def __init__(self, model: Recogniser) -> None:
        super().__init__()
        self.model = model

    def forward(self, video: Tensor, lengths: Tensor) -> CtcOutput:
        return self.model.forward_training(video, lengths)


def _seed_of(seed: int, step: int, process: int) -> int:
    state: NDArray[Any] = np.random.SeedSequence((seed, step, process)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
