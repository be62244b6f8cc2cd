"""How a request that writes is begun, whatever route it came by."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from random import SystemRandom
from time import time
from typing import Any
from uuid import uuid4

from headstart.errors import HeadstartError
from headstart.generation.config import ModelIds
from headstart.generation.engine.request import GenerationRequest, Grammar
from headstart.interchange.model_folder import LoadedModel
from headstart.serving.request_error import RequestError, unfit
from headstart.serving.served_model import TransformerModel
from headstart.serving.service import Asked, Service
from headstart.serving.texts.bodies import SamplingBody
from headstart.serving.texts.writer import Writer
from headstart.tokenizer.base import Tokenizer

LONGEST_ID = 10
"""Digits of a token's id."""
LEAST = -9999.0
"""What stands for a logprob of minus infinity, which JSON cannot say."""


@dataclass
class Texts:
    """The texts of a request, `n` for each prompt, prompt by prompt."""

    asked: Asked
    writer: Writer
    prompts: list[list[int]]
    n: int
    id: str
    seed: int
    created: int

    def head(self, kind: str) -> dict[str, Any]:
        """What every answer and every event begins with."""
        model = self.asked.description.name
        return {"id": self.id, "object": kind, "created": self.created, "model": model, "seed": self.seed}

    @property
    def usage(self) -> dict[str, Any]:
        """Tokens read, and written so far."""
        read, wrote = sum(map(len, self.prompts)), self.writer.completion_tokens
        cached = sum(handle.cached_tokens for handle in self.writer.handles[:: self.n])
        return {
            "prompt_tokens": read,
            "completion_tokens": wrote,
            "total_tokens": read + wrote,
            "prompt_tokens_details": {"cached_tokens": cached},
        }


def loaded_of(asked: Asked) -> LoadedModel:
    """The model that writes."""
    model = asked.resident.model
    assert isinstance(model, TransformerModel)
    return model.model.loaded


def begin(
    service: Service,
    asked: Asked,
    body: SamplingBody,
    prompts: Sequence[list[int]],
    longest: int | None,
    kind: str,
    top_logprobs: int | None,
    prompt_logprobs: bool = False,
    grammars: Sequence[Grammar | None] = (),
) -> Texts:
    """Ask the engine for all texts.

    Args:
        longest: tokens of a text at most; None: as many as the model has room for.
        kind: what the id begins with.
        grammars: one for each text; none where they are free.

    Raises:
        RequestError: settings that are not possible, or an engine that takes nothing more.
    """
    loaded, n = loaded_of(asked), body.n or 1
    seed = SystemRandom().randrange(2**31) if body.seed is None else body.seed
    answers = loaded.model.config.architecture == "encoder-decoder"
    requests = []
    try:
        model_ids = ModelIds.of(loaded, tuple(body.stop_token_ids or ()))
        biases = logit_biases(body, loaded.tokenizer)
        for place, ids in enumerate(prompts):
            room = loaded.model.config.context - (0 if answers else len(ids))
            most = max(room, 1) if longest is None else longest
            config = body.config(most, seed)
            for index in range(n):
                number = place * n + index
                requests.append(
                    GenerationRequest(
                        ids,
                        config,
                        model_ids,
                        index=index,
                        writes=most > 0,
                        logit_bias=biases,
                        top_logprobs=top_logprobs,
                        prompt_logprobs=prompt_logprobs or most == 0,
                        grammar=grammars[number] if grammars else None,
                    )
                )
    except HeadstartError as error:
        raise unfit(error) from None
    assert asked.resident.engine is not None
    asked.record.prompt_tokens = sum(map(len, prompts))
    writer = Writer(
        asked.resident.engine,
        loaded.tokenizer,
        requests,
        service.settings.limits,
        service.metrics,
        asked.record,
        answers,
    )
    writer.start()
    return Texts(asked, writer, list(prompts), n, f"{kind}-{uuid4().hex}", seed, int(time()))


def logit_biases(body: SamplingBody, tokenizer: Tokenizer) -> dict[int, float]:
    """What is added to which token's logit.

    Raises:
        RequestError: a key is no id of the model.
    """
    found = {}
    for key, value in (body.logit_bias or {}).items():
        if not key.isdecimal() or len(key) > LONGEST_ID or int(key) >= tokenizer.vocab_size:
            raise RequestError(
                400,
                "unsupported_value",
                f"logit_bias names {key[:40]!r}, which is no token of the model",
                "logit_bias",
            )
        found[int(key)] = value
    return found


def finite(logprob: float) -> float:
    """A log-probability that JSON can say."""
    return max(logprob, LEAST)


async def off_the_loop(work: Any, *given: Any) -> Any:
    """The result of work on texts, done in another thread; a user's mistake becomes a refused request."""
    try:
        return await asyncio.to_thread(work, *given)
    except HeadstartError as error:
        raise unfit(error) from None
