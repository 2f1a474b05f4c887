"""A run of the probe in the background: one at a time, of the process and not of a page."""

import logging
import threading
from dataclasses import dataclass, replace
from typing import Any, Literal

from app.compose import Application, NotReady
from app.probe.records import Cancelled, Plan, ProbeError
from app.probe.running import Place, checked, config_of, parts_of, run
from app.probe.scoring import Instruments, instruments_of
from app.store.connection import LogError
from app.store.probes import Probes
from engine.protocol import PromptTooLong
from retrieval.manifest import DatabaseError

Stage = Literal["running", "done", "cancelled", "failed"]
EXPECTED = (ProbeError, LogError, DatabaseError, PromptTooLong, NotReady)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """How the job gets on. `run` is the id of a finished run, `message` says why it failed."""

    stage: Stage
    plan: Plan
    place: Place | None = None
    stopping: bool = False
    run: str = ""
    message: str = ""


class Job:
    """The one job. Any thread may call it."""

    def __init__(self, app: Application):
        self._app = app
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._state: State | None = None

    @property
    def state(self) -> State | None:
        """The job under way or the last one; None before the first."""
        with self._lock:
            return self._state

    def start(self, plan: Plan) -> None:
        """Begins in a thread of its own. Raises ProbeError and NotReady."""
        plan = checked(plan)
        on = instruments_of(self._app)
        if on.retrieve is None and set(plan.modes) != {"off"}:
            raise ProbeError(
                "the model was started without passages, so there are none to show; choose the "
                "mode without passages alone"
            )
        with self._lock:
            if self._state is not None and self._state.stage == "running":
                raise ProbeError("a probe is running; wait until it has finished, or cancel it")
            self._stop.clear()
            self._state = State("running", plan)
        threading.Thread(target=self._run, args=(plan, on), name="probe", daemon=True).start()

    def cancel(self) -> None:
        """Stops the job under way after the item that it is at; else does nothing."""
        with self._lock:
            if self._state is not None and self._state.stage == "running":
                self._stop.set()
                self._state = replace(self._state, stopping=True)

    def _run(self, plan: Plan, on: Instruments) -> None:
        try:
            id = run(
                on, Probes(self._app.log), parts_of(plan), config_of(plan), plan.seed,
                lambda place: self._say(place=place), self._stop.is_set,
            )  # fmt: skip
        except Cancelled:
            self._say(stage="cancelled", stopping=False)
        except EXPECTED as problem:
            self._say(stage="failed", stopping=False, message=str(problem))
        except Exception as defect:
            _logger.exception("a probe could not be run")
            message = f"{type(defect).__name__}: {defect}"
            self._say(stage="failed", stopping=False, message=message)
        else:
            self._say(stage="done", stopping=False, run=id)

    def _say(self, **changes: Any) -> None:
        with self._lock:
            assert self._state is not None
            self._state = replace(self._state, **changes)
