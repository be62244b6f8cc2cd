"""Text out of a model, one token after another."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Literal

import torch

from headstart.errors import HeadstartError
from headstart.generation.beam import beam_search
from headstart.generation.config import GenerationConfig, ModelIds
from headstart.generation.cpu_decoder import CPUDecoder
from headstart.generation.engine.engine import free_memory, make_backend
from headstart.generation.engine.request import Event, GenerationRequest
from headstart.generation.engine.scheduler import MOST, EngineSettings, Scheduler
from headstart.generation.incremental import CPUReader, ModelReader, Reader, at_rest
from headstart.generation.text_stream import TextStream
from headstart.interchange.model_folder import LoadedModel
from headstart.models.transformer import Transformer
from headstart.tokenizer.base import Tokenizer

Prompt = str | list[int]
"""A text, or the ids to be read, special tokens and all."""
Finish = Literal["stop", "length"]
"""Why a text ends: the model or a stop string ended it, or it became as long as it may."""


@dataclass(frozen=True)
class TextChunk:
    """What one step adds to one text of a batch."""

    row: int
    """Which prompt it continues."""
    text: str
    """What is certain now; often empty, for a character or a stop string may still be open."""
    token: int | None
    """None where the text ended without one more."""
    logprob: float | None
    """Of the token, where it was asked for."""
    finish: Finish | None
    """Set in the last piece of a text."""


@dataclass(frozen=True)
class Generated:
    """One text: the continuation alone, or an encoder-decoder's answer."""

    text: str
    ids: list[int]
    """Its tokens; those that a stop string cut off are still among them."""
    finish: Finish
    logprobs: list[float] | None
    """Of its tokens, in nats, before temperature and penalties; None where they were not asked for."""


def generate(
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    config: GenerationConfig | None = None,
    decoder: CPUDecoder | None = None,
) -> list[Generated]:
    """Continue each prompt, all of them together; or answer it, in an encoder-decoder.

    The prompts go through the scheduler that a server has too (`engine`), beam search apart. With a compiled
    decoder, what is written for a prompt is bitwise what is written for it alone, in bfloat16 too. Through
    the model the prompts are padded batches. Their rounding depends on the batch, so of two tokens that are
    nearly equally likely another one may be written, in bfloat16 sooner than in float32.

    A decoder is only good for rows as long as those it was trained on. Of a longer prompt it reads the end,
    and when a row is full it goes on from the second half of it. (Beam search does not: it reads as much of
    the prompt's end as leaves room.) An encoder-decoder with learned positions stops when they are used up.

    Args:
        config: None: what the model's folder says.
        decoder: the model as compiled code reads it, see `make_decoder`; None: through the model itself.

    Raises:
        HeadstartError: the model does not write, or a source is longer than it can read.
    """
    texts = [""] * len(prompts)
    ids: list[list[int]] = [[] for _ in prompts]
    logprobs: list[list[float]] = [[] for _ in prompts]
    finish: list[Finish] = ["length"] * len(prompts)
    for piece in pieces(loaded, prompts, config, decoder):
        texts[piece.row] += piece.text
        if piece.token is not None:
            ids[piece.row].append(piece.token)
        if piece.logprob is not None:
            logprobs[piece.row].append(piece.logprob)
        finish[piece.row] = piece.finish or finish[piece.row]
    wanted = config is not None and config.logprobs
    return [
        Generated(texts[row], ids[row], finish[row], logprobs[row] if wanted else None)
        for row in range(len(prompts))
    ]


def stream(
    loaded: LoadedModel,
    prompt: Prompt,
    config: GenerationConfig | None = None,
    decoder: CPUDecoder | None = None,
) -> Iterator[str]:
    """The same text for one prompt, as it is written. Beam search gives it at the end, in one piece."""
    for piece in pieces(loaded, [prompt], config, decoder):
        if piece.text:
            yield piece.text


@torch.no_grad()
def pieces(
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    config: GenerationConfig | None = None,
    decoder: CPUDecoder | None = None,
) -> Iterator[TextChunk]:
    """What `generate` puts together, as it comes: a piece for every unfinished text after each step."""
    _must_write(loaded)
    model, tokenizer = loaded.model, loaded.tokenizer
    config = config or GenerationConfig.of(loaded)
    ids = ModelIds.of(loaded, config.stop_tokens)
    if not prompts:
        return
    answers = model.config.architecture == "encoder-decoder"
    read = [_read(tokenizer, prompt, answers) for prompt in prompts]
    with at_rest(model):
        if config.beams > 1:
            yield from _search(loaded, decoder, read, config, ids)
        else:
            yield from _write(loaded, decoder, read, config, ids)


def _must_write(loaded: LoadedModel) -> None:
    if loaded.head in ("causal", "text-to-text"):
        return
    if loaded.head in ("masked", "pretraining"):
        reason = "it is an encoder, trained to fill gaps with both sides in view, not to go on from the left"
        raise HeadstartError(
            f"this model cannot generate text: {reason}; use fill-mask, or load a causal model"
        )
    raise HeadstartError(
        f"this model cannot generate text: it was fine-tuned for {loaded.head}, and its output is labels; "
        "load a causal model"
    )


def _read(tokenizer: Tokenizer, prompt: Prompt, answers: bool) -> list[int]:
    """The ids of a prompt, with the special tokens that belong to it."""
    if not isinstance(prompt, str):
        return prompt
    ids = tokenizer.encode(prompt)
    return tokenizer.with_special(ids)[0] if answers else opened(tokenizer, ids)


def opened(tokenizer: Tokenizer, prompt: list[int]) -> list[int]:
    """A prompt behind what the tokenizer's template puts before a text, and without what closes one.

    Where both are empty, something that a text can follow.
    """
    before = takewhile(lambda place: place.content != "A", tokenizer.template.single)
    start = [*(int(place.content) for place in before), *prompt] or tokenizer.opening or tokenizer.closing
    if not start:
        raise HeadstartError("an empty prompt gives this model nothing to go on from; give it some text")
    return start


@dataclass
class _Text:
    """One text in the making."""

    number: int
    stream: TextStream

    def add(self, token: int, piece: bytes, logprob: float | None, last: bool) -> TextChunk:
        """Write a token; `last`: the text may not become longer."""
        text = self.stream.push(piece)
        if not self.stream.stopped and not last:
            return TextChunk(self.number, text, token, logprob, None)
        text += self.stream.finish()
        return TextChunk(self.number, text, token, logprob, "stop" if self.stream.stopped else "length")

    def end(self) -> TextChunk:
        """End without one more token."""
        return TextChunk(self.number, self.stream.finish(), None, None, "stop")


def _write(
    loaded: LoadedModel,
    decoder: CPUDecoder | None,
    read: list[list[int]],
    config: GenerationConfig,
    ids: ModelIds,
) -> Iterator[TextChunk]:
    """Draw token after token."""
    model, pieces = loaded.model, loaded.tokenizer.pieces
    # No text waits for another, so steps are as large as they come.
    settings = EngineSettings(cache_bytes=free_memory() // 2, budget=MOST, queue=None)
    scheduler = Scheduler(make_backend(model, decoder, settings), settings)
    came: list[tuple[int, Event]] = []

    def sink(number: int, event: Event) -> None:
        came.append((number, event))

    top = 0 if config.logprobs else None
    sequences = [
        scheduler.submit(
            GenerationRequest(prompt, config, ids, top_logprobs=top, slides=True), partial(sink, number)
        )
        for number, prompt in enumerate(read)
    ]
    opens = model.config.architecture == "encoder-decoder"
    texts = [_Text(number, TextStream(config.stop, opens)) for number in range(len(read))]
    while not scheduler.idle:
        scheduler.step()
        for number, event in came:
            text, scored = texts[number], event.scored
            if event.error is not None:
                raise HeadstartError(event.error)
            if text.stream.stopped:
                continue
            if scored is None:
                yield text.end()
            else:
                yield text.add(scored.token, pieces[scored.token], scored.logprob, event.finish is not None)
            sequences[number].cancelled = text.stream.stopped
        came.clear()


def _search(
    loaded: LoadedModel,
    decoder: CPUDecoder | None,
    read: list[list[int]],
    config: GenerationConfig,
    ids: ModelIds,
) -> Iterator[TextChunk]:
    """Search for each prompt's likeliest text, and give it token by token."""
    model, tokenizer = loaded.model, loaded.tokenizer
    longest = _longest(model, config)
    answers = model.config.architecture == "encoder-decoder"
    if answers:
        assert ids.decoder_start is not None
        reader: Reader = ModelReader(model, read)
        prompts = [[ids.decoder_start] for _ in read]
    else:
        room = model.config.context - longest
        if room < 1:
            raise HeadstartError(
                f"this model reads {model.config.context} tokens, and beam search for {longest} leaves the "
                "prompt no room; lower max_new_tokens, or set beams=1"
            )
        reader = CPUReader(decoder) if decoder is not None else ModelReader(model)
        prompts = [prompt[-room:] for prompt in read]
    for number, best in enumerate(beam_search(reader, prompts, config, ids, longest)):
        text = _Text(number, TextStream(config.stop, opens=answers))
        ended = best.ids[-1] in ids.stop
        own = best.ids[:-1] if ended else best.ids
        for place, (token, logprob) in enumerate(zip(own, best.logprobs, strict=False)):
            told = logprob if config.logprobs else None
            chunk = text.add(token, tokenizer.pieces[token], told, place == len(best.ids) - 1)
            yield chunk
            if chunk.finish is not None:
                break
        else:
            yield text.end()


def _longest(model: Transformer, config: GenerationConfig) -> int:
    """How many tokens may be written."""
    own = model.config
    bounded = own.architecture == "encoder-decoder" and own.position == "learned"
    return min(config.max_new_tokens, own.context) if bounded else config.max_new_tokens


def sample_prompt(model: Transformer, tokenizer: Tokenizer, prompt: str) -> str:
    """A fixed way to continue a prompt, so that samples over a run can be compared."""
    loaded = LoadedModel(model, tokenizer, "causal")
    config = GenerationConfig(max_new_tokens=48, temperature=0.7, top_k=40)
    return generate(loaded, [prompt], config)[0].text
