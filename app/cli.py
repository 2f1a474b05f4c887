"""The command line: chat (default), serve, ask, batch, replay, ingest, search, log, train, eval."""

import argparse
import json
import sys
from dataclasses import fields, replace
from functools import partial
from pathlib import Path

from app import dryrun
from app.ask import ask, replay
from app.batch import NothingToAsk, ask_all
from app.evaluation.command import with_what
from app.records import Settings
from app.settings import NUMBERS, VERSION, Options, read_environment
from app.status import status_of


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; returns the exit status. An expected problem is one line on stderr."""
    options = read_environment()
    parser = build_parser(options)
    words = sys.argv[1:] if arguments is None else arguments
    known = {
        "chat", "serve", "ask", "batch", "replay", "ingest", "search", "log", "clean", "train",
        "eval", "probe", "import-weights",
    }  # fmt: skip
    if not any(w in known or w in ("-h", "--help", "--version") for w in words):
        words = ["chat", *words]
    flags = parser.parse_args(with_what(words))
    names = {field.name for field in fields(Options)}
    given = {name: value for name, value in vars(flags).items() if name in names}

    def run() -> int:
        chosen = replace(options, **given)
        if chosen.engine:
            from engine.connection import warning_of

            if warning := warning_of(chosen.engine):
                print(warning, file=sys.stderr)
        return flags.run(chosen, flags)

    return status_of(run, expected_errors)


def expected_errors() -> tuple[type[Exception], ...]:
    """Errors that carry a message for the person at the keyboard, not a defect."""
    from app.compose import NotReady, StartError
    from app.evaluation.held import NothingToMeasure
    from app.exports.imports import BadImport
    from app.failures.labelled import BadCase
    from app.keys import BadKeys
    from app.logins import BadLogins
    from app.logs.output import CannotExport
    from app.probe.records import ProbeError
    from app.replay import NotReplayable
    from app.request import NoPassages
    from app.store.connection import LogError
    from app.store.filters import BadFilter
    from app.turn import BadMessage
    from engine.card import CheckpointError
    from engine.messages import BadAddress, RemoteError
    from engine.protocol import BadSampling, EngineBusy, PromptTooLong
    from prompts.templates import BadTemplate
    from retrieval.manifest import DatabaseError
    from retrieval.readers import NothingToRead

    found = [NotReady, StartError, LogError, BadMessage, BadSampling, PromptTooLong]
    found += [NothingToAsk, BadCase, BadLogins, BadTemplate, NoPassages, NotReplayable]
    found += [CheckpointError, DatabaseError, NothingToRead, NothingToMeasure, CannotExport]
    found += [BadFilter, BadImport, ProbeError, BadKeys, BadAddress, RemoteError, EngineBusy]
    if "engine.tokenizer" in sys.modules:
        from engine.tokenizer import TokenizerError

        found.append(TokenizerError)
    if "engine.sharded.programs" in sys.modules:
        from engine.presets import UnknownPreset
        from engine.sharded.topology import TopologyError
        from engine.sharding import MeshError

        found += [UnknownPreset, TopologyError, MeshError]
    if "retrieval.bert" in sys.modules:
        from retrieval.bert import EmbedderError

        found.append(EmbedderError)
    if "engine.training.corpus" in sys.modules:
        from engine.training.corpus import CorpusError

        found.append(CorpusError)
    if "engine.training.command" in sys.modules:
        from engine.training.command import EXPECTED

        found += EXPECTED
    return tuple(found)


def build_parser(options: Options) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="app.py", description="Chat with a retrieval-enhanced language model."
    )
    parser.add_argument("--version", action="version", version=f"Retroscope {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    data = argparse.ArgumentParser(add_help=False)
    data.add_argument(
        "--data", type=Path, default=options.data,
        help="directory of the log and the passages (RETROSCOPE_HOME, default %(default)s)",
    )  # fmt: skip
    model = argparse.ArgumentParser(add_help=False)
    model.add_argument(
        "--weights", type=Path, default=options.weights, help="weights directory of the model"
    )
    model.add_argument(
        "--numbers", choices=NUMBERS, default=options.numbers,
        help="what the model is computed in (default %(default)s; float32 is slow and exact)",
    )  # fmt: skip

    shared = argparse.ArgumentParser(add_help=False, parents=[data, model])
    shared.add_argument(
        "--slots", type=_positive, default=options.slots, metavar="N",
        help="replies written at the same time (default %(default)s)",
    )  # fmt: skip
    shared.add_argument(
        "--dense-only", action="store_true", help="retrieve by nearest keys alone, as the paper"
    )

    attached = argparse.ArgumentParser(add_help=False, parents=[shared])
    attached.add_argument(
        "--engine", default=options.engine, metavar="URL",
        help="use the model of an engine server, such as http://host:8000; passages stay here",
    )  # fmt: skip
    attached.add_argument(
        "--api-key", dest="key", default=options.key, metavar="KEY",
        help="the key for --engine (RETROSCOPE_API_KEY, where no list of processes shows it)",
    )  # fmt: skip

    chat = commands.add_parser("chat", parents=[attached], help="the page in a browser (default)")
    chat.add_argument("--host", default=options.host, help="address to listen on")
    chat.add_argument("--port", type=int, default=options.port)
    chat.add_argument(
        "--logins", type=Path, default=options.logins, metavar="FILE",
        help="ask for a login: lines of NAME:PASSWORD (RETROSCOPE_LOGINS, default: no login)",
    )  # fmt: skip
    chat.add_argument("--no-browser", action="store_true", help="do not open a browser")
    chat.set_defaults(run=run_chat)

    serving = commands.add_parser(
        "serve", parents=[shared], help="the engine alone, over HTTP as OpenAI's (docs/serving.md)"
    )
    serving.add_argument("--host", default=options.host, help="address to listen on")
    serving.add_argument("--port", type=int, default=8000)
    serving.add_argument(
        "--keys", type=Path, default=options.keys, metavar="FILE",
        help="API keys, one a line (RETROSCOPE_API_KEYS; a key itself: RETROSCOPE_API_KEY)",
    )  # fmt: skip
    serving.add_argument(
        "--no-passages", action="store_true", help="open no passages; pages bring their own"
    )
    serving.add_argument(
        "--search-completions", action="store_true",
        help="show passages to /v1/completions too where a request does not say",
    )  # fmt: skip
    dryrun.add_flags(serving)
    serving.set_defaults(run=run_serve)

    writing = argparse.ArgumentParser(add_help=False)
    writing.add_argument("--seed", type=int, default=0, help="seed of the sampling (default 0)")
    writing.add_argument("--no-retrieval", action="store_true", help="show the model no passages")
    writing.add_argument("--max-tokens", type=int, help="the most tokens to write")

    one = commands.add_parser(
        "ask", parents=[attached, writing], help="ask one question and print the reply"
    )
    one.add_argument("message")
    one.add_argument("--json", action="store_true", help="print reply, chunks and findings as JSON")
    one.set_defaults(run=run_ask)

    many = commands.add_parser(
        "batch", parents=[attached, writing], help="ask all questions of a file, each once"
    )
    many.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a question a line")
    many.add_argument(
        "--effects", action="store_true", help="measure what the passages changed, too"
    )
    many.set_defaults(run=run_batch)

    again = commands.add_parser(
        "replay", parents=[attached], help="write a logged reply again and compare"
    )
    again.add_argument("turn", metavar="TURN", help="id of the turn, as `ask --json` prints it")
    again.add_argument("--json", action="store_true", help="print what was compared as JSON")
    again.set_defaults(run=run_replay)

    add = commands.add_parser("ingest", parents=[attached], help="add documents to the passages")
    add.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="text files and folders")
    add.add_argument("--rebuild", action="store_true", help="make all keys and chunks anew")
    add.set_defaults(run=run_ingest)

    search = commands.add_parser("search", parents=[attached], help="search the passages")
    search.add_argument("text")
    search.add_argument("-k", type=int, default=5, help="how many passages (default 5)")
    search.add_argument("--json", action="store_true")
    search.set_defaults(run=run_search)

    from app import log, training, weights
    from app.evaluation import command as evaluating
    from app.probe import command as probing

    log.add_commands(commands, options.data)
    training.add_commands(commands)
    weights.add_command(commands)
    evaluating.add_command(commands, attached, data, model)
    probing.add_command(commands, attached)
    return parser


def run_chat(options: Options, flags: argparse.Namespace) -> int:
    from app.serving import serve

    return serve(options, open_browser=not flags.no_browser)


def run_serve(options: Options, flags: argparse.Namespace) -> int:
    if flags.dry_run or flags.table:
        return dryrun.dry_run(options, flags)
    from app.serving import serve_engine

    return serve_engine(
        options, passages=not flags.no_passages, search_completions=flags.search_completions,
        spread=dryrun.spread_of(options, flags),
    )  # fmt: skip


def run_ask(options: Options, flags: argparse.Namespace) -> int:
    return ask(options, flags.message, partial(_as_asked, flags), as_json=flags.json)


def run_batch(options: Options, flags: argparse.Namespace) -> int:
    change = partial(_as_asked, flags)
    return ask_all(options, flags.files, change, effects=flags.effects)


def _positive(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return number


def _as_asked(flags: argparse.Namespace, settings: Settings) -> Settings:
    sampling = replace(settings.sampling, seed=flags.seed)
    if flags.max_tokens is not None:
        sampling = replace(sampling, max_tokens=flags.max_tokens)
    return replace(settings, sampling=sampling, retrieve=not flags.no_retrieval)


def run_replay(options: Options, flags: argparse.Namespace) -> int:
    return replay(options, flags.turn, as_json=flags.json)


def run_ingest(options: Options, flags: argparse.Namespace) -> int:
    from app.library import ingest_paths

    return ingest_paths(options, flags.paths, rebuild=flags.rebuild)


def run_search(options: Options, flags: argparse.Namespace) -> int:
    from app.library import open_passages

    found = open_passages(options).retrieve(flags.text, flags.k)
    if flags.json:
        shown = ("title", "source", "start", "end", "text", "continuation", "distance", "overlap")
        rows = [{name: getattr(n, name) for name in shown} for n in found]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    for rank, n in enumerate(() if flags.json else found, 1):
        distance = "" if n.distance is None else f", distance {n.distance:.3f}"
        print(f"{rank}. {n.title} [{n.start}-{n.end}]{distance}, overlap {n.overlap:.2f}")
        print(f"   {' '.join(n.text.split())}\n")
    if not found and not flags.json:
        print("no passage found; add documents with: python app.py ingest PATH...")
    return 0
