"""Under which settings a row was measured: only rows of one setting are compared with each other."""

from typing import NamedTuple

from slrbench.records import SummaryRow


class Setting(NamedTuple):
    """What must be the same for rows to compete."""

    batch: int
    frames: int
    height: int
    width: int
    threads: int
    device: str

    def parts(self) -> list[str]:
        """Each in words, in the same order."""
        frames_word, threads_word = ("s" if count > 1 else "" for count in (self.frames, self.threads))
        return [
            f"batch {self.batch}",
            f"{self.frames} frame{frames_word}",
            f"{self.height} x {self.width} pixels",
            f"{self.threads} thread{threads_word}",
            f"device {self.device}",
        ]

    def __str__(self) -> str:
        """All of it in one phrase."""
        return ", ".join(self.parts())


def setting_of(row: SummaryRow) -> Setting:
    """The setting of a row."""
    return Setting(row.batch, row.frames, row.height, row.width, row.threads, row.device)
