"""Starting the page: lock, port, background loading, browser."""

import socket
from contextlib import closing

from app.compose import StartError, load, open_application
from app.settings import Options


def serve(options: Options, *, open_browser: bool) -> int:
    """Serves the page until interrupted. Raises StartError and LogError before it is up."""
    check_port(options.host, options.port)
    with closing(open_application(options)) as application:
        # what measuring needs is compiled when the page is ready, so that nobody waits for it
        application.load_in_background(lambda app: load(app, options).warm_up_scores())
        from app.ui.example import stored_example
        from app.ui.page import build, launch  # imports gradio, which takes seconds

        print(f"Retroscope is at http://{options.host}:{options.port}", flush=True)
        blocks = build(application, stored_example())
        launch(application, blocks, options.host, options.port, open_browser=open_browser)
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
