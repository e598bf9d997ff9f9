"""One case of parity: the reference's log-probabilities against an artifact's. NumPy only.

Shapes: B clips, T frames, T' output steps, C classes with the CTC blank at index 0. Both outputs are float64
``(T', B, C)``, natural logarithm. A case passes where, in this order,

1. the artifact runs, and gives the reference's shape (one that froze its time axis does one or the other wrongly);
2. no value is NaN or infinite;
3. ``|logsumexp| <= logsumexp_tolerance`` at every step: what comes out is log-probabilities and not logits;
4. ``|candidate - reference| <= atol + rtol * |reference|`` at every value, the form of ``numpy.allclose``;
5. the best class agrees at every step where the reference's two best classes are further apart than ``clear_margin``
   (or at the share of them that the gates ask for), and every clip decodes to the same labels unless close steps alone
   explain the difference.

Gates without ``values`` (int8) leave 4 and 5 out but for the decoded labels of real clips.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from exporters.artifact import ParityCaseResult

BLANK = 0
LOGITS = "outputs are logits: log_softmax is missing"
PROBABILITIES = "outputs are probabilities: the logarithm is missing"
FROZEN = "as a time axis gives that was frozen by the export"


@dataclass(frozen=True, kw_only=True)
class ParityInput:
    """One video: uint8 ``(B, T, H, W, 3)`` or float32 ``(B, 3, T, H, W)``, from real clips or of noise."""

    name: str
    video: NDArray[Any]
    source: Literal["clips", "noise"]

    @property
    def shape(self) -> tuple[int, int]:
        """B and T."""
        time_axis = 1 if self.video.dtype == np.uint8 else 2
        return self.video.shape[0], self.video.shape[time_axis]


@dataclass(frozen=True, kw_only=True)
class Gates:
    """What a case must keep to; see the module's docstring. Margins and log-probabilities in nats.

    1e-4 is what float32 runtimes keep on these networks with room to spare (about 1e-6 is usual; the sums are taken in
    another order); a wrong weight, pad or axis is orders of magnitude above it.
    """

    atol: float = 1e-4
    rtol: float = 1e-4
    logsumexp_tolerance: float = 1e-4
    clear_margin: float = 1e-2
    least_agreement: float = 1.0
    """Share of the clear steps at which the best class must agree."""
    invariance_atol: float | None = None
    """Tolerance of the artifact's own invariances; None: ``atol``, but at least 1e-4."""
    values: bool = True
    """Whether log-probabilities are compared value by value; without it only decoded sequences count."""


def compare(
    expected: NDArray[np.float64], found: NDArray[np.float64] | str, item: ParityInput, gates: Gates
) -> ParityCaseResult:
    """One case: the reference's output against the candidate's, or against the reason why there is none."""
    if isinstance(found, str):
        return _nothing_to_compare(item, found)
    if found.shape != expected.shape:
        why = f"output has shape {found.shape}, expected {expected.shape}"
        if found.shape == (expected.shape[1], expected.shape[0], expected.shape[2]):
            why += ": clips and steps are swapped"
        elif found.shape[0] != expected.shape[0]:
            why += f": {found.shape[0]} output steps for {item.shape[1]} frames, {FROZEN}"
        return _nothing_to_compare(item, why)
    finite = np.isfinite(found) & np.isfinite(expected)
    errors = np.abs(found[finite] - expected[finite])
    excess = errors - gates.rtol * np.abs(expected[finite])
    worst_excess = max(0.0, float(excess.max())) if errors.size else 0.0
    clear, close = _agreement(expected, found, finite, gates.clear_margin)
    different, different_close = _decoded_differences(expected, found, finite, gates.clear_margin)
    off = _max_abs_logsumexp(found)
    different_clear = different - different_close
    if not gates.values:  # no margin tells what int8 may change: any other reading of a real clip counts
        different_clear = different if item.source == "clips" else 0
    fixed = _fixed_faults(expected, found, off, clear, different_clear, gates)
    outside = int((excess > gates.atol).sum()) if gates.values else 0
    faults = list(fixed)
    if outside:
        faults.append(
            f"{outside} of {errors.size} values are outside atol {gates.atol:g} + rtol {gates.rtol:g} "
            f"(max abs error {errors.max():.3g}, atol needed {worst_excess:.3g})"
        )
    return ParityCaseResult(
        name=item.name,
        batch=item.shape[0],
        frames=item.shape[1],
        source=item.source,
        max_abs_error=float(errors.max()) if errors.size else None,
        p99_abs_error=float(np.percentile(errors, 99)) if errors.size else None,
        mean_abs_error=float(errors.mean()) if errors.size else None,
        max_abs_logsumexp=off,
        non_finite=int((~np.isfinite(found)).sum()),
        kl=_kl(expected, found, finite),
        argmax_agreement_clear=clear,
        argmax_agreement_close=close,
        decoded_differences=different,
        decoded_differences_close=different_close,
        needed_atol=None if fixed else worst_excess if gates.values else 0.0,
        passed=not faults,
        why="; ".join(faults),
    )


def _nothing_to_compare(item: ParityInput, why: str) -> ParityCaseResult:
    return ParityCaseResult(
        name=item.name,
        batch=item.shape[0],
        frames=item.shape[1],
        source=item.source,
        max_abs_error=None,
        p99_abs_error=None,
        mean_abs_error=None,
        max_abs_logsumexp=None,
        non_finite=0,
        kl=None,
        argmax_agreement_clear=None,
        argmax_agreement_close=None,
        decoded_differences=None,
        passed=False,
        why=why,
    )


def _fixed_faults(
    expected: NDArray[np.float64],
    found: NDArray[np.float64],
    off: float | None,
    clear: float | None,
    different_clear: int,
    gates: Gates,
) -> list[str]:
    """The faults that no atol mends."""
    faults = []
    unknown = int((~np.isfinite(expected)).sum())
    if unknown:
        faults.append(f"the reference itself has {unknown} values that are not finite")
    non_finite = int((~np.isfinite(found)).sum())
    if non_finite:
        faults.append(f"{non_finite} of {found.size} values are NaN or infinite")
    if off is not None and off > gates.logsumexp_tolerance:
        faults.append(f"{_name_normalisation_fault(expected, found, gates)} (max |logsumexp| {off:.3g})")
    if clear is not None and clear < gates.least_agreement:
        faults.append(
            f"the best class agrees at only {clear:.2%} of the steps where the reference's margin is over "
            f"{gates.clear_margin:g}" + (f" ({gates.least_agreement:.1%} needed)" if gates.least_agreement < 1 else "")
        )
    if different_clear:
        faults.append(f"{different_clear} of {found.shape[1]} clips decode to other labels")
    return faults


def _name_normalisation_fault(expected: NDArray[np.float64], found: NDArray[np.float64], gates: Gates) -> str:
    """What outputs are that do not normalise. Logits shifted by their log-sum-exp are the log-probabilities."""
    if not np.isfinite(found).all():
        return "outputs do not normalise"
    normalised = found - logsumexp(found)[..., None]
    if np.allclose(normalised, expected, atol=gates.atol, rtol=gates.rtol):
        return LOGITS
    if found.min() >= 0 and np.abs(found.sum(axis=-1) - 1.0).max() <= 1e-3:
        return PROBABILITIES
    return "outputs are not log-probabilities: they do not normalise"


def logsumexp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``log(sum(exp(values)))`` over the last axis, without overflow."""
    peak = values.max(axis=-1, keepdims=True)
    peak = np.where(np.isfinite(peak), peak, 0.0)
    with np.errstate(divide="ignore", over="ignore"):  # infinities are counted elsewhere
        total: NDArray[np.float64] = np.log(np.exp(values - peak).sum(axis=-1)) + peak[..., 0]
    return total


def _max_abs_logsumexp(found: NDArray[np.float64]) -> float | None:
    """Over steps of finite values; None where there is none."""
    steps = found[np.isfinite(found).all(axis=-1)]
    return float(np.abs(logsumexp(steps)).max()) if steps.size else None


def _kl(expected: NDArray[np.float64], found: NDArray[np.float64], finite: NDArray[np.bool_]) -> float | None:
    """Mean over output steps of ``sum(p * (log p - log q))``; None where no step is finite."""
    steps = finite.all(axis=-1)
    if not steps.any():
        return None
    p, q = expected[steps], found[steps]
    return float((np.exp(p) * (p - q)).sum(axis=-1).mean())


def _agreement(
    expected: NDArray[np.float64], found: NDArray[np.float64], finite: NDArray[np.bool_], margin: float
) -> tuple[float | None, float | None]:
    """Share of steps with the same best class, where the reference's margin is clear and where it is close."""
    same, clear = _best_class_agrees(expected, found, finite), _is_clear(expected, margin)
    return (
        float(same[clear].mean()) if clear.any() else None,
        float(same[~clear].mean()) if not clear.all() else None,
    )


def _best_class_agrees(
    expected: NDArray[np.float64], found: NDArray[np.float64], finite: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """``(T', B)``; a step that is not finite never agrees."""
    agrees: NDArray[np.bool_] = (expected.argmax(axis=-1) == found.argmax(axis=-1)) & finite.all(axis=-1)
    return agrees


def _is_clear(expected: NDArray[np.float64], margin: float) -> NDArray[np.bool_]:
    """``(T', B)``: whether the two best classes are further apart than ``margin``."""
    best = np.sort(expected, axis=-1)[..., -2:]
    clear: NDArray[np.bool_] = (best[..., 1] - best[..., 0]) > margin
    return clear


def _decoded_differences(
    expected: NDArray[np.float64], found: NDArray[np.float64], finite: NDArray[np.bool_], margin: float
) -> tuple[int, int]:
    """Clips that decode differently, and how many of them differ at close steps only."""
    agrees, clear = _best_class_agrees(expected, found, finite), _is_clear(expected, margin)
    different = close = 0
    for clip in range(expected.shape[1]):
        if finite[:, clip].all() and greedy_decode(expected[:, clip]) == greedy_decode(found[:, clip]):
            continue
        different += 1
        close += not (clear[:, clip] & ~agrees[:, clip]).any()
    return different, close


def greedy_decode(log_probs: NDArray[np.float64]) -> tuple[int, ...]:
    """Best class of each step of one clip ``(T', C)``, repeats collapsed, blanks dropped."""
    path = log_probs.argmax(axis=-1)
    starts = np.append(True, path[1:] != path[:-1])
    return tuple(int(label) for label in path[starts] if label != BLANK)
