"""RemoteEngine: an engine that a server elsewhere runs, see `engine.server.passthrough`.

Passages are searched here: the server asks for them in the stream of a reply. Each request makes
a connection if there is none, so a server that was restarted is simply used again.
"""

import hashlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

from engine import wire
from engine.connection import Connection
from engine.messages import PROTOCOL, About, Found, Reading, Search, Wish, WrongServer
from engine.protocol import ChunkScores, Event, Info, Request, Scoring
from engine.tokenizer import Tokenizer, TokenizerError
from retrieval.protocol import Retrieve

MOST_FOUND = 64  # passages that a server may ask for at once

Finder = Retrieve | Literal["server"] | None


class RemoteEngine:
    """Writes replies with the model of a server. For any thread.

    `retrieve` finds neighbours here; "server" has the server search its own passages, None finds
    none. Connects at once. Raises BadAddress and RemoteError; each call may raise RemoteError, and
    EngineBusy where the server has too much to do.
    """

    def __init__(self, url: str, key: str = "", retrieve: Finder = None):
        self._retrieve = retrieve
        self._connection = Connection(url, key)
        self._search = ThreadPoolExecutor(4, thread_name_prefix="search")
        try:
            self._about = self._ask_about()
            self.tokenizer = self._fetch_tokenizer()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return self._connection.url

    @property
    def info(self) -> Info:
        return self._about.info

    @property
    def card(self) -> dict[str, Any]:
        """The model card that the server has, {} if it has none."""
        return dict(self._about.card)

    @property
    def device(self) -> str:
        """Where it computes, and in what numbers."""
        return f"{self._about.device}, at {self.url}" if self._about.device else self.url

    def use(self, retrieve: Finder) -> None:
        """Sets what finds neighbours."""
        self._retrieve = retrieve

    def refresh(self) -> bool:
        """Looks whether the server is there; whether another model answers than before."""
        before, about = self._about, self._ask_about()
        if about.info.tokenizer != before.info.tokenizer:
            raise WrongServer(
                f"the server at {self.url} now has {about.info.preset} with another tokenizer "
                f"({about.info.tokenizer[:12]}) than before ({before.info.tokenizer[:12]}); start "
                "this program again"
            )
        self._about = about
        return about.info != before.info

    def count(self, text: str) -> int:
        return len(self.tokenizer.encode(text))

    def warm_up(self) -> None:
        """Nothing: the server has compiled."""

    def warm_up_scores(self) -> None:
        """Nothing: the server has compiled."""

    def generate(self, request: Request) -> Iterator[Event]:
        """Streams a reply; see `engine.protocol.Engine`.

        Raises Broken where the connection breaks in the middle.
        """
        retrieve = self._retrieve
        how: Literal["client", "server", "none"] = "none" if retrieve is None else "client"
        if retrieve == "server":
            how = "server"
        wish = Wish(request, how, self.info.fingerprint)
        with closing(self._connection.stream("/retro/generate", wish, _message)) as messages:
            for message in messages:
                if not isinstance(message, Search):
                    yield message
                elif callable(retrieve):
                    self._search.submit(self._answer, message, retrieve)

    def score(self, scoring: Scoring) -> tuple[ChunkScores, ...]:
        """Scores a finished reply; see `engine.protocol.Engine`."""
        reading = Reading(scoring, self.info.fingerprint)
        with closing(self._connection.stream("/retro/score", reading, _scores)) as scores:
            return tuple(scores)

    def close(self) -> None:
        """Lets go of the connections."""
        self._search.shutdown(wait=False, cancel_futures=True)
        self._connection.close()

    def _ask_about(self) -> About:
        answer = self._connection.fetch("/retro/info")
        try:
            value = wire.loads(answer)
            version = value.get("protocol") if isinstance(value, dict) else None
            if isinstance(version, int) and version != PROTOCOL:
                raise WrongServer(
                    f"the server at {self.url} speaks version {version} of the protocol, this "
                    f"program {PROTOCOL}; install the same version of Retroscope on both"
                )
            return wire.read(About, value)
        except wire.WireError as error:
            raise self._connection.foreign(str(error)) from None

    def _fetch_tokenizer(self) -> Tokenizer:
        data, wanted = self._connection.fetch("/retro/tokenizer"), self.info.tokenizer
        found = hashlib.sha256(data).hexdigest()
        if found != wanted:
            raise WrongServer(
                f"the tokenizer from {self.url} arrived as {found[:12]}, but the server says that "
                f"it is {wanted[:12]}; try again"
            )
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "tokenizer.model"
            path.write_bytes(data)
            try:
                return Tokenizer(path)
            except TokenizerError as error:
                raise self._connection.foreign(str(error)) from None

    def _answer(self, search: Search, retrieve: Retrieve) -> None:
        """Searches, and sends what was found, or why nothing was."""
        try:
            found = Found(tuple(retrieve(search.query, min(search.k, MOST_FOUND))))
        except Exception as error:
            found = Found(error=str(error) or type(error).__name__)
        self._connection.send(f"/retro/found/{search.ticket}", found)


def _message(name: str, value: Any) -> Event | Search:
    return wire.read(Search, value) if name == "search" else wire.read_event(name, value)


def _scores(name: str, value: Any) -> ChunkScores:
    return wire.read(ChunkScores, value)
