"""The parent's side of the output check: what a worker kept of a round's timed calls against what they should be.

Two comparisons, both with the gates of parity (:mod:`exporters.comparison`):

- each kept output with the output of the same clip in an untimed call of the same process. What was timed is then what
  the verdicts and the word error rate are of, which untimed calls of this file give;
- those untimed outputs with the fp32 network's, where a candidate of the same benchmark is that network, or the source
  of the inputs gives its outputs.

Shapes: N inputs, T' output steps, B clips, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.measure.kept_outputs import caches
from slrbench.records import OutputCheck

SELF = "untimed calls of the same process"
NETWORK = "the fp32 network's outputs"

Outputs = Mapping[int, NDArray[np.float32]]
"""Log-probabilities ``(T', B, C)`` by the number of the input."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What comparing some outputs gave."""

    calls: int = 0
    max_abs_error: float | None = None
    decoded_alike: bool = True
    faults: tuple[str, ...] = ()

    def record(self) -> dict[str, Any]:
        """What a journal keeps."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class RoundOutputs:
    """The comparison of one round, and the untimed outputs that its process has given."""

    compared: Compared
    own: Outputs = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """What a journal keeps."""
        return self.compared.record()


def check_round(path: Path, *, inputs: int, precision: str, source: str = "noise") -> RoundOutputs:
    """Compare what a worker wrote after a round; ``inputs`` is how many clips are in rotation."""
    from exporters.gates import gates_for

    with np.load(path) as file:
        arrays: dict[str, NDArray[np.float32]] = {name: file[name] for name in file.files}
    own = {int(name[4:]): array for name, array in arrays.items() if name.startswith("own-")}
    timed = {int(name[6:]): array for name, array in arrays.items() if name.startswith("timed-")}
    gates = gates_for(precision)
    # The same file, process and clip: nothing but the order of sums may differ, as between the rows of a batch.
    same = replace(gates, atol=gates.invariance_atol or gates.atol, values=True, logsumexp_tolerance=float("inf"))
    pairs = [(f"timed call {call}", own[call % inputs], output) for call, output in sorted(timed.items())]
    return RoundOutputs(compared=_compare(pairs, same, source), own=own)


def check_against(network: Outputs, own: Outputs, *, precision: str, source: str = "noise") -> Compared:
    """Compare the untimed outputs with the fp32 network's for the same clips, by the precision's gates."""
    from exporters.gates import gates_for

    both = sorted(set(network) & set(own))
    return _compare([(f"input {i}", network[i], own[i]) for i in both], gates_for(precision), source)


def _compare(
    pairs: Sequence[tuple[str, NDArray[np.float32], NDArray[np.float32]]], gates: Any, source: str
) -> Compared:
    from exporters.comparison import ParityInput, compare

    errors: list[float] = []
    faults = []
    alike = True
    for name, expected, found in pairs:
        # compare() looks at the video's shape only to word a fault of the time axis.
        video = np.broadcast_to(np.float32(0), (expected.shape[1], 3, 4 * expected.shape[0], 1, 1))
        item = ParityInput(name=name, video=video, source="clips" if source == "clips" else "noise")
        case = compare(np.asarray(expected, np.float64), np.asarray(found, np.float64), item, gates)
        alike = alike and case.decoded_differences == 0
        if case.max_abs_error is not None:
            errors.append(case.max_abs_error)
        if not case.passed:
            faults.append(f"{name}: {case.why}")
    return Compared(
        calls=len(pairs), max_abs_error=max(errors, default=None), decoded_alike=alike, faults=tuple(faults)
    )


def output_check(
    rounds: Sequence[Mapping[str, Any]], against: Sequence[Mapping[str, Any]], ratios: Sequence[float]
) -> tuple[OutputCheck | None, list[str]]:
    """The record, and warnings.

    Args:
        rounds: what :func:`check_round` gave in each round, as its ``record``.
        against: what :func:`check_against` gave for each process; empty where the fp32 network's outputs are not known.
        ratios: time with one clip repeated / with clips never seen, of the pairs of all processes.
    """
    parts = [*rounds, *against]
    calls = sum(part["calls"] for part in rounds)
    if calls == 0:
        return None, []
    errors = [part["max_abs_error"] for part in parts if part["max_abs_error"] is not None]
    faults = [fault for part in parts for fault in part["faults"]]
    ratio = float(np.median(ratios)) if ratios else None
    stores = caches(ratios)
    warnings = []
    if faults:
        warnings.append(f"outputs of timed calls are not what they should be: {faults[0]}")
    if stores:
        warnings.append(f"one clip over and over takes {ratio:.2f} of the time of clips never seen: something caches")
    check = OutputCheck(
        compared_with=f"{SELF}, and these with {NETWORK}" if against else SELF,
        calls=calls,
        max_abs_error=max(errors, default=None),
        decoded_alike=all(part["decoded_alike"] for part in parts),
        passed=not faults,
        repeated_ratio=ratio,
        caches=stores,
    )
    return check, warnings
