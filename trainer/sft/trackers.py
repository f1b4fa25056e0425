"""What transformers' integrations leave to us: where trackers write, that they start, that they are closed.

The integrations themselves are transformers' own (`report_to`). Imports no tracker that was not asked for.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from configs.errors import TuneserveError
from configs.run.rundir import RunDir
from configs.terminal.console import warn

FOLDERS = {
    "tensorboard": ("TENSORBOARD_LOGGING_DIR", "tensorboard"),
    "wandb": ("WANDB_DIR", "."),
    "swanlab": ("SWANLAB_LOG_DIR", "swanlab"),
}
"""Variable and folder in RUN/logs of the trackers that would write into the working directory or the checkpoints."""

# Those that need an account. Left to themselves the callbacks would start them too, but where nobody is logged in that
# ends in a traceback; and transformers' asks `swanlab.get_run() is None` first, which raises since SwanLab 0.9.
_START: dict[str, Callable[[Any, str], object]] = {
    "wandb": lambda wandb, name: wandb.init(name=name, project=os.environ.get("WANDB_PROJECT", "tuneserve")),
    "swanlab": lambda swanlab, name: swanlab.init(
        experiment_name=name, project=os.environ.get("SWANLAB_PROJECT", "tuneserve"), **_swanlab_run()
    ),
    # Its callback starts the run; here its store is asked for once.
    "mlflow": lambda mlflow, name: mlflow.MlflowClient().search_experiments(max_results=1),
}

# The process ends without waiting for threads, and W&B has written nothing by then. TensorBoard and Trackio are
# closed by their callbacks.
_CLOSE: dict[str, Callable[[Any, bool], object]] = {
    "wandb": lambda wandb, failed: wandb.finish(exit_code=int(failed)),
    "swanlab": lambda swanlab, failed: swanlab.finish(state="crashed" if failed else "success"),
    "mlflow": lambda mlflow, failed: mlflow.end_run("FAILED" if failed else "FINISHED"),
}


@contextmanager
def tracked(names: Sequence[str], run: RunDir, name: str, *, resumed: bool) -> Iterator[None]:
    """Inside, the trackers are ready to take figures; after it they have written them out.

    Args:
        names: `train.report_to`.
        run: its `logs` are where they write, unless their own environment variables say otherwise.
        name: what the run is called there.
        resumed: the run goes on from a checkpoint, so the curve that is there is kept.

    Raises:
        TuneserveError: a tracker does not start.
    """
    for tracker in names:
        if tracker in FOLDERS:
            variable, folder = FOLDERS[tracker]
            os.environ.setdefault(variable, str(run.logs / folder))
    if not resumed:
        # TensorBoard would draw the old curve and the new one as one.
        shutil.rmtree(run.logs / FOLDERS["tensorboard"][1], ignore_errors=True)
    started: list[str] = []
    failed = True
    try:
        for tracker in names:
            if tracker in _START:
                _start(tracker, name)
            started.append(tracker)
        yield
        failed = False
    finally:
        for tracker in started:
            if tracker in _CLOSE:
                _close(tracker, failed)


def _start(tracker: str, name: str) -> None:
    try:
        _START[tracker](importlib.import_module(tracker), name)
    except Exception as error:
        raise TuneserveError(
            f"train.report_to: {tracker} did not start: {error}",
            "set MLFLOW_TRACKING_URI to a store that answers, or take mlflow out of train.report_to"
            if tracker == "mlflow"
            else f"`{tracker} login`, or set {tracker.upper()}_MODE=offline, or take {tracker} out of train.report_to",
        ) from error


def _close(tracker: str, failed: bool) -> None:
    try:
        _CLOSE[tracker](importlib.import_module(tracker), failed)
    except Exception as error:  # noqa: BLE001 - the model is trained; what a tracker's server does must not lose it
        warn(f"{tracker} was not closed in order, its last figures may be missing: {error}")


def _swanlab_run() -> dict[str, str]:
    """The SwanLab run to go on with, from the variables that transformers' callback reads."""
    variables = {"id": "SWANLAB_RUN_ID", "resume": "SWANLAB_RESUME"}
    return {key: os.environ[variable] for key, variable in variables.items() if variable in os.environ}
