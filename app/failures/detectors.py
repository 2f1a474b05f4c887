"""The detectors in use, and how they are run."""

import time
from collections.abc import Sequence

from app.failures.copies import COPY, DATABASE_COPY, Lookup, copy_from_database
from app.failures.endings import EMPTY, TRUNCATED
from app.failures.groups import GROUPS
from app.failures.injection import INJECTION
from app.failures.language import LANGUAGE
from app.failures.persona import PERSONA
from app.failures.personal import PERSONAL
from app.failures.protocol import Detector, NotApplicable
from app.failures.quality import graded
from app.failures.refusal import REFUSAL
from app.failures.repetition import REPETITION
from app.failures.support import SUPPORT
from app.failures.unsupported import UNSUPPORTED
from app.records import DetectorRun, Turn

DETECTORS = (
    REPETITION, EMPTY, TRUNCATED, UNSUPPORTED, SUPPORT, COPY, DATABASE_COPY, PERSONAL, INJECTION,
    LANGUAGE, REFUSAL, PERSONA, GROUPS,
)  # fmt: skip


def run_detectors(
    turn: Turn, detectors: Sequence[Detector] = DETECTORS, *, lookup: Lookup | None = None
) -> tuple[DetectorRun, ...]:
    """Runs every detector on a turn; never raises.

    There is a run for each detector, also where it found nothing, did not apply (`message` says
    why) or failed (`message` is the error), so that no row never passes for "clean". `lookup`
    finds passages of the database by a text, for the detectors that look there. No finding is
    shown as more severe than `quality` bears out.
    """
    in_database = copy_from_database(lookup)
    return tuple(_run(in_database if d is DATABASE_COPY else d, turn) for d in detectors)


def _run(detector: Detector, turn: Turn) -> DetectorRun:
    started = time.perf_counter()
    findings, message = (), ""
    try:
        findings = tuple(graded(finding) for finding in detector.find(turn))
        status = "found" if findings else "ok"
    except NotApplicable as reason:
        status, message = "skipped", str(reason)
    except Exception as error:  # a broken detector must not cost the turn
        status, message = "error", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - started
    return DetectorRun(detector.kind, detector.version, status, seconds, findings, message)
