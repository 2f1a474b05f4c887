"""The page's engine when it runs elsewhere: connected to with patience, and watched after."""

from typing import TYPE_CHECKING

from app.compose import Application, Status, load, take_card
from app.settings import Options
from engine.card import CheckpointError
from engine.messages import RemoteError, Unreachable
from engine.protocol import EngineBusy

if TYPE_CHECKING:
    from engine.remote import RemoteEngine

AGAIN_SECONDS = 2.0  # between two tries to connect
WATCH_SECONDS = 5.0  # between two looks whether the server is there
NEWS_LOOKS = 3  # how many looks long the page says that it is back


def attach(application: Application, options: Options) -> None:
    """Loads the application with the engine at `options.engine`, as soon as that can be reached,
    and watches the engine until the application is closed. For a thread of its own.

    Raises as `app.compose.load`, but Unreachable and EngineBusy.
    """
    from engine.remote import RemoteEngine

    while not application.closed.is_set():
        try:
            engine = load(application, options)
        except (Unreachable, EngineBusy) as problem:
            application.status = Status("loading", f"Connecting: {problem}; trying again")
            application.closed.wait(AGAIN_SECONDS)
            continue
        assert isinstance(engine, RemoteEngine)
        watch = Watch(application, engine)
        while not application.closed.wait(WATCH_SECONDS):
            watch.look()


class Watch:
    """Keeps the application's status true to whether its engine can be reached."""

    def __init__(self, application: Application, engine: "RemoteEngine"):
        self._app, self._engine = application, engine
        self._news, self._left = "", 0

    def look(self) -> None:
        """Asks the server once; a server that runs another model now brings another card."""
        lost = self._app.status.stage == "lost"
        try:
            if self._engine.refresh():
                take_card(self._app, self._engine.card)
                self._tell(f"{self._engine.url} runs another model now, {self._engine.info.preset}")
            elif lost:
                self._tell(f"Connected again to {self._engine.url}")
        except (RemoteError, EngineBusy, CheckpointError) as problem:
            self._app.status = Status("lost", str(problem))
            return
        self._left = max(0, self._left - 1)
        news = self._news if self._left else ""
        self._app.status = Status("ready", f"Ready: {self._engine.info.preset}", news=news)

    def _tell(self, news: str) -> None:
        self._news, self._left = news, NEWS_LOOKS + 1
