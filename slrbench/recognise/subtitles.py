"""Glosses as subtitles (SubRip)."""

from collections.abc import Sequence

from slrbench.recognise.results import Recognition, Segment

LEAST_S = 0.8
"""Seconds that a gloss is shown, at least, where the next one leaves it so much: a spike alone is too short to read."""


def srt_of(recognition: Recognition) -> str:
    """One cue for each gloss, from where it is recognised until the next one, but no longer than it can be read."""
    segments = recognition.segments
    cues = [
        f"{number}\n{_stamp(segment.start_s)} --> {_stamp(_end_of(segments, number - 1))}\n{segment.gloss}\n"
        for number, segment in enumerate(segments, start=1)
    ]
    return "\n".join(cues)


def _end_of(segments: Sequence[Segment], index: int) -> float:
    segment = segments[index]
    end_s = max(segment.end_s, segment.start_s + LEAST_S)
    if index + 1 < len(segments):
        end_s = min(end_s, segments[index + 1].start_s)
    return max(end_s, segment.start_s + 0.001)


def _stamp(time_s: float) -> str:
    """``HH:MM:SS,mmm``."""
    milliseconds = round(time_s * 1000)
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d},{milliseconds:03d}"
