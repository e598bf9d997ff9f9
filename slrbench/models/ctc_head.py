"""What both networks share: BiLSTM, classifier and log_softmax, the auxiliary CTC head, and the interface.

Shapes: B clips, T frames, T' = ceil(T / stride) output steps, C classes with blank 0, H, W; F features. Video is
(B, 3, T, H, W) in [-1, 1], log-probabilities are (T', B, C).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.checkpoint import checkpoint

from slrbench.models.spec import ModelSpec


class CtcOutput(NamedTuple):
    """What training needs of one forward pass."""

    log_probs: Tensor  # (T', B, C), float32
    auxiliary_log_probs: Tensor  # (T', B, C), float32, of the features before the BiLSTM
    lengths: Tensor  # (B,), int64 on the CPU, valid output steps
    features: Tensor  # (T', B, F), what both heads look at, without dropout


def log_probabilities(logits: Tensor) -> Tensor:
    """Normalise over the classes in float32, whatever the precision of the network."""
    return torch.log_softmax(logits.float(), dim=-1)


class CtcHead(nn.Module):
    """Dropout, BiLSTM, dropout, linear classifier; and a linear auxiliary classifier for training."""

    def __init__(self, features: int, spec: ModelSpec) -> None:
        """Build and initialise the layers for ``features`` inputs per step."""
        super().__init__()
        self.dropout = nn.Dropout(spec.dropout)
        self.lstm = nn.LSTM(
            features,
            spec.lstm_hidden,
            spec.lstm_layers,
            bidirectional=True,
            dropout=spec.dropout if spec.lstm_layers > 1 else 0.0,
        )
        self.classifier = nn.Linear(2 * spec.lstm_hidden, spec.num_classes)
        self.auxiliary = nn.Linear(features, spec.num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("weight_ih"):
                nn.init.xavier_uniform_(parameter)
            elif name.startswith("weight_hh"):
                for gate in parameter.chunk(4):
                    nn.init.orthogonal_(gate)
            else:
                nn.init.zeros_(parameter)
                if name.startswith("bias_ih"):
                    # Gates are in the order input, forget, cell, output. A forget bias of 1 keeps the memory open.
                    hidden = len(parameter) // 4
                    nn.init.ones_(parameter[hidden : 2 * hidden])
        for classifier in (self.classifier, self.auxiliary):
            nn.init.xavier_uniform_(classifier.weight)
            nn.init.zeros_(classifier.bias)

    def forward(self, features: Tensor, steps: Sequence[int] | None = None) -> Tensor:
        """Log-probabilities (T', B, C) of features (T', B, F); ``steps`` are the valid steps where they differ."""
        return self.classify(self.dropout(features), steps)

    def forward_training(self, features: Tensor, steps: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
        """Log-probabilities (T', B, C) of the head and of the auxiliary head."""
        features = self.dropout(features)
        return self.classify(features, steps), log_probabilities(self.auxiliary(features))

    def classify(self, features: Tensor, steps: Sequence[int] | None) -> Tensor:
        """BiLSTM and classifier, without the dropout in front."""
        if steps is None:
            hidden, _ = self.lstm(features)
        else:
            packed = pack_padded_sequence(features, torch.tensor(steps), enforce_sorted=False)
            hidden, _ = pad_packed_sequence(self.lstm(packed)[0], total_length=features.shape[0])
        return log_probabilities(self.classifier(self.dropout(hidden)))


class Recogniser(nn.Module, ABC):
    """A network that turns a video into CTC log-probabilities. Subclasses implement ``encode``."""

    def __init__(self, spec: ModelSpec) -> None:
        """Keep the spec, from which ``build_model`` builds the same network again."""
        super().__init__()
        self.spec = spec
        self.head: CtcHead
        self.recompute = False
        """Whether training computes the backbone's activations again for the gradient, instead of keeping them."""

    @property
    @abstractmethod
    def stride(self) -> int:
        """Frames per output step."""

    @property
    @abstractmethod
    def backbone_module(self) -> nn.Module:
        """The part whose weights others trained: everything before what is trained for these glosses."""

    @abstractmethod
    def encode(self, video: Tensor, lengths: Sequence[int] | None) -> Tensor:
        """Features (T', B, F) of a video (B, 3, T, H, W); zero after each clip's own steps where lengths differ."""

    def forward(self, video: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Log-probabilities of a video.

        Args:
            video: (B, 3, T, H, W), float, in [-1, 1].
            lengths: (B,) valid frames of each clip, 1..T; without it every clip has T. With it, the valid steps of a
                clip are the same alone and padded in a batch, whatever the padding holds.

        Returns:
            (T', B, C), float32, normalised over C; T' = ceil(T / stride) without lengths, ceil(max(lengths) / stride)
            with them. Steps after a clip's own are normalised too, and mean nothing.

        Raises:
            ValueError: lengths are not (B,) or not within 1..T.
        """
        frames, steps = self._plan(video, lengths)
        log_probs: Tensor = self.head(self.encode(video, frames), steps)
        return log_probs

    def forward_training(self, video: Tensor, lengths: Tensor | None = None) -> CtcOutput:
        """Log-probabilities of both heads, the valid output steps and features; arguments as for ``forward``."""
        frames, steps = self._plan(video, lengths)
        features = self.encode(video, frames)
        log_probs, auxiliary = self.head.forward_training(features, steps)
        counts = frames if frames is not None else [video.shape[2]] * video.shape[0]
        lengths = torch.tensor([-(-count // self.stride) for count in counts])
        return CtcOutput(log_probs, auxiliary, lengths, features)

    def run_block(self, block: nn.Module, *inputs: object) -> Tensor:
        """A block of the backbone, its activations kept or, with ``recompute``, computed again for the gradient."""
        if self.recompute and self.training and torch.is_grad_enabled():
            again: Tensor = checkpoint(block, *inputs, use_reentrant=False)
            return again
        result: Tensor = block(*inputs)
        return result

    def _plan(self, video: Tensor, lengths: Tensor | None) -> tuple[list[int] | None, list[int] | None]:
        """Valid frames of each clip (None: all of them), and its output steps (None: the same for all)."""
        if lengths is None:
            return None, None
        frames: list[int] = lengths.tolist()
        if len(frames) != video.shape[0] or not all(1 <= count <= video.shape[2] for count in frames):
            raise ValueError(f"lengths {frames} do not fit a video of shape {tuple(video.shape)}: (B,) within 1..T")
        if all(count == video.shape[2] for count in frames):
            return None, None
        steps = [-(-count // self.stride) for count in frames]
        return frames, steps if len(set(steps)) > 1 else None
