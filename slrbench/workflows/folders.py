"""Folders that a job will write to, looked at before the job begins."""

from pathlib import Path


def check_writable(folder: Path) -> None:
    """Fail before a long job rather than after it; nothing is left behind.

    Raises:
        OSError: the folder cannot be made or written.
    """
    made = []
    for path in [folder, *folder.parents]:
        if path.exists():
            break
        made.append(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    finally:
        for path in made:
            if path.exists():
                path.rmdir()
