"""Where a command's text goes: to stdout, or whole into a file."""

import errno
import os
from pathlib import Path

from slrbench.cli import console


def deliver(text: str, output: Path | None) -> None:
    """Print the text, or write it to ``output`` and say so.

    Raises:
        OSError: the file cannot be written, or the disk is full; it names ``output``, whatever was written first.
    """
    from exporters.artifact import write_text_atomically

    if output is None:
        console.result(text.removesuffix("\n"))
        return
    if output.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(output))
    try:
        write_text_atomically(output, text)
    except OSError as error:
        # The text goes to a temporary file beside it first, whose name says nothing to whoever asked for this one.
        error.filename = str(output)
        raise
    console.wrote([output])
