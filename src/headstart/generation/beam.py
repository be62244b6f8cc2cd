"""Beam search: the likeliest whole text, as far as a few parallel tries find it.

The rules are those of transformers, so that the same model gives the same tokens: of the `beams` running
tries the `n * beams` best continuations are looked at, n being one more than there are end tokens, and at
least 2; those of the first `beams` that end are finished, scored by log-probability divided by length to the
power of `length_penalty`; the best `beams` of the others run on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from headstart.generation.config import GenerationConfig, ModelIds
from headstart.generation.incremental import Reader
from headstart.generation.sampling import NEVER, constrain


@dataclass(frozen=True)
class Try:
    """A text that may become the answer."""

    score: float = 0.0
    """Sum of its tokens' log-probabilities; once it is finished, divided by the length's power."""
    ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    """Of the tokens, before penalties."""


@dataclass
class _Search:
    """The tries for one prompt."""

    running: list[Try] = field(default_factory=lambda: [Try()])
    """The best first."""
    finished: list[Try] = field(default_factory=list)
    """The best first, never more than there are beams."""
    done: bool = False

    def advance(
        self, scores: Tensor, logprobs: Tensor, config: GenerationConfig, ids: ModelIds, longest: int
    ) -> list[int]:
        """Make every try a token longer; returns which try each of those that now run came from.

        Args:
            scores: log-probabilities after penalties, `[R, V]` for R running tries.
            logprobs: before penalties, `[R, V]`.
        """
        so_far = torch.tensor([one.score for one in self.running], device=scores.device)
        totals = (scores + so_far[:, None]).flatten()  # [R*V]
        looked_at = max(2, 1 + len(ids.stop)) * config.beams
        best, places = totals.topk(min(looked_at, len(totals)))
        running: list[Try] = []
        parents: list[int] = []
        for rank, (score, place) in enumerate(zip(best.tolist(), places.tolist(), strict=True)):
            if score == NEVER:
                break
            parent, token = divmod(place, scores.shape[1])
            old = self.running[parent]
            logprob = float(logprobs[parent, token])
            longer = Try(score, (*old.ids, token), (*old.logprobs, logprob))
            if token in ids.stop or len(longer.ids) == longest:
                if rank < config.beams:
                    score /= len(longer.ids) ** config.length_penalty
                    self.finished.append(Try(score, longer.ids, longer.logprobs))
            elif len(running) < config.beams:
                running.append(longer)
                parents.append(parent)
        self.finished = sorted(self.finished, key=lambda one: one.score, reverse=True)[: config.beams]
        self.running = running
        self.done = not running or (len(self.finished) == config.beams and self._is_settled(config, longest))
        return parents

    def _is_settled(self, config: GenerationConfig, longest: int) -> bool:
        """Whether what runs is not expected to beat the worst of what is finished."""
        if config.early_stopping is True:
            return True
        length = len(self.running[0].ids)
        if config.early_stopping == "never" and config.length_penalty > 0:
            length = longest
        return self.running[0].score / length**config.length_penalty <= self.finished[-1].score


def beam_search(
    reader: Reader, prompts: Sequence[list[int]], config: GenerationConfig, ids: ModelIds, longest: int
) -> list[Try]:
    """The best text for each prompt, an end token included where it has one.

    Args:
        reader: that has read nothing yet.
        longest: how many tokens may be written.
    """
    searches = [_Search() for _ in prompts]
    numbers = list(range(len(prompts)))  # of the prompt that each row belongs to
    unread = list(prompts)
    while numbers:
        logprobs = reader.read(unread).log_softmax(-1)  # [R, V]
        written = [one.ids for search in searches if not search.done for one in search.running]
        scores = constrain(logprobs, [prompts[number] for number in numbers], written, config, ids, longest)
        kept, first = [], 0
        for search in searches:
            if search.done:
                continue
            rows = slice(first, first + len(search.running))
            parents = search.advance(scores[rows], logprobs[rows], config, ids, longest)
            if not search.done:
                kept += [first + parent for parent in parents]
            first = rows.stop
        numbers = [numbers[row] for row in kept]
        if kept:
            reader.keep(kept)
        unread = [[one.ids[-1]] for search in searches if not search.done for one in search.running]
    return [search.finished[0] for search in searches]
