"""How near a row comes to what its machine can do, and what holds it back. Pure functions; seconds and bytes.

The least time that a call could take is the larger of two: its operations at the machine's peak, and its traffic at the
machine's bandwidth (Williams, Waterman and Patterson, CACM 2009). ``peak_share`` is that time over the measured one.
A share above 1 can be: Winograd's convolutions do fewer operations than are counted, and caches hold what would be
traffic. Below :data:`LEAST_SHARE` neither limit explains the time, and the row is bound by ``overhead``: launches,
changes of layout, operators too small or too awkward to use the machine.
"""

from collections.abc import Iterable, Sequence

from slrbench.records import BoundBy, Candidate, MachinePeak, Measurement, Record, SummaryRow

LEAST_SHARE = 0.25


class Roof(Record):
    """A row below the machine's limits."""

    flops: float
    bytes_moved: float
    compute_s: float
    """Its operations at the machine's peak."""
    memory_s: float
    """Its traffic at the machine's bandwidth."""
    measured_s: float
    peak: MachinePeak

    @property
    def share(self) -> float:
        """Of what can be reached here, 0 .. about 1."""
        return max(self.compute_s, self.memory_s) / self.measured_s

    @property
    def bound_by(self) -> BoundBy:
        """What explains most of the time."""
        if self.share < LEAST_SHARE:
            return "overhead"
        return "compute" if self.compute_s >= self.memory_s else "memory"

    @property
    def intensity(self) -> float:
        """Operations for each byte."""
        return self.flops / self.bytes_moved


def roof_of(candidate: Candidate, measured_s: float, peaks: Iterable[MachinePeak]) -> Roof | None:
    """The limits for a candidate's call; None where its cost or the machine's peak is not known."""
    precision = "int8" if candidate.precision == "int8" else "fp32"
    for peak in peaks:
        if (peak.device, peak.threads, peak.precision) != (candidate.device, candidate.threads, precision):
            continue
        if candidate.macs is None or candidate.traffic_bytes is None or not peak.flops_per_s or not peak.bytes_per_s:
            return None
        flops = 2.0 * candidate.macs
        return Roof(
            flops=flops,
            bytes_moved=float(candidate.traffic_bytes),
            compute_s=flops / peak.flops_per_s,
            memory_s=candidate.traffic_bytes / peak.bytes_per_s,
            measured_s=measured_s,
            peak=peak,
        )
    return None


def with_roofs(
    rows: Sequence[SummaryRow], measurements: Sequence[Measurement], peaks: Sequence[MachinePeak]
) -> tuple[SummaryRow, ...]:
    """The rows with ``peak_share`` and ``bound_by`` of their compute time, on the rows of the network alone."""
    computed: dict[int, Roof] = {}
    for row in rows:
        if row.scope == "compute" and row.measurement is not None:
            roof = roof_of(measurements[row.measurement].candidate, row.p50_s, peaks)
            if roof is not None:
                computed[row.measurement] = roof
    return tuple(
        row.model_copy(
            update={"peak_share": computed[row.measurement].share, "bound_by": computed[row.measurement].bound_by}
        )
        if row.measurement in computed and row.scope != "pixels_to_glosses"
        else row
        for row in rows
    )
