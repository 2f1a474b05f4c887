"""TextStream: text is released whole, once, and never a part of a stop string."""

from hypothesis import given
from hypothesis import strategies as st

from engine.protocol import TokenEvent
from engine.streaming import TextStream


def run(tokenizer, text: str, stop: tuple[str, ...]) -> tuple[list[str], bool]:
    stream = TextStream(tokenizer, stop)
    out = []
    for piece in tokenizer.encode(text):
        out += [e.text for e in stream.feed(TokenEvent(piece, "", 0.0, (), 0))]
        if stream.stopped:
            return out, True
    return [*out, *(e.text for e in stream.close())], False


@given(st.text(), st.lists(st.text(min_size=1, max_size=6), max_size=3))
def test_the_text_up_to_the_first_stop_string_is_released(tokenizer, text, stop):
    out, stopped = run(tokenizer, text, tuple(stop))
    whole = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").removeprefix(" ")
    cuts = [at for s in stop if (at := whole.find(s)) >= 0]
    if cuts:
        assert stopped
        assert "".join(out) == whole[: min(cuts)]
    else:
        assert not stopped
        assert "".join(out) == whole


@given(st.text(alphabet="ab\n", max_size=40))
def test_no_beginning_of_a_stop_string_is_shown_before_it_is_certain(tokenizer, text):
    stream, shown, fed = TextStream(tokenizer, ("\nab",)), "", ""
    for piece in tokenizer.encode(text):
        fed += tokenizer.decode([piece])
        shown += "".join(e.text for e in stream.feed(TokenEvent(piece, "", 0.0, (), 0)))
        if stream.stopped:
            break
        held_back = 2 if fed.endswith("\na") else 1 if fed.endswith("\n") else 0
        assert len(shown) <= len(fed) - held_back
    assert "\nab" not in shown


def test_an_emoji_split_over_tokens_appears_at_once(tokenizer):
    out, _ = run(tokenizer, "x🌊", ())
    assert [t for t in out if t] == ["x", "🌊"]
