"""How far a student's spikes lie from its teacher's, both aligned to the reference.

Spike times of CTC networks that were trained apart are arbitrary (Kurata and Audhkhasi, arXiv 1904.08311); where they
differ, frame-wise distillation teaches the student the blank at its own spikes. NumPy only.

Shapes: T' output steps, C classes with blank 0, L labels. Log-probabilities are (T', C).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from slrbench.ctc import BLANK, required_steps
from slrbench.decoding import align
from slrbench.records import Record

SHIFTS = (-2, -1, 0, 1, 2)
"""Shifts of the student in output steps at which its divergence from the teacher is taken."""


class SpikeOffsets(Record):
    """Spikes of a student against those of its teacher on the same clips."""

    clips: int = Field(description="that were compared")
    clips_left_out: int = Field(description="that CTC cannot align")
    offsets: dict[int, int] = Field(description="student minus teacher in output steps: how many glosses")
    seconds_per_step: float = Field(gt=0)
    divergence: dict[int, float] = Field(
        description="shift k to KL(teacher at t || student at t + k), nats, averaged over steps"
    )
    teacher_blank_share: float = Field(description="of output steps, 0 .. 1")
    student_blank_share: float

    @property
    def glosses(self) -> int:
        """Number of glosses that were aligned."""
        return sum(self.offsets.values())

    @property
    def mean(self) -> float:
        """Mean offset in output steps; above 0 the student is later."""
        return sum(offset * count for offset, count in self.offsets.items()) / self.glosses

    @property
    def within_one(self) -> float:
        """Share of glosses whose spikes are at most one output step apart."""
        return sum(count for offset, count in self.offsets.items() if abs(offset) <= 1) / self.glosses

    @property
    def best_shift(self) -> int:
        """The shift at which the student's output is nearest to the teacher's; the smaller one where two are equal."""
        return min(self.divergence, key=lambda shift: (self.divergence[shift], abs(shift)))

    def figures(self) -> dict[str, object]:
        """As JSON holds them."""
        return {
            **self.model_dump(mode="json"),
            "glosses": self.glosses,
            "mean_offset_steps": self.mean,
            "share_within_one_step": self.within_one,
            "best_shift": self.best_shift,
        }

    def sentence(self) -> str:
        """What a reader takes away, in a line or two."""
        side = "later" if self.mean > 0 else "earlier"
        text = (
            f"spikes against the teacher: {self.within_one:.0%} of {self.glosses} glosses within one output step, on "
            f"average {abs(self.mean):.2f} steps ({abs(self.mean) * self.seconds_per_step * 1e3:.0f} ms) {side}; "
            f"KL {self.divergence[0]:.3f} nats per step"
        )
        if self.best_shift != 0:
            text += f", lowest at a shift of {self.best_shift:+d}: {self.divergence[self.best_shift]:.3f}"
        return text


class SpikeComparison:
    """Gathers clips one by one."""

    def __init__(self, *, seconds_per_step: float) -> None:
        """``seconds_per_step`` is the duration of an output step."""
        self._seconds_per_step = seconds_per_step
        self._clips = self._left_out = self._steps = 0
        self._offsets: Counter[int] = Counter()
        self._sums = dict.fromkeys(SHIFTS, 0.0)
        self._counts = dict.fromkeys(SHIFTS, 0)
        self._blanks = [0, 0]

    def add(self, student: NDArray[np.floating], teacher: NDArray[np.floating], labels: Sequence[int]) -> None:
        """Both networks' log-probabilities (T', C) of one clip, and its reference.

        Raises:
            ValueError: the shapes differ.
        """
        if student.shape != teacher.shape:
            raise ValueError(f"student {student.shape} and teacher {teacher.shape} differ in shape")
        if not labels or required_steps(labels) > len(teacher):
            self._left_out += 1
            return
        self._clips += 1
        ours, theirs = ([segment.peak_step for segment in align(values, labels)] for values in (student, teacher))
        self._offsets.update(a - b for a, b in zip(ours, theirs, strict=True))
        self._steps += len(teacher)
        for place, values in enumerate((teacher, student)):
            self._blanks[place] += int((values.argmax(axis=1) == BLANK).sum())
        for shift in SHIFTS:
            moved = student[max(0, shift) : len(student) + min(0, shift)].astype(np.float64)
            fixed = teacher[max(0, -shift) : len(teacher) + min(0, -shift)].astype(np.float64)
            self._sums[shift] += float((np.exp(fixed) * (fixed - moved)).sum())
            self._counts[shift] += len(moved)

    def result(self) -> SpikeOffsets | None:
        """The comparison; None where no clip could be aligned."""
        if not self._clips:
            return None
        return SpikeOffsets(
            clips=self._clips,
            clips_left_out=self._left_out,
            offsets=dict(sorted(self._offsets.items())),
            seconds_per_step=self._seconds_per_step,
            divergence={shift: self._sums[shift] / n for shift, n in self._counts.items() if n},
            teacher_blank_share=self._blanks[0] / self._steps,
            student_blank_share=self._blanks[1] / self._steps,
        )
