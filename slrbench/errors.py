"""The errors that slrbench raises on purpose, each with the exit code that the command line answers.

An error says what was wrong, the value, what was expected and, in ``hint``, what to do next.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command."""

    OK = 0  # done, and every verdict that was asked for is good
    NEGATIVE = 1  # a negative verdict; the report is still written
    BAD_INPUT = 2  # wrong usage, or an input file that cannot be used
    UNAVAILABLE = 3  # the backend or the device is not available here
    FAILED = 4  # training, export or a run failed
    BUG = 70  # a bug in slrbench
    INTERRUPTED = 130  # interrupted; partial results are kept
    TERMINATED = 143  # the same, by SIGTERM


class SlrbenchError(Exception):
    """An expected failure. ``hint`` says what to do next; ``exit_code`` is what the command answers."""

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        """Keep the message (one sentence, no trailing full stop) and the hint."""
        super().__init__(message)
        self.message = message
        self.hint = hint


class NegativeVerdictError(SlrbenchError):
    """A check, a parity verdict or a constraint came out negative."""

    exit_code = ExitCode.NEGATIVE


class BadInputError(SlrbenchError):
    """Wrong usage, or an input file that cannot be used."""

    exit_code = ExitCode.BAD_INPUT


class UnreadableClipError(BadInputError):
    """One clip of a corpus cannot be read. Training and evaluation name it and go on without it."""

    def __init__(self, clip_id: str, reason: str) -> None:
        """Keep the clip's name and what is wrong with its file."""
        super().__init__(
            f"clip {clip_id} cannot be read: {reason}", hint="python -m slrbench data SPEC names every such clip"
        )
        self.clip_id = clip_id
        self.reason = reason


class UnavailableError(SlrbenchError):
    """The backend or the device is not available on this machine."""

    exit_code = ExitCode.UNAVAILABLE


class RunFailedError(SlrbenchError):
    """Training, an export or a run failed."""

    exit_code = ExitCode.FAILED
