"""Figures of every step for TensorBoard, through accelerate's trackers."""

from importlib.util import find_spec

from accelerate import Accelerator

from slrbench.errors import UnavailableError
from slrbench.training.progress import StepReport


def check_tensorboard() -> None:
    """Raises UnavailableError where logs cannot be written: accelerate would leave them out in silence."""
    if find_spec("tensorboard") is None:
        raise UnavailableError(
            "--log-dir writes logs for TensorBoard, which is not installed here",
            hint="pip install 'slrbench[tensorboard]', or: pip install tensorboard",
        )


class StepLog:
    """One folder of events for each network; the main process writes it."""

    def __init__(self, accelerator: Accelerator, name: str) -> None:
        """``accelerator`` was made with ``log_with="tensorboard"``; events go to ``name`` in its project's folder."""
        self._accelerator, self._name = accelerator, name
        self._is_open = False

    def write(self, report: StepReport) -> None:
        """Log a step. What an interrupted run logged of later steps is taken back by the first one."""
        if not self._is_open:
            self._accelerator.init_trackers(self._name, init_kwargs={"tensorboard": {"purge_step": report.step}})
            self._is_open = True
        self._accelerator.log(report.figures(), step=report.step)

    def close(self) -> None:
        """Write what is still buffered."""
        if self._is_open:
            self._accelerator.get_tracker("tensorboard").finish()
            self._is_open = False
