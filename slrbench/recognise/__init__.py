"""From a video to glosses with times and confidence: whole, or as its frames arrive. Loads no runtime."""

from slrbench.recognise.results import Recognition, Segment

__all__ = ["Recognition", "Segment"]
