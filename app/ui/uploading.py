"""The job that makes documents of uploaded files, as the corpus page sees and drives it."""

import contextlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.compose import Application
from app.jobs import State
from app.ui.catalogue import Answer
from app.uploads import LARGEST, MOST, TOTAL, Refused, Upload
from retrieval.readers import SUFFIXES

SKIPPED = 100  # that are sent to the page
LIMITS = {"suffixes": SUFFIXES, "file": LARGEST, "files": MOST, "total": TOTAL}


class Uploading:
    """Every method answers with the job as it is then, and with {"problem": why} where something
    was not done."""

    def __init__(self, app: Application, arrivals: Callable[[], Path]):
        """`arrivals` says where the server puts what browsers send."""
        self._app, self._arrivals = app, arrivals

    def look(self) -> Answer:
        """{"job": the job or None}"""
        return {"job": described(self._app.jobs.state)}

    def add(self, wanted: Any) -> Answer:
        """{"files": [{"path": as uploaded, "name": on the person's machine}]}"""
        files = wanted.get("files") if isinstance(wanted, dict) else None
        files = files if isinstance(files, list) else [None]
        uploads = [upload for file in files if (upload := self._upload(file))]
        if len(uploads) < len(files):
            return self._refuse(Refused("the files have not arrived; choose them again"), uploads)
        try:
            self._app.jobs.start(uploads)
        except Refused as problem:
            return self._refuse(problem, uploads)
        return self.look()

    def drive(self, action: Any) -> Answer:
        """cancel, resume, discard or dismiss"""
        jobs = self._app.jobs
        actions = {
            "cancel": jobs.cancel, "resume": jobs.resume, "discard": jobs.discard,
            "dismiss": jobs.dismiss,
        }  # fmt: skip
        try:
            if isinstance(action, str) and action in actions:
                actions[action]()
        except Refused as problem:
            return self._refuse(problem)
        return self.look()

    def _upload(self, file: Any) -> Upload | None:
        """Only a file that this server has just been sent."""
        if not isinstance(file, dict) or not all(
            isinstance(file.get(key), str) for key in ("path", "name")
        ):
            return None
        with contextlib.suppress(OSError, ValueError):  # as for a NUL in the path
            path = Path(file["path"]).resolve()
            if path.is_relative_to(self._arrivals().resolve()) and path.is_file():
                return Upload(path, file["name"])
        return None

    def _refuse(self, problem: Refused, uploads: list[Upload] | tuple[()] = ()) -> Answer:
        """Files that were not taken do not stay behind."""
        for upload in uploads:
            with contextlib.suppress(OSError):
                upload.path.unlink()
                upload.path.parent.rmdir()
        text = str(problem)
        return {**self.look(), "problem": f"{text[:1].upper()}{text[1:]}."}


def described(state: State | None) -> Answer | None:
    if state is None:
        return None
    report = state.report
    return {
        "stage": state.stage,
        "running": state.running,
        "resumable": state.resumable,
        "stopping": state.stopping,
        "files": len(state.names),
        "names": state.names[:3],
        "read": state.read,
        "done": state.done,
        "passages": state.chunks,
        "rate": state.rate,
        "left": state.left,
        "message": state.message,
        "skipped": [asdict(skipped) for skipped in state.skipped[:SKIPPED]],
        "unread": len(state.skipped),
        "report": None if report is None else {
            "added": report.added, "replaced": report.replaced, "unchanged": report.unchanged,
            "passages": report.chunks, "seconds": report.seconds,
        },
    }  # fmt: skip
