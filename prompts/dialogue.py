"""How a conversation reads to the model: plain text with speaker tags (Gopher, section 5 and
appendix H). Model and training share this file's words through `exchange` alone."""

USER, ASSISTANT = "USER:", "GOPHER:"
STOP = (f"\n{USER}",)  # a model that goes on to write the user's part is cut off here


def exchange(message: str, passage: str = "", *, first: bool = True) -> str:
    """The text from a user's message up to where the reply begins.

    A passage stands before the message, as in RETRO++. Exchanges after the first start on a line
    of their own.
    """
    head = f"{passage}\n\n" if passage else ""
    return f"{'' if first else chr(10)}{head}{USER} {message}\n{ASSISTANT}"
