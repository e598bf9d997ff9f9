"""The over-fitting test: a network that can learn reaches 0 % WER on a handful of clips, and fast.

Shapes: B clips, T frames, T' output steps, C classes with the blank at index 0; video is (B, 3, T, H, W).

One epoch is one step over all clips. The word error rate is measured as it would be in use: evaluation mode, each clip
alone, greedy decoding, with batch normalisation statistics recomputed over the clips just before.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from slrbench.ctc import greedy_decode, is_feasible
from slrbench.data.batching import collate, normalise
from slrbench.data.corpus import Clip, Split, readable_clips
from slrbench.errors import BadInputError
from slrbench.models.ctc_head import CtcOutput, Recogniser
from slrbench.models.registry import build_model
from slrbench.models.spec import BLANK, ModelSpec
from slrbench.scoring import count_errors
from slrbench.training.network import ctc_loss, evaluation_mode, infer_with, refresh_batch_norm, to_device
from slrbench.training.overfit_monitor import OverfitMonitor
from slrbench.training.overfit_records import EpochStats, OverfitProgress, OverfitResult, OverfitSettings

__all__ = ["OverfitProgress", "OverfitResult", "OverfitSettings", "choose_clips", "run_overfit"]

MAX_SKIPPED_STEPS = 10
"""Steps in a row with a loss or gradient that is not finite, after which going on is pointless."""


def choose_clips(split: Split, settings: OverfitSettings, *, stride: int) -> list[Clip]:
    """``settings.samples`` clips of ``split``, drawn by the seed; clips that CTC cannot align are passed over.

    Raises:
        BadInputError: the split has not so many clips that can be used.
    """
    clips: list[Clip] = []
    order = map(int, np.random.default_rng(settings.seed).permutation(len(split)))
    for _, clip in readable_clips(split, order):
        if clip.labels and is_feasible(clip.labels, len(clip.frames), stride):
            clips.append(clip)
        if len(clips) == settings.samples:
            return clips
    raise BadInputError(
        f"{settings.samples} clips were asked for, and {split.name!r} has {len(clips)} that CTC can align",
        hint="ask for fewer (--samples), or choose another corpus (--data)",
    )


def run_overfit(
    spec: ModelSpec,
    clips: Sequence[Clip],
    settings: OverfitSettings,
    on_epoch: Callable[[OverfitProgress], None] | None = None,
    *,
    device: str = "cpu",
) -> OverfitResult:
    """Train a fresh network on ``clips`` until WER is 0 % and the loss under its bound and both have stayed so.

    torch's global random generator is left as it was.

    Args:
        spec: the network; its dropout is replaced by that of ``settings``.
        clips: clips that CTC can align.
        settings: hyper-parameters.
        on_epoch: called after each epoch.
        device: where to train, ``cpu`` or ``cuda``.

    Raises:
        BadInputError: a clip has no label, or is too short for its labels.
    """
    for clip in clips:
        if not clip.labels or not is_feasible(clip.labels, len(clip.frames), spec.stride):
            raise BadInputError(
                f"clip {clip.clip_id} has {len(clip.frames)} frames, too few for its {len(clip.labels)} labels",
                hint="CTC needs an output step for each label and one between adjacent equal labels",
            )
    with torch.random.fork_rng(devices=[device] if device.startswith("cuda") else []):
        torch.manual_seed(settings.seed)
        return _Run(spec.model_copy(update={"dropout": settings.dropout}), clips, settings, device).run(on_epoch)


class _Run:
    """The state of one run: network, optimizer, clips on the device, and the best figures so far."""

    def __init__(self, spec: ModelSpec, clips: Sequence[Clip], settings: OverfitSettings, device: str) -> None:
        self.spec, self.clips, self.settings = spec, clips, settings
        self.model: Recogniser = build_model(spec).to(device)
        kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
        self.optimizer = kind(self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.device = torch.device(device)
        self.batch = collate(clips)
        self.video, self.lengths, self.labels, self.label_lengths = to_device(self.batch, self.device)
        self.best_loss: float | None = None
        # Until it is measured, the error rate is that of a network that says nothing: every label is deleted.
        self.wer, self.best_wer, self.best_wer_epoch = 1.0, 1.0, 0
        self.first_zero_epoch: int | None = None
        self.good_since: int | None = None
        self.counts = count_errors(references=[clip.glosses for clip in clips], hypotheses=[() for _ in clips])
        self.history: list[EpochStats] = []
        self.warnings: list[str] = []

    def run(self, on_epoch: Callable[[OverfitProgress], None] | None) -> OverfitResult:
        settings = self.settings
        monitor = OverfitMonitor(target_loss=settings.target_loss, warmup_epochs=settings.warmup_epochs)
        started, skipped, achieved = time.perf_counter(), 0, False
        for epoch in range(1, settings.epochs + 1):
            stats = self._epoch(epoch)
            warnings = monitor.update(stats)
            self.history.append(stats)
            self.warnings += warnings
            skipped = skipped + 1 if stats.loss is None or stats.gradient_norm is None else 0
            achieved = self._stayed_good(stats)
            finished = achieved or skipped >= MAX_SKIPPED_STEPS or epoch == settings.epochs
            if on_epoch is not None:
                on_epoch(self._progress(stats, warnings, finished))
            if finished:
                break
        return OverfitResult(
            spec=self.spec,
            parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            settings=settings,
            clip_ids=tuple(clip.clip_id for clip in self.clips),
            achieved=achieved,
            first_zero_epoch=self.first_zero_epoch,
            best_loss=self.best_loss,
            best_wer=self.best_wer,
            best_wer_epoch=self.best_wer_epoch,
            final_loss=self.history[-1].loss,
            final_counts=self.counts,
            seconds=time.perf_counter() - started,
            warnings=tuple(self.warnings),
            history=tuple(self.history),
        )

    def _epoch(self, epoch: int) -> EpochStats:
        settings = self.settings
        learning_rate = settings.learning_rate * min(1.0, epoch / max(1, settings.warmup_epochs))
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        loss, norm, blank_share, unreached, tensors = self._step()
        if loss is not None:
            self.best_loss = loss if self.best_loss is None else min(self.best_loss, loss)
        wer = None
        if self._measure_now(epoch, loss):
            wer = self._measure(epoch)
        return EpochStats(
            epoch=epoch,
            loss=loss,
            wer=wer,
            learning_rate=learning_rate,
            gradient_norm=norm,
            blank_share=blank_share,
            tensors_without_gradient=unreached,
            tensors=tensors,
        )

    def _step(self) -> tuple[float | None, float | None, float, int, int]:
        """One step over all clips.

        Returns:
            Loss and gradient norm (None: not finite), blank share, tensors without gradient, tensors.
        """
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        output = self.model.forward_training(self.video, self.lengths)
        loss = ctc_loss(output.log_probs, output.lengths, self.labels, self.label_lengths)
        auxiliary = ctc_loss(output.auxiliary_log_probs, output.lengths, self.labels, self.label_lengths)
        total = loss + self.settings.auxiliary_weight * auxiliary
        total.backward()
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        gradients = [p.grad for p in parameters if p.grad is not None]
        norms = torch.stack([gradient.norm() for gradient in gradients])
        norm = norms.norm()
        finite = bool(torch.isfinite(norm)) and bool(torch.isfinite(total))
        if finite:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.settings.clip_norm, norm)
            self.optimizer.step()
        reached = int((norms != 0).sum())
        return (
            loss.item() if torch.isfinite(loss) else None,
            norm.item() if torch.isfinite(norm) else None,
            _blank_share(output),
            len(parameters) - reached,
            len(parameters),
        )

    def _measure_now(self, epoch: int, loss: float | None) -> bool:
        """Regularly, at the last epoch, and as soon as the loss makes the end possible."""
        soon = loss is not None and loss < self.settings.target_loss and self.first_zero_epoch is None
        return soon or epoch % self.settings.evaluate_every == 0 or epoch == self.settings.epochs

    def _measure(self, epoch: int) -> float:
        refresh_batch_norm(self.model, iter([self.batch]), self.device)
        with evaluation_mode(self.model):
            infer = infer_with(self.model, self.device)
            decoded = [greedy_decode(infer(normalise(clip.frames[None])))[0] for clip in self.clips]
        self.counts = count_errors(
            references=[_words(clip.labels) for clip in self.clips], hypotheses=[_words(labels) for labels in decoded]
        )
        self.wer = self.counts.wer
        if self.wer < self.best_wer:
            self.best_wer, self.best_wer_epoch = self.wer, epoch
        if self.wer == 0 and self.first_zero_epoch is None:
            self.first_zero_epoch = epoch
        return self.wer

    def _stayed_good(self, stats: EpochStats) -> bool:
        """Whether 0 % WER was measured, the loss is under its bound, and both have been so for long enough."""
        if self.wer > 0 or stats.loss is None or stats.loss >= self.settings.target_loss:
            self.good_since = None
            return False
        if self.good_since is None:
            self.good_since = stats.epoch
        return stats.wer == 0 and stats.epoch - self.good_since >= self.settings.confirm_epochs

    def _progress(self, stats: EpochStats, warnings: list[str], finished: bool) -> OverfitProgress:
        return OverfitProgress(
            stats=stats,
            epochs=self.settings.epochs,
            best_loss=self.best_loss,
            wer=self.wer,
            best_wer=self.best_wer,
            best_wer_epoch=self.best_wer_epoch,
            finished=finished,
            warnings=tuple(warnings),
        )


def _words(labels: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(label) for label in labels)


def _blank_share(output: CtcOutput) -> float:
    best = output.log_probs.detach().argmax(-1).cpu()  # (T', B)
    valid = torch.arange(len(best))[:, None] < output.lengths[None, :]
    return float((best == BLANK)[valid].float().mean())
