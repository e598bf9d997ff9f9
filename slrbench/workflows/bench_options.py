"""What a benchmark is asked for, as data that a journal keeps."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from slrbench.errors import BadInputError
from slrbench.measure.load.settings import LoadSettings
from slrbench.measure.settings import MeasureSettings
from slrbench.workflows.bench_axes import Axes


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """What to measure and how much."""

    models: tuple[str, ...] = ()
    """Ids, paths or roles; every model of the folder where there is none and nothing untrained is asked for."""
    axes: Axes = field(default_factory=Axes)
    untrained: tuple[str, ...] = ()
    """Networks with random weights, such as ``teacher:width=1,size=224``."""
    allow_unverified: bool = False
    wer_clips: int = 100
    """Clips of the test split on which each file's word error rate is measured; 0 leaves it out."""
    cache: Path | None = None
    """Folder of decoded clips, for corpora of files. No condition of measuring: a run may go on with another."""
    settings: MeasureSettings = field(default_factory=MeasureSettings)
    load: LoadSettings = field(default_factory=LoadSettings)
    """Scenarios and streams, after the rounds."""
    roofline: bool = True
    """Whether the machine's own peaks are measured, before the rounds and after them."""
    video: str = ""
    """A video that is timed from its bytes to glosses, too; empty: none."""
    baseline: str = ""
    """What is measured twice and compared with: ``[MODEL:]BACKEND``; empty: the first that can be measured."""

    def document(self) -> dict[str, Any]:
        """As JSON, without the cache."""
        found: dict[str, Any] = TypeAdapter(BenchOptions).dump_python(self, mode="json", exclude={"cache"})
        return found

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "BenchOptions":
        """What :meth:`document` gave.

        Raises:
            BadInputError: it is none, or that of another version.
        """
        try:
            return TypeAdapter(BenchOptions).validate_python(document, strict=False)
        except ValidationError as error:
            raise BadInputError(
                f"the journal's options are not those of this version of slrbench: {error.errors()[0]['msg']}",
                hint="resume with the version that began it, or measure anew",
            ) from error
