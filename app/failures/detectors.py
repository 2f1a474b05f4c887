"""The detectors in use, and how they are run."""

import time
from collections.abc import Sequence

from app.failures.endings import EMPTY, TRUNCATED
from app.failures.protocol import Detector, NotApplicable
from app.failures.repetition import REPETITION
from app.records import DetectorRun, Turn

DETECTORS = (REPETITION, EMPTY, TRUNCATED)


def run_detectors(turn: Turn, detectors: Sequence[Detector] = DETECTORS) -> tuple[DetectorRun, ...]:
    """Runs every detector on a turn; never raises.

    There is a run for each detector, also where it found nothing, did not apply (`message` says
    why) or failed (`message` is the error), so that no row never passes for "clean".
    """
    return tuple(_run(detector, turn) for detector in detectors)


def _run(detector: Detector, turn: Turn) -> DetectorRun:
    started = time.perf_counter()
    findings, message = (), ""
    try:
        findings = tuple(detector.find(turn))
        status = "found" if findings else "ok"
    except NotApplicable as reason:
        status, message = "skipped", str(reason)
    except Exception as error:  # a broken detector must not cost the turn
        status, message = "error", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    return DetectorRun(detector.kind, detector.version, status, seconds, findings, message)
