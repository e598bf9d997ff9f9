"""The server under load: one runner that answers clips, as many in a call as its batch holds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slrbench.runners.protocol import Runner

Serve = Callable[[Sequence[int]], None]
"""Answers the clips of these indices, in one call; done when it returns. At most as many as the batch holds."""


class ClipServer:
    """Clips in memory and the runner that answers them, each call from host to host.

    A call always has the candidate's batch: clips that wait are put together, and where fewer wait than fit, the last
    one fills the rest. Putting together copies, and counts, as it would in any server; a batch of 1 is a view.
    """

    def __init__(self, runner: Runner, videos: Sequence[NDArray[Any]]) -> None:
        """Take inputs ``(B, ...)``, each of B clips."""
        self._runner = runner
        self._videos = videos
        self.batch = len(videos[0])
        self.clips = len(videos) * self.batch

    def serve(self, indices: Sequence[int]) -> None:
        """Answer clips; an index beyond the last begins anew."""
        runner = self._runner
        pending = runner.run(runner.stage(self._video(indices)))
        runner.synchronize()
        runner.fetch(pending)

    def _video(self, indices: Sequence[int]) -> NDArray[Any]:
        if self.batch == 1:
            return self._videos[indices[0] % self.clips]
        filled = [*indices, *[indices[-1]] * (self.batch - len(indices))]
        places = [divmod(index % self.clips, self.batch) for index in filled]
        return np.stack([self._videos[video][clip] for video, clip in places])
