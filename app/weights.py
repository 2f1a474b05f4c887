"""The command `import-weights`: makes a weights directory of files that others made."""

import argparse
from pathlib import Path

from app.settings import Options


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser(
        "import-weights", help="make a weights directory of plain safetensors (docs/tpu.md)"
    )
    parser.add_argument("folder", type=Path, help="holds config.json and *.safetensors")
    parser.add_argument("--tokenizer", type=Path, required=True, help="a SentencePiece model")
    parser.add_argument("--out", type=Path, required=True, help="the new weights directory")
    parser.add_argument("--note", default="", help="what the model is, for its card")
    parser.set_defaults(run=run)


def run(options: Options, flags: argparse.Namespace) -> int:
    """Raises CheckpointError and TokenizerError."""
    from engine.importing import import_weights

    p = import_weights(flags.folder, flags.out, flags.tokenizer, {"note": flags.note})
    print(f"{flags.out} holds a {p.name}; try it with: python app.py --weights {flags.out}")
    return 0
