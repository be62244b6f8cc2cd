"""Which rows a step reads, and the batch that is made of them: functions of the seed and the step alone.

The state of a reader is the number of the step. Every process makes the batch of the whole step and takes its
share, so that nothing depends on how many there are; the next step's batch is made in the background.
"""

import hashlib
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from headstart.errors import HeadstartError, nearest
from headstart.objectives.batch import Batch, generator, join
from headstart.objectives.vocabulary import Vocabulary
from headstart.tokenizer.packing import PackedRows
from headstart.tokenizer.shards import DomainRows, TokenRows
from headstart.training.recipe import PhaseRecipe, PretrainRecipe
from headstart.training.schedule import cuts_at, rows_before

# Streams of random numbers that must not meet those of the steps.
ROW_STREAM, ORDER_STREAM, EVALUATION_STREAM = 2**61, 2**62, 2**63


class RowOrder:
    """Which rows a step reads: a new random order for every pass over the split."""

    def __init__(self, count: int, seed: int, salt: int = 0) -> None:
        self.count, self.seed, self.salt = count, seed, salt
        self._order = lru_cache(maxsize=2)(self._permutation)

    def _permutation(self, epoch: int) -> np.ndarray:
        return generator(self.seed, ORDER_STREAM + (self.salt << 32) + epoch).permutation(self.count)

    def rows(self, first: int, last: int) -> np.ndarray:
        """The numbers of the rows at places `first` to `last` (excluded) of all passes."""
        places = np.arange(first, last)
        return np.array([self._order(place // self.count)[place % self.count] for place in places], np.int64)


class DataLoader:
    """The batches of a run.

    Args:
        recipe: the run's.
        vocabulary: the tokenizer's.
    """

    def __init__(self, recipe: PretrainRecipe, vocabulary: Vocabulary) -> None:
        self.recipe, self.vocabulary = recipe, vocabulary
        self.objective = recipe.objective
        self.length = self.objective.row_length(recipe.context)
        self.train = self._rows()
        self.heldout = TokenRows(recipe.tokens, "heldout", self.length)
        self.order = RowOrder(len(self.train), recipe.seed)
        self.domains = self._domains()
        self.waited = 0.0
        """Seconds that the last batch was waited for."""
        self.digest = 0
        """A hash of what the last batch reads."""
        self._maker = ThreadPoolExecutor(1, "data loader")
        self._ahead: tuple[int, Future[tuple[Batch, int]]] | None = None

    def _rows(self) -> TokenRows:
        recipe, special = self.recipe, self.vocabulary.special
        if recipe.packing == "stream":
            return TokenRows(recipe.tokens, "train", self.length)
        kinds = ("causal", "masked")
        if recipe.phases or not recipe.documents_apart or recipe.objective.kind not in kinds:
            raise HeadstartError(
                f"packing=best-fit is for objectives {' and '.join(kinds)}, with documents_apart and without "
                "phases; change one of them"
            )
        filler = special.end if special.pad is None else special.pad
        return PackedRows(recipe.tokens, "train", self.length, filler or 0)

    def batch(self, step: int) -> Batch:
        """The batch of a step, and in the background the next one."""
        started = time.perf_counter()
        if self._ahead is not None and self._ahead[0] == step:
            made, self.digest = self._ahead[1].result()
        else:
            made, self.digest = self._hashed(step)
        self.waited = time.perf_counter() - started
        self._ahead = (step + 1, self._maker.submit(self._hashed, step + 1))
        return made

    def close(self) -> None:
        """End the background thread."""
        self._maker.shutdown(cancel_futures=True)

    def evaluation(self) -> tuple[Batch, Tensor | None]:
        """The held-out batch, always the same rows from all over the split, and the domain of each target, a
        place in `heldout.domains`; None: there is one domain, or the objective puts texts together."""
        count = min(self.recipe.evaluate_rows, len(self.heldout))
        rows = np.arange(count) * len(self.heldout) // count  # neighbours are of one domain
        ids, segments = self.heldout.read(rows)
        segments = segments + (np.arange(len(rows))[:, None] << 40)  # other numbers in every row
        batch = self._batch(ids, segments, rows, EVALUATION_STREAM)
        if len(self.heldout.domains) < 2 or batch.pair_positions is not None:
            return batch, None
        domains = self.heldout.domains_of(rows)  # [B, length]
        if batch.source is None:
            # A target stands where it stood in its row; a decoder predicts it one place earlier.
            return batch, torch.from_numpy(domains[:, -batch.ids.shape[1] :]).flatten()[batch.positions]
        if not self.recipe.documents_apart:
            return batch, None
        by_number = dict(zip(segments.ravel().tolist(), domains.ravel().tolist(), strict=True))
        numbers = batch.segments.flatten()[batch.positions].tolist()
        return batch, torch.tensor([by_number[number] for number in numbers])

    def _hashed(self, step: int) -> tuple[Batch, int]:
        batch = self._make(step)
        digest = hashlib.blake2b(batch.ids.numpy().tobytes(), digest_size=6).digest()
        return batch, int.from_bytes(digest)

    def _make(self, step: int) -> Batch:
        first, last = rows_before(step, self.recipe), rows_before(step + 1, self.recipe)
        if not self.recipe.phases:
            rows = self.order.rows(first, last)
            ids, segments = self.train.read(rows)
        else:
            ids, segments, rows = self._mixed(first, last, step)
        cuts = cuts_at(step, self.recipe)
        if cuts > 1:
            ids, segments = (self._cut(array, cuts) for array in (ids, segments))
        return self._batch(ids, segments, rows, step)

    def _cut(self, array: np.ndarray, cuts: int) -> np.ndarray:
        """Rows `[B, T]` cut into shorter ones `[cuts * B, t]`; neighbours share the token that a decoder
        needs beyond those that it reads."""
        extra = 1 if self.objective.architecture == "decoder" else 0
        each = (self.length - extra) // cuts
        parts = [array[:, part * each : (part + 1) * each + extra] for part in range(cuts)]
        return np.stack(parts, axis=1).reshape(len(array) * cuts, -1)

    def _batch(self, ids: np.ndarray, segments: np.ndarray, rows: np.ndarray, stream: int) -> Batch:
        recipe = self.recipe
        if not recipe.documents_apart:
            segments = np.broadcast_to(np.arange(len(segments))[:, None], segments.shape).copy()
        if not self.objective.belongs_to_row or stream == EVALUATION_STREAM:
            return self._corrupted(ids, segments, stream)
        each = [
            self._corrupted(
                ids[n : n + 1], segments[n : n + 1], ROW_STREAM + int(rows[n * len(rows) // len(ids)])
            )
            for n in range(len(ids))
        ]
        return join(each)

    def _corrupted(self, ids: np.ndarray, segments: np.ndarray, stream: int) -> Batch:
        random = generator(self.recipe.seed, stream)
        return self.objective.batch(ids, segments, self.vocabulary, random)

    # Mixtures

    def _domains(self) -> dict[str, tuple[DomainRows, RowOrder]]:
        wanted = sorted({name for phase in self.recipe.phases for name in phase.domains})
        for name in wanted:
            if name not in self.train.domains:
                known = self.train.domains
                raise HeadstartError(
                    f"phases: no document of {self.recipe.tokens} is of domain {name!r}{nearest(name, known)}"
                )
        ends = [phase.until for phase in self.recipe.phases]
        if ends and (sorted(ends) != ends or ends[-1] < 1 or not all(p.domains for p in self.recipe.phases)):
            raise HeadstartError(
                "phases: give each its domains and a later `until` than the one before; the last 1.0"
            )
        made = {}
        for number, name in enumerate(wanted):
            rows = DomainRows(self.train, name)
            made[name] = (rows, RowOrder(len(rows), self.recipe.seed, number + 1))
        return made

    def _mixed(self, first: int, last: int, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows at places `first` to `last`, of each domain as many as the phase gives it."""
        recipe = self.recipe
        read = dict.fromkeys(self.domains, 0)  # rows of a domain in the phases before this one
        begin = 0
        for phase in recipe.phases:
            end = rows_before(min(recipe.steps, round(phase.until * recipe.steps)), recipe)
            if first < end or phase is recipe.phases[-1]:
                break
            for name, count in _shared(phase, end - begin).items():
                read[name] += count
            begin = end
        parts = []
        before, behind = _shared(phase, first - begin), _shared(phase, last - begin)
        for number, name in enumerate(phase.domains):
            rows, order = self.domains[name]
            chosen = order.rows(read[name] + before[name], read[name] + behind[name])
            if len(chosen):
                ids, segments = rows.read(chosen)
                parts.append((ids, segments + (number << 40), chosen))
        ids, segments, chosen = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        shuffled = generator(recipe.seed, ORDER_STREAM - 1 - step).permutation(len(ids))
        return ids[shuffled], segments[shuffled], chosen[shuffled]


def _shared(phase: PhaseRecipe, rows: int) -> dict[str, int]:
    """How many of a phase's first `rows` rows each domain has.

    Rows are dealt out one after another, each to the domain that lacks most, in the manner of Webster's
    apportionment (Balinski & Young 1982): a count never falls, and is about half a row from its share.
    """
    weights = np.array(list(phase.domains.values()))
    shares = weights / weights.sum()
    # Where these counts end no domain has more than its due; what is left is a row or so for each.
    counts = np.maximum(np.floor(shares * (rows - len(shares) / 2 - 1) + 0.5), 0).astype(np.int64)
    while counts.sum() < rows:
        counts[np.argmin((counts + 0.5) / shares)] += 1
    return dict(zip(phase.domains, counts.tolist(), strict=True))
