"""Starting the page, and the engine server: port, background loading, browser, stopping."""

import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

from app.attached import attach
from app.compose import (
    Application,
    StartError,
    data_directory,
    defaults_of,
    load,
    open_application,
    prepare_jax,
)
from app.keys import read_keys
from app.logins import read_logins
from app.settings import Options
from engine.card import read_card

if TYPE_CHECKING:  # what needs them imports them when it starts
    from engine.server.service import Service
    from engine.sharded.engine import Spread

DRAIN = 30.0  # seconds that replies under way have to come to their end

_OPEN = """\
warning: other machines can reach {host}, and whoever opens the page can read and delete everything
in the log; ask for a login with --logins FILE"""


def serve(options: Options, *, open_browser: bool) -> int:
    """Serves the page until interrupted. Before it is up raises StartError, BadLogins, LogError."""
    logins = read_logins(options.logins) if options.logins else None
    check_port(options.host, options.port)
    with closing(open_application(options)) as application:
        application.load_in_background(lambda app: _prepare(app, options))
        from app.ui.example import stored_example
        from app.ui.page import build, launch  # imports gradio, which takes seconds

        if logins is None and not _this_machine(options.host):
            print(_OPEN.format(host=options.host), file=sys.stderr)
        print(f"Retroscope is at http://{options.host}:{options.port}", flush=True)
        blocks = build(application, stored_example())
        launch(
            application,
            blocks,
            options.host,
            options.port,
            logins=logins,
            open_browser=open_browser,
        )
    return 0


def serve_engine(
    options: Options, *, passages: bool, search_completions: bool, spread: "Spread | None" = None
) -> int:
    """Serves the engine alone until interrupted or told to end (SIGTERM).

    Raises StartError and BadKeys before it listens; and after it, what keeps the engine from
    loading.
    """
    from engine.server.application import Server
    from engine.server.keys import Keys
    from engine.server.listening import Listening
    from engine.server.service import Limits

    keys = read_keys(options.keys, options.key)
    if not keys and not _this_machine(options.host):
        raise StartError(
            f"other machines can reach {options.host}, and there are no API keys; give some with "
            "--keys FILE, or listen on 127.0.0.1"
        )
    check_port(options.host, options.port)
    with data_directory(options.data):
        prepare_jax(options)
    server = Server(Keys.of(keys), Limits())
    listening = Listening(server, options.host, options.port, drain=DRAIN)
    problems: list[Exception] = []

    def begin() -> None:
        try:
            server.open(load_service(options, passages, search_completions, server.say, spread))
            print("the engine is ready", flush=True)
        except Exception as problem:
            problems.append(problem)
            listening.stop()

    threading.Thread(target=begin, name="load", daemon=True).start()
    print(f"the engine server is at http://{options.host}:{options.port}", flush=True)
    listening.run()
    if problems:
        raise problems[0]
    return 0


def load_service(
    options: Options, passages: bool, search_completions: bool, say: Callable[[str], None],
    spread: "Spread | None" = None,
) -> "Service":  # fmt: skip
    """Loads the model and, if wanted, the passages; `say` is told what is being done. `spread` is
    how the model lies over several devices.

    Raises CheckpointError, TokenizerError, EmbedderError and DatabaseError.
    """
    say("loading the model")
    from app.passages import Passages
    from app.prompt import whole_sentences
    from app.rendering import rendered
    from engine.local import LocalEngine
    from engine.server.service import Service
    from prompts.dialogue import template_of
    from retrieval.embedder import default_embedder

    if spread is None:
        engine = LocalEngine.load(options.weights, options.numbers, options.slots)
    else:
        from engine.sharded.engine import open_engine

        engine = open_engine(options.weights, spread)
    card = read_card(options.weights)
    retrieve = None
    if passages:
        say("opening the passages")
        opened = Passages.prepare(
            options, default_embedder(), engine.tokenizer,
            lambda done, total: say(f"reading the library into passages, {done} of {total}"),
        )  # fmt: skip
        retrieve = opened.retrieve
        retrieve("warm up", 1)
        engine.use(retrieve)
    say("compiling the model")
    engine.warm_up()
    engine.warm_up_scores()
    settings = defaults_of(card)
    return Service(
        engine, partial(rendered, template=template_of(settings.template)), retrieve,
        whole_sentences, settings.sampling, settings.k, settings.follow, settings.in_context,
        settings.retrieve, search_completions, card, int(time.time()),
    )  # fmt: skip


def _prepare(application: Application, options: Options) -> None:
    if options.engine:
        attach(application, options)
    else:  # what measuring needs is compiled when the page is ready, so that nobody waits for it
        load(application, options).warm_up_scores()


def check_port(host: str, port: int) -> None:
    """Raises StartError where nothing can listen at host and port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise StartError(
                f"cannot listen on {host}:{port}: {reason}; is another Retroscope running? "
                "Stop it, or choose another port with --port"
            ) from None


def _this_machine(host: str) -> bool:
    """Whether only this machine can reach a page that listens on `host`."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ipaddress.ip_address(place[4][0]).is_loopback for place in found)
