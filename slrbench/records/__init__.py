"""What is measured and reported, as frozen records with a JSON round trip. Loads no runtime.

Seconds and bytes everywhere; ``None`` where a figure is not known, never zero.

report.json, format history
    1: first version.
    2: precision, variant and device of accuracies and rows; device time, device memory and the GPU's state of
       measurements; engines without a verdict. Version 1 is read: what it has not is left empty.
    3: the baseline measured twice, marked samples, intervals, comparisons, the machine's peaks, load scenarios and
       streams, errors of each clip. Versions 1 and 2 are read: what they have not is left empty.
"""

from slrbench.records.base import BoundBy, CheckResult, FloorState, Interval, ParityWord, Record, Scope, SpeedVerdict
from slrbench.records.measured import (
    Accuracy,
    Candidate,
    Energy,
    Environment,
    ErrorCounts,
    LoadRun,
    MachinePeak,
    Measurement,
    OperatorTime,
    OutputCheck,
    ParallelRun,
    PixelsToGlosses,
    Profile,
    Skipped,
)
from slrbench.records.reported import (
    REPORT_SCHEMA_VERSION,
    Comparison,
    Decision,
    NoiseFloor,
    Rejection,
    Report,
    ScalingFit,
    Sensitivity,
    SummaryRow,
    TrainingFigures,
)

__all__ = [
    "REPORT_SCHEMA_VERSION",
    "Accuracy",
    "BoundBy",
    "Candidate",
    "CheckResult",
    "Comparison",
    "Decision",
    "Energy",
    "Environment",
    "ErrorCounts",
    "FloorState",
    "Interval",
    "LoadRun",
    "MachinePeak",
    "Measurement",
    "NoiseFloor",
    "OperatorTime",
    "OutputCheck",
    "ParallelRun",
    "ParityWord",
    "PixelsToGlosses",
    "Profile",
    "Record",
    "Rejection",
    "Report",
    "ScalingFit",
    "Scope",
    "Sensitivity",
    "Skipped",
    "SpeedVerdict",
    "SummaryRow",
    "TrainingFigures",
]
