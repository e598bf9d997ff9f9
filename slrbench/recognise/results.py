"""What recognising a video gives."""

from pydantic import Field

from slrbench.records import Record


class Segment(Record):
    """One gloss, with the time in which the network says it.

    CTC answers with a spike: the interval lies within or close to the sign and need not be as long as the sign is.
    """

    gloss: str
    start_s: float = Field(ge=0.0, description="seconds from the start of the video")
    end_s: float = Field(ge=0.0, description="seconds from the start of the video")
    confidence: float = Field(
        ge=0.0, le=1.0, description="the network's mean probability of the gloss over the interval; not calibrated"
    )


class Recognition(Record):
    """The glosses of a video in order."""

    segments: tuple[Segment, ...]
    frames: int = Field(ge=1, description="frames that were recognised, at the network's frame rate")
    duration_s: float = Field(gt=0.0, description="the same in seconds")
    window: int | None = Field(default=None, description="frames that the network saw at a time; null: all of them")

    @property
    def glosses(self) -> tuple[str, ...]:
        """The glosses alone."""
        return tuple(segment.gloss for segment in self.segments)
