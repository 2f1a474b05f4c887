"""The settings on the page: how the next reply is asked for.

A preset fills the fields in and is carried along, because it also has what no field shows, such
as the prompt template.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from app.records import Preset, Settings
from app.ui.chosen import summary
from app.ui.fields import OWN

_LONGEST = 512  # tokens, the end of the slider where no preset asks for more


@dataclass(frozen=True)
class Form:
    """`base` holds the settings that the fields were filled from; `fields` is what is read."""

    panel: gr.Accordion
    preset: gr.Dropdown
    retrieve: gr.Checkbox
    base: gr.State
    fields: list[Component]

    @property
    def values(self) -> list[Component]:
        """The inputs of `read_settings`, in its order."""
        return [self.base, *self.fields]

    @property
    def outputs(self) -> list[Any]:
        """What `filled` and `offered` update."""
        return [self.panel, self.base, self.preset, *self.fields]


def settings_form(defaults: Settings) -> Form:
    """The fields, in the order that `read_settings` takes their values."""
    sampling = defaults.sampling
    base = gr.State(defaults)
    heading = summary(OWN, defaults.retrieve)
    with gr.Accordion(heading, open=False, elem_id="settings") as panel:
        preset = gr.Dropdown(
            [OWN], value=OWN, label="Preset", elem_id="preset",
            info="fills in the settings below, and brings its prompt template",
        )  # fmt: skip
        gr.HTML(
            "<a href='runs'>Make, compare and delete presets</a>",
            apply_default_css=False, elem_id="manage",
        )  # fmt: skip
        with gr.Row():
            temperature = gr.Slider(
                0, 2, sampling.temperature, step=0.05, label="Temperature", buttons=[],
                info="0 always takes the likeliest token", elem_id="temperature",
            )  # fmt: skip
            top_p = gr.Slider(
                0.05, 1, sampling.top_p, step=0.05, label="Top p", buttons=[],
                info="likeliest tokens up to this share; 1 keeps all",
            )  # fmt: skip
        with gr.Row():
            top_k = gr.Slider(
                0, 200, sampling.top_k, step=1, label="Top k", buttons=[],
                info="this many likeliest tokens; 0 keeps all",
            )  # fmt: skip
            max_tokens = gr.Slider(
                1, max(_LONGEST, sampling.max_tokens), sampling.max_tokens, step=1,
                label="Longest reply", buttons=[], info="in tokens; a chunk has 64",
                elem_id="max-tokens",
            )  # fmt: skip
        with gr.Row():
            k = gr.Slider(
                1, 2, defaults.k, step=1, label="Passages", buttons=[],
                info="shown to the model for each chunk",
            )  # fmt: skip
            seed = gr.Textbox(
                "", label="Seed", info="blank draws a new one for each reply", max_lines=1,
                placeholder="random", elem_id="seed",
            )  # fmt: skip
        with gr.Row():
            retrieve = gr.Checkbox(
                defaults.retrieve, label="Retrieval", info="show the model passages",
                elem_id="retrieval",
            )  # fmt: skip
            in_context = gr.Checkbox(
                defaults.in_context, label="Passage in the prompt",
                info="also put the best passage before the message",
            )  # fmt: skip
    fields: list[Component] = [temperature, top_p, top_k, max_tokens, k, retrieve, in_context, seed]
    return Form(panel, preset, retrieve, base, fields)


def filled(form: Form, preset: str, settings: Settings) -> dict[Any, Any]:
    """Updates that put a preset's settings into the form; the seed stays what the person gave."""
    temperature, top_p, top_k, max_tokens, k, retrieve, in_context, _ = form.fields
    sampling = settings.sampling
    return {
        form.base: settings,
        form.panel: gr.update(label=summary(preset, settings.retrieve)),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        max_tokens: gr.update(
            value=sampling.max_tokens, maximum=max(_LONGEST, sampling.max_tokens)
        ),
        k: settings.k,
        retrieve: settings.retrieve,
        in_context: settings.in_context,
    }


def offered(form: Form, presets: Sequence[Preset], chosen: str) -> dict[Any, Any]:
    """Updates that offer presets to choose from."""
    names = [OWN, *(preset.name for preset in presets)]
    return {form.preset: gr.update(choices=names, value=chosen)}
