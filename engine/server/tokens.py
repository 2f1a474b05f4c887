"""Text to tokens and back, as lm-evaluation-harness asks for them."""

from dataclasses import dataclass
from typing import Any

from engine.server.bodies import token_ids
from engine.server.service import Service
from engine.server.shapes import SPECIAL
from engine.tokenizer import BOS, EOS, PAD, UNKNOWN


@dataclass(frozen=True)
class Tokenize:
    """POST /tokenize. This tokenizer adds no special tokens to a text, asked or not."""

    prompt: str
    model: str = ""
    add_special_tokens: bool = False


@dataclass(frozen=True)
class Detokenize:
    """POST /detokenize"""

    tokens: tuple[Any, ...]
    model: str = ""


def tokenize(body: Tokenize, service: Service) -> dict[str, Any]:
    tokens = service.encode(body.prompt)
    return {"tokens": tokens, "count": len(tokens), "max_model_len": service.engine.info.context}


def detokenize(body: Detokenize, service: Service) -> dict[str, Any]:
    """Raises Refusal."""
    tokens = token_ids(list(body.tokens), "tokens", service.vocabulary)
    return {"prompt": service.decode(tokens)}


def about(service: Service) -> dict[str, Any]:
    """GET /tokenizer_info. A text begins after the token that ends the one before it."""
    return {
        "tokenizer_class": "SentencePiece",
        "vocab_size": service.vocabulary,
        "fingerprint": service.engine.info.tokenizer,
        "bos_token": SPECIAL[EOS],
        "eos_token": SPECIAL[EOS],
        "pad_token": SPECIAL[PAD],
        "unk_token": SPECIAL[UNKNOWN],
        "special_tokens": {SPECIAL[i]: i for i in (PAD, UNKNOWN, BOS, EOS)},
        "add_bos_token": False,
    }
