"""Starting the page: lock, port, background loading, browser."""

import ipaddress
import socket
import sys
from contextlib import closing

from app.compose import StartError, load, open_application
from app.logins import read_logins
from app.settings import Options

_OPEN = """\
warning: other machines can reach {host}, and whoever opens the page can read and delete everything
in the log; ask for a login with --logins FILE"""


def serve(options: Options, *, open_browser: bool) -> int:
    """Serves the page until interrupted. Before it is up raises StartError, BadLogins, LogError."""
    logins = read_logins(options.logins) if options.logins else None
    check_port(options.host, options.port)
    with closing(open_application(options)) as application:
        # what measuring needs is compiled when the page is ready, so that nobody waits for it
        application.load_in_background(lambda app: load(app, options).warm_up_scores())
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
