"""The settings on the page: how the next reply is asked for."""

import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import gradio as gr
from gradio.components import Component

from app.records import Settings


class BadSetting(ValueError):
    """A value that cannot be used; says which and what to give."""


def settings_form(defaults: Settings) -> list[Component]:
    """The fields, in the order that `read_settings` takes their values."""
    sampling = defaults.sampling
    with gr.Accordion("Settings for the next reply", open=False, elem_id="settings"):
        with gr.Row():
            temperature = gr.Slider(
                0, 2, sampling.temperature, step=0.05, label="Temperature", buttons=[],
                info="0 always takes the likeliest token",
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
                1, 512, sampling.max_tokens, step=1, label="Longest reply", buttons=[],
                info="in tokens; a chunk has 64", elem_id="max-tokens",
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
    return [temperature, top_p, top_k, max_tokens, seed, k, retrieve, in_context]


def read_settings(defaults: Settings, values: Sequence[Any]) -> Settings:
    """Settings from the fields' values; a seed is drawn where none is given. Raises BadSetting."""
    temperature, top_p, top_k, max_tokens, seed, k, retrieve, in_context = values
    try:
        sampling = replace(
            defaults.sampling,
            temperature=float(temperature),
            top_p=float(top_p),
            top_k=int(top_k),
            max_tokens=int(max_tokens),
            seed=_seed(str(seed or "").strip()),
        )
    except (TypeError, ValueError) as problem:
        raise BadSetting(f"settings: {problem}") from None
    return replace(
        defaults, sampling=sampling, k=int(k), retrieve=bool(retrieve), in_context=bool(in_context)
    )


def _seed(text: str) -> int:
    if not text:
        return secrets.randbelow(2**32)
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"the seed is {text[:40]!r}; give a whole number from 0 to 4294967295, or leave it "
            "blank for a random one"
        ) from None
