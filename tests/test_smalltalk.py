"""Small talk: what is said before a question, and what is said back."""

from pathlib import Path

from engine.tokenizer import EOS, Tokenizer
from engine.training.grounded import Example
from engine.training.smalltalk import smalltalk
from engine.training.tune import GroundedBatches, Shape
from prompts.dialogue import exchange

SHIPPED = Path(__file__).parents[1] / "engine/weights/retro-mini/tokenizer.model"
HERONS = Example("Herons wait in the reeds. They strike.", (("What do herons do?", "They wait."),))


def test_a_message_has_one_reply():
    replies: dict[str, set[str]] = {}
    for example in smalltalk():
        ((message, reply),) = example.turns
        replies.setdefault(message.strip(".!?").lower(), set()).add(reply)
    assert len(replies) > 100
    assert all(len(found) == 1 for found in replies.values())


def test_replies_fit_into_the_answers_of_the_shipped_recipe():
    encode = Tokenizer(SHIPPED).encode
    assert all(len(encode(" " + e.turns[0][1])) + 1 <= 48 for e in smalltalk())


def test_small_talk_is_answered_beside_any_passages(tokenizer):
    talk = [Example("", (("hello", "Good day."),))]
    batches = GroundedBatches(
        [*talk * 3, HERONS], tokenizer.encode, exchange,
        shape=Shape(24, 1, 2, 64), chunk=64, seed=0, unrelated=0.5, missing=0,
    )  # fmt: skip
    batch = batches(0)
    assert batch.passages is not None and batch.valid is not None
    greeted = 0
    for row in range(24):
        prompt = tokenizer.decode(batch.tokens[row, :64][batch.valid[row, :64]].tolist())
        counted = batch.targets[row][batch.weights[row] > 0]
        if "hello" in prompt:
            greeted += batch.passages.valid[row].any()
            assert tokenizer.decode(counted[:-1].tolist()).strip() == "Good day."
            assert counted[-1] == EOS
    assert greeted > 2
