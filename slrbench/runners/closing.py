"""Letting go of things: all of them, in order, whatever fails, and at the end of the process at the latest."""

import atexit
import contextlib
import weakref
from collections.abc import Callable
from typing import Protocol


class _Closable(Protocol):
    def close(self) -> None: ...


def free_all(undo: list[Callable[[], None]]) -> None:
    """Do every step, newest first, and empty the list; an error is raised when all are done.

    Raises:
        Exception: the first error of a step; later ones are of the same cause.
    """
    first: Exception | None = None
    while undo:
        try:
            undo.pop()()
        except Exception as error:
            first = first or error
    if first is not None:
        raise first


def without_raising(step: Callable[[], None]) -> None:
    """Clean up after an error that is already on its way: that one is the news, not what cleaning up meets."""
    with contextlib.suppress(Exception):
        step()


def close_at_exit(thing: _Closable) -> Callable[[], None]:
    """Close it before the interpreter ends, unless it is gone by then; returns what takes the order back.

    What is still open when modules and libraries are torn down is destroyed in an order of nobody's choosing, and a
    library that looks for a CUDA context which is gone takes the process with it.
    """
    weakly = weakref.ref(thing)

    def close() -> None:
        alive = weakly()
        if alive is not None:
            without_raising(alive.close)

    atexit.register(close)
    return lambda: atexit.unregister(close)
