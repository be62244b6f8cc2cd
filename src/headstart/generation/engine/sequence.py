"""One request in the making: what it has read and written, and how its next token is drawn."""

from collections.abc import Sequence as Ids
from random import Random
from time import monotonic

import torch
from torch import Tensor

from headstart.generation.engine.request import Event, GenerationRequest, Scored, Sink
from headstart.generation.sampling import choose, constrain


class Sequence:
    """The tokens of one request and where it stands."""

    def __init__(self, request: GenerationRequest, prompt: Ids[int], longest: int, sink: Sink) -> None:
        """
        Args:
            prompt: what the decoder reads first; of an encoder-decoder the token that begins an answer.
            longest: how many tokens may be written.
        """
        self.request, self.prompt, self.longest, self.sink = request, list(prompt), longest, sink
        self.written: list[int] = []
        self.begin = 0
        """Where in prompt and written tokens the row begins that the model sees."""
        self.read = 0
        """How many tokens of that row the model has read."""
        self.cancelled = False
        """Set by anyone at any time; the next step drops the sequence."""
        self.passed_over = 0
        """Steps in a row that gave its prompt nothing."""
        self.prompt_scores: list[Scored] = []
        self.cached_tokens = 0
        """How much of the prompt had been computed for an earlier one."""
        self.submitted_at = monotonic()
        self.started_at: float | None = None
        """When it was given room; both in seconds of the monotonic clock."""
        self.random = _random(request.config.seed, request.index)
        bias = request.logit_bias
        self.biased = torch.tensor(list(bias), dtype=torch.long)
        self.bias = torch.tensor(list(bias.values()), dtype=torch.float32)

    @property
    def row(self) -> list[int]:
        """The tokens that the model sees."""
        return [*self.prompt, *self.written][self.begin :]

    @property
    def length(self) -> int:
        """Of the row that the model sees."""
        return len(self.prompt) + len(self.written) - self.begin

    @property
    def unread(self) -> int:
        return self.length - self.read

    @property
    def decoding(self) -> bool:
        """Whether the token just written is all that is left to be read."""
        return bool(self.written) and self.unread == 1

    def slide(self, length: int) -> None:
        """See the last `length` tokens alone, none of them read."""
        self.begin += self.length - length
        self.read = 0

    def score_prompt(self, logits: Tensor, first: int) -> None:
        """Score prompt tokens by the logits `[n, V]` after the tokens from place `first` on."""
        if not self.prompt_scores:
            self.prompt_scores.append(Scored(self.prompt[0], None))
        tokens = self.prompt[first + 1 : first + 1 + len(logits)]
        self.prompt_scores += _scored(logits[: len(tokens)], tokens, self.request.top_logprobs or 0)

    def advance(self, logits: Tensor) -> Event:
        """Draw the next token from logits `[V]`.

        Raises:
            HeadstartError: the logits are no numbers, or every token is forbidden.
        """
        request, ids = self.request, self.request.model_ids
        allowed = logits
        if request.logit_bias or request.grammar is not None:
            allowed = logits.clone()
            allowed[self.biased] += self.bias
            if request.grammar is not None:
                request.grammar.mask(allowed)
        allowed = constrain(allowed[None], [self.prompt], [self.written], request.config, ids, self.longest)
        token = int(choose(allowed, request.config, [self.random.random()]))
        wanted = request.top_logprobs
        scored = Scored(token, None) if wanted is None else _scored(logits[None], [token], wanted)[0]
        if token in ids.stop:
            return Event(None, "stop", token, scored)
        self.written.append(token)
        if request.grammar is not None:
            request.grammar.advance(token)
        return Event(scored, "length" if len(self.written) == self.longest else None)


def _random(seed: int, index: int) -> Random:
    """Numbers of a text's own: whatever else is drawn at the same time, they are the same."""
    return Random(f"{seed}/{index}") if index else Random(seed)


def _scored(logits: Tensor, tokens: Ids[int], count: int) -> list[Scored]:
    """Each token by its row of logits `[n, V]`, with the `count` likeliest, by the same numbers."""
    logprobs = logits.log_softmax(-1)
    own = logprobs.gather(-1, torch.tensor(tokens, dtype=torch.long, device=logits.device)[:, None])[:, 0]
    top = logprobs.topk(min(count, logprobs.shape[-1]), -1)
    return [
        Scored(token, logprob, tuple(zip(indices, values, strict=True)))
        for token, logprob, indices, values in zip(
            tokens, own.tolist(), top.indices.tolist(), top.values.tolist(), strict=True
        )
    ]
