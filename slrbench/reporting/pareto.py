"""The Pareto front: rows that no other row beats in everything, and how sure it is that a row is one of them."""

from collections.abc import Mapping, Sequence

import numpy as np

from slrbench.records import SummaryRow
from slrbench.reporting.evidence import Evidence
from slrbench.reporting.requirements import Requirements, memory_bytes, wer_of


def costs(row: SummaryRow, requirements: Requirements | None = None) -> tuple[float, ...]:
    """What a row is weighed by, less being better in each: p50 (s), WER, size (bytes), and what else is asked for.

    Memory belongs to it where it is limited, streams where some are demanded, throughput where it is demanded or is the
    objective. The row must have a WER. A figure that is not known is infinitely bad.
    """
    wer = wer_of(row)
    assert wer is not None, "only rows with a measured WER are compared"
    found = [row.p50_s, wer, float(row.size_bytes)]
    asked = requirements or Requirements()
    if asked.max_memory_mb is not None:
        memory = memory_bytes(row)
        found.append(np.inf if memory is None else float(memory))
    if asked.min_streams is not None:
        found.append(np.inf if row.streams is None else -float(row.streams))
    if asked.min_throughput is not None or asked.objective == "throughput":
        found.append(np.inf if row.throughput_clips_per_s is None else -row.throughput_clips_per_s)
    return tuple(found)


def dominates(a: SummaryRow, b: SummaryRow, requirements: Requirements | None = None) -> bool:
    """Whether ``a`` is at most as slow, as wrong and as large as ``b``, and better in at least one of these."""
    pairs = list(zip(costs(a, requirements), costs(b, requirements), strict=True))
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def pareto_front(
    rows: Sequence[SummaryRow], indices: Sequence[int], requirements: Requirements | None = None
) -> list[int]:
    """Those of ``indices`` whose row no other of them dominates, fastest first. Every row must have a numeric WER."""
    front = [i for i in indices if not any(dominates(rows[j], rows[i], requirements) for j in indices)]
    return sorted(front, key=lambda i: (rows[i].p50_s, i))


def front_share(
    rows: Sequence[SummaryRow], indices: Sequence[int], evidence: Evidence, requirements: Requirements | None = None
) -> Mapping[int, float]:
    """Share of resamples (0 .. 1) in which each of ``indices`` is on the front; empty where there are none."""
    if not evidence or not indices:
        return {}
    latency, wer = evidence.figures(rows, indices)
    rest = np.array([costs(rows[i], requirements)[2:] for i in indices])  # (rows, further costs)
    shares = {}
    for position, i in enumerate(indices):
        others_rest = rest - rest[position]
        no_worse = np.all(others_rest <= 0.0, axis=1)[:, None]
        better = np.any(others_rest < 0.0, axis=1)[:, None]
        slower, more_wrong = latency - latency[position], wer - wer[position]  # (rows, resamples)
        no_worse = no_worse & (slower <= 0.0) & (more_wrong <= 0.0)
        better = better | (slower < 0.0) | (more_wrong < 0.0)
        shares[i] = float(np.mean(~np.any(no_worse & better, axis=0)))
    return shares
