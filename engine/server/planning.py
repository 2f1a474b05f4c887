"""From a request's body to what the engine is asked for, choice by choice."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.protocol import BadSampling, Request, Sampling, Segment
from engine.server.bodies import Body, ChatBody, CompletionBody, Pinned, Retro, shown
from engine.server.refusals import Refusal, wrong
from engine.server.service import Limits, Message, Rendered, Service
from retrieval.protocol import Neighbour

COMPLETION_TOKENS = 16  # where a completion does not say how many, as OpenAI's


@dataclass(frozen=True)
class Echo:
    """A prompt to be given back; with `alternatives`, how likely its tokens are, and that many of
    the likeliest in the place of each. None leaves that away."""

    text: str
    tokens: tuple[int, ...]
    alternatives: int | None


@dataclass(frozen=True)
class Choice:
    """One text to write, unless only its prompt is wanted."""

    index: int
    request: Request
    echo: Echo | None = None
    writes: bool = True


@dataclass(frozen=True)
class Plan:
    """What a request comes to. `alternatives` are the likeliest tokens to report, None for no
    log-probabilities; `searching` says whether passages are searched for."""

    choices: tuple[Choice, ...]
    prompt_tokens: int
    alternatives: int | None
    searching: bool


def plan_chat(body: ChatBody, service: Service, limits: Limits) -> Plan:
    """Raises Refusal, and what rendering raises."""
    check(body, service, limits)
    messages = body.conversation()
    most = body.max_completion_tokens or body.max_tokens or service.defaults.max_tokens
    sampling = sampling_of(body, service, most)
    searching = _searching(body.retro, service, service.search_chats)
    k = _k_of(body.retro, service)
    pinned = _pinned(body.retro, service)
    rendered = _rendered(messages, body.retro, pinned, searching, service)
    request = Request(
        rendered.prompt, rendered.query, sampling, (*rendered.stop, *body.stops),
        retrieve=searching, k=k, follow=service.follow, always=pinned,
    )  # fmt: skip
    count = sum(_size(segment, service) for segment in rendered.prompt)
    alternatives = (body.top_logprobs or 0) if body.logprobs else None
    choices = tuple(
        Choice(i, replace(request, sampling=replace(sampling, seed=seed)))
        for i, seed in enumerate(_seeds(sampling.seed, body.n))
    )
    return Plan(choices, count, alternatives, searching)


def plan_completion(body: CompletionBody, service: Service, limits: Limits) -> Plan:
    """Raises Refusal."""
    check(body, service, limits)
    prompts = body.prompts(limits.prompts, service.vocabulary)
    most = COMPLETION_TOKENS if body.max_tokens is None else body.max_tokens
    sampling = sampling_of(body, service, max(most, 1))
    searching = _searching(body.retro, service, service.search_completions)
    if body.retro.in_context:
        raise wrong("retro.in_context", "true", "false; a completion's prompt is given as it is")
    k, pinned, stops = _k_of(body.retro, service), _pinned(body.retro, service), body.stops
    tokenizer, M = service.engine.tokenizer, service.chunk
    choices: list[Choice] = []
    total = 0
    for prompt in prompts:
        tokens = tuple(service.encode(prompt) if isinstance(prompt, str) else prompt)
        total += len(tokens)
        echo = Echo(service.decode(tokens), tokens, body.logprobs) if body.echo else None
        request = Request(
            (Segment("", ends_chunk=True, tokens=tokens),), tokenizer.decode(tokens[-M:]), sampling,
            stops, retrieve=searching, k=k, follow="chunk", always=pinned,
        )  # fmt: skip
        for seed in _seeds(sampling.seed, body.n):
            asked = replace(request, sampling=replace(sampling, seed=seed))
            choices.append(Choice(len(choices), asked, echo, writes=most > 0))
    return Plan(tuple(choices), total, body.logprobs, searching)


def check(body: Body, service: Service, limits: Limits) -> None:
    """Raises Refusal."""
    if body.model not in ("", service.model):
        raise Refusal(
            404, f'model is "{shown(body.model)[1:-1]}"; expected "{service.model}", '
            "the one that is served here", param="model", code="model_not_found",
        )  # fmt: skip
    body.check(limits)


def sampling_of(body: Body, service: Service, most: int) -> Sampling:
    """How the first choice is drawn; what is not given is the model's own. Raises Refusal."""
    given = {n: v for n in ("temperature", "top_p", "top_k") if (v := getattr(body, n)) is not None}
    seed = secrets.randbelow(2**32) if body.seed is None else body.seed
    try:
        return replace(service.defaults, **given, seed=seed, max_tokens=most)
    except BadSampling as error:
        name = str(error).split(" ", 1)[0]
        raise Refusal(400, str(error), param=name, code="invalid_value") from None


def _seeds(first: int, n: int) -> Iterator[int]:
    return ((first + i) % 2**32 for i in range(n))


def _searching(retro: Retro, service: Service, silent: bool) -> bool:
    """Whether passages are searched for; `silent` is what is done where that is not said."""
    able = service.retrieve is not None and service.neighbours > 0
    if retro.retrieve and not able:
        why = "this model reads none" if not service.neighbours else "this server has none"
        raise wrong("retro.retrieve", "true", f"false; {why} (passages)")
    return able and (silent if retro.retrieve is None else retro.retrieve)


def _k_of(retro: Retro, service: Service) -> int:
    most = service.neighbours
    if retro.k is None:
        return min(service.k, most)
    if not 0 <= retro.k <= most:
        raise wrong("retro.k", str(retro.k), f"0 to {most}, the passages that a chunk is shown")
    return retro.k


def _pinned(retro: Retro, service: Service) -> tuple[Neighbour, ...]:
    if len(retro.pinned) > service.neighbours:
        most = f"{service.neighbours} at most, the passages that a chunk is shown"
        raise wrong("retro.pinned", f"a list of {len(retro.pinned)}", most)
    for i, passage in enumerate(retro.pinned):
        if not passage.text.strip():
            raise wrong(f"retro.pinned[{i}].text", "empty", "the text of a passage")
    return tuple(_neighbour(passage, i, service) for i, passage in enumerate(retro.pinned))


def _neighbour(given: Pinned, rank: int, service: Service) -> Neighbour:
    """A passage as the model is shown it. Where its text is longer than a chunk and comes without
    a continuation, the rest is the continuation."""
    tokenizer, M = service.engine.tokenizer, service.chunk
    tokens = tuple(tokenizer.encode(given.text))
    following = tuple(tokenizer.encode(given.continuation)) if given.continuation else tokens[M:]
    return Neighbour(
        given.id if given.id >= 0 else -1 - rank, given.document, given.title, given.source, 0,
        given.start, given.end, given.text, given.continuation, tokens[:M], following[:M],
        given.distance, given.overlap,
    )  # fmt: skip


def _rendered(
    messages: Sequence[Message],
    retro: Retro,
    pinned: Sequence[Neighbour],
    searching: bool,
    service: Service,
) -> Rendered:
    passage = ""
    if service.in_context if retro.in_context is None else retro.in_context:
        found = pinned[:1]
        if not found and searching and service.retrieve is not None:
            found = service.retrieve(messages[-1].text, 1)
        passage = service.quote(found[0]) if found else ""
    return service.render(messages, passage)


def _size(segment: Segment, service: Service) -> int:
    if segment.tokens is not None:
        return len(segment.tokens)
    return service.engine.count(segment.text)


def usage(plan: Plan, written: Mapping[int, int]) -> dict[str, int]:
    """OpenAI's count of tokens; `written` are those of each choice."""
    completion = sum(written.values())
    return {
        "prompt_tokens": plan.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": plan.prompt_tokens + completion,
    }
