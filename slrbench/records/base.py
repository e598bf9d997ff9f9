"""What all records share: frozen, refusing unknown fields; an interval, a check. Loads no runtime."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ParityWord = Literal["passed", "failed", "not run"]
Scope = Literal["compute", "end_to_end", "pixels_to_glosses"]
SpeedVerdict = Literal["FASTER", "SLOWER", "SAME", "UNCLEAR"]
FloorState = Literal["unknown", "invalid", "unresolved", "coarse", "good"]
BoundBy = Literal["compute", "memory", "overhead"]


class Record(BaseModel):
    """A frozen record that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(Record):
    """A figure with its confidence interval."""

    value: float
    low: float
    high: float
    confidence: float = Field(default=0.95, description="0 .. 1, two-sided")


class CheckResult(Record):
    """One line of ``slrbench verify``."""

    name: str
    passed: bool
    figure: str = Field(description="the figure that the check looked at, for people, with its unit")
    hint: str | None = Field(default=None, description="what to do, where it failed")
