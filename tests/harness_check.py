"""Runs lm-evaluation-harness against the engine server and compares every value with the engine's.

The harness is large, so it is no dependency of this project; install it apart and say where it is:

    python3.11 -m venv /tmp/harness && /tmp/harness/bin/pip install 'lm_eval[api]==0.4.13'
    .venv/bin/python -m tests.harness_check /tmp/harness/bin/lm_eval

Three local tasks are run (multiple choice, rolling perplexity, generation) as lists of token ids,
as texts, and in batches with several requests at once. Log-probabilities must be the engine's own
exactly, and so must be whether a continuation is the likeliest: where a server ignores `echo` the
harness ends with exit status 0 too, and with wrong values.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from app.rendering import rendered
from app.settings import ROOT
from engine.protocol import Reply, Request, Sampling, Scoring, Segment
from engine.server.application import build
from engine.server.keys import Keys
from engine.server.service import Service
from engine.tokenizer import EOS
from prompts.dialogue import DEFAULT
from tests.answering import listening
from tests.terminal import ARTICLES

KEY = "key-of-the-harness-check"
WRITTEN = 12  # tokens of a generated answer
TASKS: dict[str, dict[str, Any]] = {
    "retro_choice": {
        "output_type": "multiple_choice", "doc_to_text": "{{question}}",
        "doc_to_choice": "{{choices}}", "doc_to_target": "{{answer}}", "target_delimiter": "",
        "metric_list": [{"metric": "acc"}],
    },
    "retro_rolling": {
        "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
        "metric_list": [{"metric": "bits_per_byte"}],
    },
    "retro_generate": {
        "output_type": "generate_until", "doc_to_text": "{{question}}", "doc_to_target": "x",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": WRITTEN, "temperature": 0},
        "metric_list": [{"metric": "exact_match"}],
    },
}  # fmt: skip
WAYS = {
    "token ids": "tokenized_requests=True",
    "texts": "tokenized_requests=False",
    "batches of 4, 3 at once": "tokenized_requests=True,num_concurrent=3",
}


class Own:
    """The engine's own values."""

    def __init__(self, engine: Any, chunk: int):
        self._engine, self._chunk = engine, chunk
        self._encode = engine.tokenizer.encode

    def scores(self, tokens: Sequence[int]) -> list[tuple[float, bool]]:
        """Of all tokens but the first: the log-probability, and whether none is likelier."""
        prompt, rest = (Segment("", True, (tokens[0],)),), tuple(tokens[1:])
        shown = ((),) * -(-len(rest) // self._chunk)
        chunks = self._engine.score(Scoring(prompt, rest, shown, alternatives=True))
        logprobs = [p for chunk in chunks for p in chunk.shown.logprobs]
        likeliest = [top[0][0] for chunk in chunks for top in chunk.top]
        return [(p, i == best) for p, i, best in zip(logprobs, rest, likeliest, strict=True)]

    def choice(self, context: str, continuation: str) -> tuple[float, bool]:
        """As the harness splits them into tokens: together, and cut after those of the context."""
        spaces = len(context) - len(context.rstrip())
        if spaces:
            context, continuation = context[:-spaces], context[-spaces:] + continuation
        whole, cut = self._encode(context + continuation), len(self._encode(context))
        scores = self.scores(whole)[cut - 1 :]
        return sum(p for p, _ in scores), all(greedy for _, greedy in scores)

    def rolling(self, text: str) -> float:
        return sum(p for p, _ in self.scores([EOS, *self._encode(text)]))

    def written(self, context: str) -> str:
        prompt = (Segment("", True, tuple(self._encode(context))),)
        request = Request(prompt, "", Sampling(0, max_tokens=WRITTEN), ("\n",), retrieve=False)
        reply = Reply.of(self._engine.generate(request))
        raw = self._engine.tokenizer.decode_bytes([reply.tokens[0].id]) if reply.tokens else b""
        return (" " if raw.startswith(b" ") else "") + reply.text


def documents() -> Iterator[dict[str, Any]]:
    texts = list(ARTICLES.values())
    for i, text in enumerate(texts):
        half = text.index(" ", len(text) // 3)
        others = [t[half : half + 40] for t in (texts[i - 1], texts[i - 2])]
        choices = [text[half : half + 40], *others]
        yield {"question": text[:half], "choices": choices, "answer": 0, "text": text}


def write_tasks(directory: Path) -> None:
    data = directory / "documents.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in documents()))
    for name, task in TASKS.items():
        files = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(data)}}}
        whole = {"task": name, "test_split": "test", **files, **task}
        (directory / f"{name}.yaml").write_text(json.dumps(whole))  # JSON is YAML too


def run_harness(lm_eval: Path, url: str, directory: Path, way: str, batch: int) -> None:
    """Raises CalledProcessError."""
    model = (
        f"model=served,base_url={url}/v1/completions,tokenizer_backend=remote,auth_token={KEY},"
        f"max_length=256,max_retries=1,{way}"
    ).replace("model=served", f"model={served_name(url)}")
    command = [
        str(lm_eval), "--model", "local-completions", "--model_args", model, "--tasks",
        ",".join(TASKS), "--include_path", str(directory), "--log_samples", "--output_path",
        str(directory / "out"), "--batch_size", str(batch),
    ]  # fmt: skip
    apart = {"OPENAI_API_KEY": KEY, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1",
             "HF_HOME": str(directory / "cache")}  # fmt: skip
    subprocess.run(command, check=True, env=os.environ | apart, cwd=directory)


def served_name(url: str) -> str:
    import httpx

    answer = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {KEY}"})
    return answer.raise_for_status().json()["data"][0]["id"]


def compare(directory: Path, own: Own) -> Iterator[tuple[str, Any, Any]]:
    """(what, the harness' value, the engine's own) of every sample."""
    for path in sorted((directory / "out").rglob("samples_*.jsonl")):
        task = next(name for name in TASKS if name in path.name)
        for line in path.read_text().splitlines():
            sample = json.loads(line)
            asked = [tuple(a.values()) for a in sample["arguments"].values()]
            for arguments, (found,) in zip(asked, sample["resps"], strict=True):
                match task:
                    case "retro_choice":
                        yield task, (float(found[0]), found[1] == "True"), own.choice(*arguments)
                    case "retro_rolling":
                        value = found[0] if isinstance(found, list) else found
                        yield task, float(value), own.rolling(*arguments)
                    case "retro_generate":
                        yield task, found, own.written(arguments[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("lm_eval", type=Path, help="the harness' command")
    parser.add_argument("--weights", type=Path, default=ROOT / "engine/weights/retro-mini")
    flags = parser.parse_args()
    from engine.local import LocalEngine

    engine = LocalEngine.load(flags.weights)
    service = Service(engine, partial(rendered, template=DEFAULT))
    own, wrong = Own(engine, service.chunk), 0
    with listening(build(service, Keys.of([KEY]))) as url:
        for name, way in WAYS.items():
            with tempfile.TemporaryDirectory() as place:
                directory = Path(place)
                write_tasks(directory)
                run_harness(flags.lm_eval, url, directory, way, 4 if "batches" in name else 1)
                found = list(compare(directory, own))
            for task in TASKS:
                mine = [(a, b) for what, a, b in found if what == task]
                unequal = [(a, b) for a, b in mine if a != b]
                wrong += len(unequal) + (not mine)
                print(f"{name}: {task}: {len(mine)} values, {len(unequal)} unequal {unequal[:3]}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
