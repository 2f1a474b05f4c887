"""Chooses the command line: a machine that only trains has none of what the page needs."""

import sys


def main() -> int:
    """Runs what the process was started with; returns the exit status."""
    words = sys.argv[1:]
    if words[:1] and words[0] in ("clean", "train"):
        from app.training import main as train

        return train(words)
    from app.cli import main as run

    return run(words)
