"""How a command ends: with an exit status and one line, not with a traceback."""

import os
import sys
from collections.abc import Callable


def status_of(run: Callable[[], int], expected: Callable[[], tuple[type[Exception], ...]]) -> int:
    """Runs a command; 2 where it raises one of the `expected` errors, which are looked up only
    then. 130 after Ctrl-C, 0 where whoever read the output has gone."""
    try:
        status = run()
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of our output, say head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        return 0
    except expected() as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
