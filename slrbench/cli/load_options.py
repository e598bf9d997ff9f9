"""The options of load, as ``bench`` takes them."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from slrbench.measure.load.settings import LoadSettings

Load = Annotated[
    str | None,
    typer.Option(
        "--load", metavar="LIST", help="Scenarios of MLPerf's LoadGen: of single-stream, multi-stream, server, offline."
    ),
]
Streams = Annotated[
    str | None,
    typer.Option(
        "--streams",
        metavar="N|auto",
        help="Cameras at 25 fps that each deliver clips at their own times; auto: how many are sustained.",
    ),
]
Stride = Annotated[
    int | None,
    typer.Option(
        "--stride", min=1, metavar="FRAMES", help="From one clip of a camera to its next; as long as a clip by default."
    ),
]
LatencyBound = Annotated[
    float, typer.Option("--latency-bound-ms", metavar="MS", help="Bound of p99 latency under load: server, streams.")
]
LoadSeconds = Annotated[
    float,
    typer.Option(
        "--load-seconds", metavar="S", help="Of a load test, at least; up to 6 times as long where samples are missing."
    ),
]

BOUND_MS = 200.0
SECONDS = 10.0
_DIGITS = 9


def load_settings(
    *, load: str | None, streams: str | None, stride: int | None, bound_ms: float, seconds: float, seed: int
) -> "LoadSettings":
    """What the options ask for.

    Raises:
        BadInputError: a scenario is unknown, or a number makes no sense.
    """
    from slrbench.errors import BadInputError
    from slrbench.measure.load.settings import LoadSettings, scenario_names

    # Python turns no more than some thousand digits into a number; none of so many is a count of streams.
    if streams is not None and streams != "auto" and not (streams.isdecimal() and len(streams) <= _DIGITS):
        raise BadInputError(
            f"--streams {streams[: 2 * _DIGITS]!r} is neither a number of at most {_DIGITS} digits nor auto",
            hint="--streams auto",
        )
    words = dict.fromkeys(word.strip() for word in (load or "").split(",") if word.strip())
    settings = LoadSettings(
        scenarios=scenario_names(tuple(words)),
        streams=int(streams) if streams is not None and streams.isdecimal() else "auto" if streams else None,
        stride=stride,
        bound_s=bound_ms / 1e3,
        seconds=seconds,
        seed=seed,
    )
    settings.check()
    return settings
