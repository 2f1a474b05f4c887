import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.export import Exchange, Heading, Transcript
from app.markdown import inline, quote, to_markdown
from app.records import Comparison, DetectorRun, Finding, Judgement, Settings, Turn
from app.store.rows import legible
from engine.protocol import Sampling
from tests.test_effects import measured

Build = Callable[..., Turn]

markdown_it = pytest.importorskip("markdown_it", reason="comes with gradio")

SIGNS = "ab1 .)\n\t\\`*_{}[]<>()#+-=!|~&;:\"'/$^%\x00\x1b\r\x85\u2028"
hostile = st.one_of(st.text(max_size=40), st.text(st.sampled_from(SIGNS), max_size=40))
WRECK = """    indented

```
<img src=x onerror=alert(1)>
</details><!-- -->
---
===
| a | b |
|---|---|
1. a
- b
# c
[x]: http://x
![x](http://x) [x](javascript:alert(1)) <http://x> &lt; **b** ~~s~~ \\"""


def rendered(text: str) -> Any:
    """The tree that a Markdown reader makes of a text."""
    from markdown_it.tree import SyntaxTreeNode

    reader = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return SyntaxTreeNode(reader.parse(text))


def nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in node.children:
        yield from nodes(child)


def kinds(node: Any) -> set[str]:
    return {inner.type for inner in nodes(node)}


def words(node: Any) -> str:
    """What a reader sees of a paragraph or of several."""
    shown = {"text": lambda n: n.content, "hardbreak": lambda n: "\n", "softbreak": lambda n: "\n"}
    separator = "\n" if node.type in ("root", "blockquote") else ""
    if node.type in shown:
        return shown[node.type](node)
    return separator.join(words(child) for child in node.children)


def lines(text: str) -> list[str]:
    """The lines of a text that hold something to see."""
    text = re.sub("\r\n?|\u2028|\u2029", "\n", text)
    kept = re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)
    return [line for line in map(str.strip, kept.split("\n")) if line]


@given(hostile)
@settings(max_examples=80)
@example(WRECK)
@example("a\\\nb\\")
@example("")
def test_a_quoted_text_is_seen_line_by_line_as_it_is(text: str):
    root = rendered(f"before\n\n{quote(text)}\n\nafter")
    assert [child.type for child in root.children] == ["paragraph", "blockquote", "paragraph"]
    block = root.children[1]
    assert kinds(block) <= {"blockquote", "paragraph", "inline", "text", "hardbreak", "em"}
    assert lines(words(block)) == (lines(text) or ["(empty)"])


@given(hostile)
@settings(max_examples=60)
@example(WRECK)
def test_a_text_within_a_line_is_seen_as_it_is(text: str):
    root = rendered(f"# {inline(text)}\n\n- a: {inline(text)} z")
    assert [child.type for child in root.children] == ["heading", "bullet_list"]
    heading, item = root.children
    assert kinds(root) <= {
        "root", "heading", "inline", "text", "bullet_list", "list_item", "paragraph",
    }  # fmt: skip
    assert words(heading).split() == legible(text).split()
    assert words(item).split() == ["a:", *legible(text).split(), "z"]


def test_indentation_is_kept():
    assert words(rendered(quote("def f():\n\treturn 1\n      # two"))) == (
        "def f():\n\u00a0\u00a0\u00a0\u00a0return 1\n\u00a0\u00a0\u00a0\u00a0\u00a0\u00a0# two"
    )


def told(transcript: Transcript, through: str | None = None) -> str:
    """What a reader sees of a conversation."""
    return words(rendered(to_markdown(transcript, through)))


@pytest.fixture
def conversation(toy_turn: Build) -> Transcript:
    greedy = Settings(Sampling(temperature=0), retrieve=False)
    first = toy_turn("word " * 70)
    retry = toy_turn("It was dug in 1920.", parent=None, settings=greedy, error="MemoryError: x")
    last = toy_turn(parent=first.id, message="And then?", passage="The prompt's own passage.")
    finding = Finding("loop", 0, 4, "word", 1.0, 1.0, "warn", "Said often.")
    return Transcript(
        Heading("toy", "Harbours", first.created, last.created),
        (
            Exchange(first, (DetectorRun("d", "1", "found", 0.0, (finding,)),), measured(first)),
            Exchange(retry, (), None, (Judgement(retry.id, 0, 1, "not", "Ann"),)),
            Exchange(last),
        ),
        (Comparison("x", first.id, retry.id, "retrieval off", "a", first.created),),
    )


def test_everything_of_the_tree_can_be_read(conversation: Transcript):
    first, _, last = (exchange.turn for exchange in conversation.turns)
    text = told(conversation)
    for expected in (
        "Conversation toy, with all versions.",
        f"1. Reply {first.id}",
        "version 1 of 2",
        "temperature 0.6, seed 0, ended: stop",
        "All passages together changed this reply by +71.00 nats.",
        "Chunk 1, characters 0 to 319: passage 1 (distance 0.250, effect +0.50 nats); passage 2",
        "Chunk 2, characters 319 to 350: passage 3",
        "Found: loop (warn), characters 0 to 4: Said often.",
        "greedy, retrieval off, ended: stop (MemoryError: x)",
        "passage 2 (distance 0.500, judged not useful by Ann)",
        f"Compared with reply {first.id}; changed here: retrieval off; vote: the other",
        "3. Message (follows 1)",
        "And then?",
        "The prompt's own passage.",
        last.reply.text,
        "Passage 4: Title 4",
        "library/4.md, characters 40 to 49",
        "and on 4",
    ):
        assert expected in text
    assert text.count("Passage 1: Title 1") == 1  # though it was shown three times


def test_a_branch_leaves_the_other_versions_out(conversation: Transcript):
    first, retry, last = (exchange.turn for exchange in conversation.turns)
    text = told(conversation, last.id)
    assert f"up to reply {last.id}" in text
    assert f"Reply {first.id}" in text
    assert f"Reply {retry.id}" not in text
    with pytest.raises(KeyError):
        to_markdown(conversation, "nowhere")


def test_no_text_of_a_conversation_can_break_the_document(
    conversation: Transcript, toy_turn: Build
):
    def blocks(text: str) -> tuple[list[str], set[str]]:
        (chunk,) = toy_turn().reply.chunks
        shown = replace(chunk.neighbours[0], title=text, source=text, text=text, continuation=text)
        none = replace(chunk, index=1, neighbours=(), error=text)
        turn = toy_turn(message=text, passage=text, error=text)
        chunks = (replace(chunk, neighbours=(shown,)), none)
        turn = replace(turn, reply=replace(turn.reply, text=text, chunks=chunks))
        finding = Finding(text, 0, 0, text, 1.0, 1.0, "warn", text)
        exchange = Exchange(
            turn, (DetectorRun("d", "1", "found", 0.0, (finding,)),),
            judgements=(Judgement(turn.id, 0, 0, "not", text),),
        )  # fmt: skip
        compared = (Comparison("x", "a", turn.id, text, None, ""),)
        root = rendered(to_markdown(Transcript(Heading("", text, "", ""), (exchange,), compared)))
        return [child.type for child in root.children], kinds(root) - {"hardbreak"}

    assert blocks(WRECK) == blocks("harmless")
