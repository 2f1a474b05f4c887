"""The command `train`."""

import argparse
import json
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app import cleaning
from app.settings import ROOT, Options, read_environment
from app.status import status_of
from prompts.dialogue import exchange

if TYPE_CHECKING:
    from engine.training.command import Workshop
    from engine.training.recipe import Recipe
    from retrieval.protocol import Embedder

RECIPES = ROOT / "engine/training/recipes"
RECIPE = RECIPES / "retro-mini.json"
TOKENIZERS = {32_000: ROOT / "engine/weights/gopher-32k.model"}  # by their pieces
FILES = ("tokenizer", "pack", "examples")
TRAINED = ("pretrain", "retrofit", "tune")
WRITING = ("quantise", "export")
STAGES = (*FILES, "neighbours", *TRAINED, *WRITING, "all", "plot")
CHANGEABLE = ("steps", "rate", "warmup", "batch", "accumulate", "compute", "rematerialise")
NUMBERS = ("int8", "int4")
EVERY = 10.0  # seconds between two rows of metrics that `all` prints

GUIDE = """\
From a corpus to a model that chats. First the corpus, a folder of .jsonl or .jsonl.xz files:
  python app.py clean --corpus RAW --out corpus   drops poor, repeated and test-set text

Then the stages, in this order, each in one directory (--work):
  tokenizer    learns the pieces of words
  pack         turns the corpus into tokens
  examples     collects questions with their passages, for tune
  neighbours   finds the nearest passages for every chunk (where the recipe's retrofit has "found")
  pretrain     trains the base: it learns the language
  retrofit     adds the reading of passages; the base stays as it is
  tune         it learns to answer from passages
  quantise     writes weights for chat in 8 or 4 bits, in files of limited size
  export       writes them in bfloat16 instead, for servers and accelerators

Or all of them, and clean before them, in one command, which ends in time and goes on when it is
repeated (docs/training.md says what to expect of it):
  python app.py train all --corpus RAW --work DIR --out WEIGHTS --minutes 25

plot draws losses and speed so far. A stage that was stopped or killed goes on from its last
checkpoint when it is started again. To try the result: python app.py --weights WEIGHTS
"""


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    cleaning.add_command(commands)
    train = commands.add_parser(
        "train", help="train a model, stage by stage or all at once", description=GUIDE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    train.add_argument("stage", choices=STAGES, metavar="STAGE", help=", ".join(STAGES))
    train.add_argument(
        "--recipe", type=Path, default=RECIPE,
        help=f"JSON; default {RECIPE.name}, beside it in {RECIPES.relative_to(ROOT)} others",
    )  # fmt: skip
    train.add_argument(
        "--corpus", type=Path, default=Path("corpus"),
        help="folder of jsonl(.xz): cleaned files, for all the raw ones (default %(default)s)",
    )  # fmt: skip
    train.add_argument(
        "--work", type=Path, default=Path("training"), help="where stages write (%(default)s)"
    )
    train.add_argument("--vocab", type=int, help="for tokenizer: pieces, other than the recipe's")
    train.add_argument(
        "--minutes", "--time-limit", type=float, metavar="MINUTES",
        help="stop after this long with a checkpoint; goes on when repeated. all: the trained "
        "stages have as many steps as fit, at most the recipe's",
    )  # fmt: skip
    train.add_argument("--preset", help="the RETRO to train, other than the recipe's")
    train.add_argument("--base", help="its Gopher (default: the one of the same shape)")
    train.add_argument(
        "--mesh", metavar="data=D,model=M",
        help="how the devices divide the work: D parts of the batch, M of each layer "
        "(default: all divide the batch)",
    )  # fmt: skip
    train.add_argument(
        "--encoder", type=Path, metavar="DIR",
        help="for neighbours and all: a folder with a BERT in safetensors, other than the "
        "installed all-MiniLM-L6-v2",
    )  # fmt: skip
    stage = train.add_argument_group("of one trained stage, other than the recipe's")
    stage.add_argument("--steps", type=int)
    stage.add_argument("--rate", type=float, help="peak learning rate")
    stage.add_argument("--warmup", type=int, help="steps until the peak")
    stage.add_argument("--batch", type=int, help="sequences a step")
    stage.add_argument("--accumulate", type=int, help="parts that a batch is computed in")
    stage.add_argument("--compute", help="float32 or bfloat16; masters are float32 in both")
    stage.add_argument(
        "--rematerialise", action="store_const", const=True,
        help="compute activations again instead of keeping them: less memory, more time",
    )  # fmt: skip
    out = train.add_argument_group("of quantise, export and all")
    out.add_argument("--out", type=Path, help="the weights directory to write")
    out.add_argument(
        "--from", dest="source", default="tune", choices=TRAINED,
        help="quantise and export: the stage whose weights are written (default %(default)s)",
    )  # fmt: skip
    out.add_argument("--card", type=Path, help="JSON to keep in the model card")
    out.add_argument(
        "--numbers", choices=NUMBERS, default="int8", help="not export (default %(default)s)"
    )
    out.add_argument(
        "--pieces", type=float, default=15.0, metavar="MB",
        help="not export: weights larger than this are written in several files, none of them "
        "larger (default %(default)s)",
    )  # fmt: skip
    out.add_argument(
        "--test", type=Path, nargs="+", default=[], metavar="FILE",
        help="all: jsonl(.xz) that must not be trained on, as for clean",
    )  # fmt: skip
    train.set_defaults(run=run_train)


def main(words: list[str]) -> int:
    """`clean` and `train` by themselves, without what the page needs. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="app.py")
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    flags = parser.parse_args(words)
    return status_of(lambda: flags.run(read_environment(), flags), _expected)


def _expected() -> tuple[type[Exception], ...]:
    from engine.training.command import EXPECTED
    from retrieval.bert import EmbedderError

    return (*EXPECTED, EmbedderError)


def run_train(options: Options, flags: argparse.Namespace) -> int:
    if flags.stage == "plot":
        from engine.training.plot import plot_metrics

        print(f"wrote {plot_metrics(flags.work, TRAINED)}")
        return 0
    from engine.training.command import Workshop, describe, limit

    shop = Workshop(_recipe(flags), flags.corpus, flags.work, exchange, flags.mesh)
    if flags.stage in FILES:
        print(getattr(shop, flags.stage)())
    elif flags.stage == "neighbours":
        with closing(cleaning.Bar(" chunks")) as bar:
            print(shop.neighbours(_embedder(flags), bar))
    elif flags.stage in TRAINED:
        stage = getattr(shop, flags.stage)
        print(stage(limit(flags.minutes), lambda row: print(describe(row), flush=True)))
    elif flags.stage == "export":
        print(shop.export(flags.source, _out(flags), _card(flags)))
    elif flags.stage == "quantise":
        numbers, size = flags.numbers, _size(flags)
        print(shop.quantise(flags.source, _out(flags), _card(flags), numbers, size))
    else:
        _run_all(shop, flags)
    return 0


def _run_all(shop: "Workshop", flags: argparse.Namespace) -> None:
    from engine.training.command import limit
    from engine.training.origins import Sources
    from engine.training.whole import Machine, Output, Whole

    output = Output(_out(flags), flags.numbers, _size(flags), _card(flags))
    tokenizer = TOKENIZERS.get(shop.recipe.vocab)
    sources = Sources(flags.corpus, tuple(flags.test), tokenizer)
    with closing(cleaning.Bar("B")) as read, closing(cleaning.Bar(" chunks")) as done:
        machine = Machine(
            embedder=lambda: _embedder(flags),
            say=lambda line: print(line, flush=True),
            report=_Rows(),
            run=cleaning.runner_for(flags.corpus),
            bytes_done=read,
            chunks_done=done,
        )
        whole = Whole(shop, sources, output, machine)
        if whole(limit(flags.minutes)):
            print(f"Try it with: python app.py --weights {flags.out}")


class _Rows:
    """Prints a row of metrics every few seconds."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, row: dict[str, Any]) -> None:
        if time.monotonic() - self._last > EVERY:
            self._last = time.monotonic()
            print(json.dumps(row), flush=True)


def _embedder(flags: argparse.Namespace) -> "Embedder":
    from retrieval.embedder import BertEmbedder, default_embedder

    return BertEmbedder(flags.encoder) if flags.encoder else default_embedder()


def _out(flags: argparse.Namespace) -> Path:
    from engine.training.recipe import RecipeError

    if flags.out is None:
        raise RecipeError(f"{flags.stage} needs --out DIRECTORY")
    return flags.out


def _size(flags: argparse.Namespace) -> int:
    from engine.pieces import MB
    from engine.training.recipe import RecipeError

    if not flags.pieces > 0:
        raise RecipeError(f"--pieces is {flags.pieces}; give the size of a file in MB, over 0")
    return int(min(flags.pieces, 1e9) * MB)


def _card(flags: argparse.Namespace) -> dict[str, Any]:
    from engine.training.recipe import RecipeError

    try:
        card = json.loads(flags.card.read_text(encoding="utf-8")) if flags.card else {}
    except (OSError, ValueError) as error:
        raise RecipeError(f"cannot read the card {flags.card}: {error}") from None
    if not isinstance(card, dict):
        raise RecipeError(f"the card {flags.card} is no JSON object")
    return card


def _recipe(flags: argparse.Namespace) -> "Recipe":
    """The recipe with what the command line changes."""
    from engine.training.overrides import with_presets, with_stage
    from engine.training.recipe import RecipeError, read_recipe

    recipe = read_recipe(flags.recipe)
    if flags.preset is not None or flags.base is not None:
        recipe = with_presets(recipe, flags.preset or recipe.preset, flags.base)
    if flags.vocab is not None:
        recipe = replace(recipe, vocab=flags.vocab)
    given = {name: getattr(flags, name) for name in CHANGEABLE}
    changes = {name: value for name, value in given.items() if value is not None}
    if flags.stage in TRAINED:
        recipe = with_stage(recipe, flags.stage, changes)
    elif flags.stage == "all":
        if changes:
            raise RecipeError(
                f"--{next(iter(changes))} is of one stage; for all, give a --recipe that says it"
            )
        for name in TRAINED:  # checked before hours of work
            recipe = with_stage(recipe, name, {})
    return recipe
