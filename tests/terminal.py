"""The command line in this process: with a tiny model, a bag of words and a library of six."""

from dataclasses import dataclass, replace

import pytest

from app.cli import main
from app.settings import Options
from engine.local import LocalEngine
from tests.bag import BagEmbedder

ARTICLES = {
    "Harbour": "The harbour was dug in 1411 by the people of the town. A wall of grey stone keeps "
    "the winter storms outside. Fishing boats land there every morning.\n\nTwo lamps mark the "
    "entrance at night, a red one and a green one.",
    "Heron": "A heron waits in the reeds until a fish swims near, then it strikes. It nests in "
    "tall trees beside the river, and returns to the same nest each spring.",
    "Bread": "Bread rises because yeast eats the sugar in the dough and breathes out a gas. The "
    "gas is caught in the dough, which grows until the heat of the oven sets it.",
    "Glacier": "A glacier is a river of ice that moves a few metres in a year. It grinds the rock "
    "beneath it to a fine dust, which colours the lakes below it green.",
    "Clock": "A pendulum clock loses a few seconds in summer, since a warm pendulum is longer and "
    "swings slower. The first was built by Christiaan Huygens in 1656.",
    "Tide": "The tide rises and falls twice in a day, because the moon pulls on the sea. At full "
    "moon the water reaches the second step of the stone stairs.",
}


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """The message of a command that was refused, which is one line and nothing else."""
        assert self.status == 2
        assert self.out == ""
        (line,) = self.err.splitlines()
        assert line.startswith("error: ")
        return line


class Terminal:
    """`terminal("ask", "Why?")` is `python app.py ask Why?`. `options` may be replaced.

    The model is compiled once for all tests, and jax keeps the compilation cache of the tests.
    """

    def __init__(
        self,
        options: Options,
        engine: LocalEngine,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ):
        self.options, self._capsys = options, capsys
        load, own = LocalEngine.load, options.weights
        monkeypatch.setattr(
            LocalEngine, "load", lambda path, *how: engine if path == own else load(path, *how)
        )
        monkeypatch.setattr("app.cli.read_environment", lambda: self.options)
        monkeypatch.setattr("app.library.default_embedder", BagEmbedder)
        monkeypatch.setattr("retrieval.embedder.default_embedder", BagEmbedder)
        for module in ("app.compose", "app.library"):
            monkeypatch.setattr(f"{module}.prepare_jax", lambda options: None)

    def __call__(self, *words: object) -> Ran:
        try:
            status = main([str(word) for word in words])
        except SystemExit as ended:  # argparse, about the words themselves
            status = int(ended.code or 0)
        printed = self._capsys.readouterr()
        return Ran(status, printed.out, printed.err)

    def change(self, **fields) -> None:
        self.options = replace(self.options, **fields)
