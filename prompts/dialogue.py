"""How a conversation reads to the model: plain text with speaker tags (Gopher, section 5 and
appendix H). Model and training share this file's words through `exchange` alone."""

from prompts.templates import Template, stop_of

USER, ASSISTANT = "USER:", "GOPHER:"
DEFAULT = Template(f"{{passage}}\n\n{USER} {{message}}\n{ASSISTANT}")  # what the model is tuned on
STOP = stop_of(DEFAULT)  # a model that goes on to write the user's part is cut off here


def exchange(
    message: str, passage: str = "", *, first: bool = True, template: Template = DEFAULT
) -> str:
    """The text from a user's message up to where the reply begins.

    A passage stands before the message, as in RETRO++. Exchanges after the first start on a line
    of their own.
    """
    return f"{'' if first else chr(10)}{template.render(message, passage)}"


def template_of(text: str) -> Template:
    """The template that a setting names by its text; "" is the model's own. Raises BadTemplate."""
    return Template(text) if text else DEFAULT
