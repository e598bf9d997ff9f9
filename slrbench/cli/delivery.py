"""Where a command's text goes: to stdout, or whole into a file."""

from pathlib import Path

from slrbench.cli import console


def deliver(text: str, output: Path | None) -> None:
    """Print the text, or write it to ``output`` and say so.

    Raises:
        OSError: the file cannot be written, or the disk is full.
    """
    from exporters.artifact import write_text_atomically

    if output is None:
        console.result(text.removesuffix("\n"))
    else:
        write_text_atomically(output, text)
        console.wrote([output])
