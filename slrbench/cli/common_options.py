"""Options that commands of several kinds share."""

from pathlib import Path
from typing import Annotated

import typer

Cache = Annotated[
    Path | None,
    typer.Option("--cache", metavar="FOLDER", help="Keep decoded clips there, for all runs (corpora of files)."),
]
