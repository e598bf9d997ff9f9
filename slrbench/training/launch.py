"""Whether ``torchrun`` or ``accelerate launch`` started this process as one of several. Loads no torch."""

import os


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


def is_launched() -> bool:
    """Whether a launcher set the variables from which torch.distributed finds the other processes."""
    return _number("LOCAL_RANK", -1) >= 0


def launched_processes() -> int:
    """How many processes train together, on all machines; 1 where nothing launched more."""
    return max(1, _number("WORLD_SIZE", 1)) if is_launched() else 1


def launched_index() -> int:
    """Which of them this is, 0 for the one that writes and speaks."""
    return _number("RANK", 0) if is_launched() else 0


def restarts() -> int:
    """How often torchrun has restarted the processes of this job (``--max-restarts``)."""
    return _number("TORCHELASTIC_RESTART_COUNT", 0)
