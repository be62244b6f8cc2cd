"""Which rows a step reads: shares met, passes in order, the same batch however it was come by."""

from collections import Counter
from dataclasses import fields

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headstart.errors import HeadstartError
from headstart.objectives.batch import Batch
from headstart.objectives.vocabulary import read_vocabulary
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.shards import DomainRows, TokenRows
from headstart.training.data_loader import DataLoader, RowOrder, _shared
from headstart.training.recipe import PhaseRecipe
from headstart.training.schedule import cuts_at, rows_at

KINDS = ["masked", "next-sentence", "causal", "prefix", "span-corruption", "denoising"]


@pytest.fixture(scope="module")
def feed(engine_recipe):
    opened = []

    def make(kind: str = "causal", **changes) -> DataLoader:
        recipe = engine_recipe(kind, **({"rows": 6, "steps": 40} | changes))
        start = "pad" if kind == "span-corruption" else "end"
        opened.append(DataLoader(recipe, read_vocabulary(open_tokenizer(recipe.tokens), start)))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def equal(ours: Batch, theirs: Batch) -> bool:
    for field in fields(Batch):
        one, other = getattr(ours, field.name), getattr(theirs, field.name)
        if (one is None) != (other is None) or (one is not None and not torch.equal(one, other)):
            return False
    return True


def domains_of(feed: DataLoader) -> list[str]:
    return feed.train.domains


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mixed", [False, True])
def test_a_batch_depends_on_the_step_alone(feed, kind, mixed) -> None:
    """In order with the next one made ahead, again in leaps, and made without looking ahead."""
    changes = {"rows_warmup": 0.3, "context_warmup": 0.3}
    if mixed:
        names = domains_of(feed())
        changes["phases"] = [
            {"until": 0.4, "domains": dict.fromkeys(names, 1)},
            {"domains": {names[0]: 3, names[1]: 1}},
        ]
    ahead, leaping, alone = (feed(kind, **changes) for _ in range(3))
    steps = [0, 1, 2, 3, 9, 13, 14, 39, 40]
    batches = {step: ahead.batch(step) for step in steps}
    for step in reversed(steps):
        assert equal(leaping.batch(step), batches[step])
        assert equal(alone._make(step), batches[step])
    assert not equal(batches[39], batches[40])


@given(
    weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=6),
    first=st.one_of(st.integers(0, 300), st.integers(0, 10**10)),
    steps=st.lists(st.integers(1, 9), min_size=1, max_size=40),
)
def test_shares_are_met_and_no_row_is_taken_back(weights, first, steps) -> None:
    phase = PhaseRecipe(domains={str(number): weight for number, weight in enumerate(weights)})
    rows, before = first, _shared(phase, first)
    for step in steps:
        rows += step
        counts = _shared(phase, rows)
        assert sum(counts.values()) == rows
        assert all(counts[name] >= before[name] for name in counts)
        for name, weight in phase.domains.items():
            share = weight / sum(weights)
            assert abs(counts[name] - share * rows) <= 0.5 + share * len(weights) / 2 + 1e-4
        before = counts


def test_every_step_of_a_mixture_has_its_rows_and_each_domain_its_passes(feed) -> None:
    """Among them domains of a row or two a step, and of less."""
    names = domains_of(feed())
    weights = {names[0]: 0.7, names[1]: 0.2, names[2]: 0.1}
    one = feed(rows=3, steps=300, phases=[{"until": 0.5, "domains": weights}, {"domains": {names[1]: 1}}])
    numbers = {name: number for number, name in enumerate(weights)}
    read: dict[str, list[int]] = {name: [] for name in weights}
    for step in range(300):
        first, last = 3 * step, 3 * step + 3
        _, segments, rows = one._mixed(first, last, step)
        assert len(rows) == 3
        for name, number in numbers.items():
            mine = segments[:, 0] >> 40 == number if step < 150 else np.full(3, name == names[1])
            read[name] += sorted(rows[mine].tolist())
        if step == 149:
            assert [len(read[name]) for name in weights] == [315, 90, 45]
    assert [len(read[name]) for name in weights] == [315, 540, 45]
    for name, rows in read.items():
        count = len(one.domains[name][0])
        for begin in range(0, len(rows) - count, count):
            # Rows of a step are sorted here, so that a pass may end inside a step: its neighbours may help.
            assert set(range(count)) <= set(rows[max(0, begin - 3) : begin + count + 3])


def test_a_domain_is_read_whole_and_alone(shelves) -> None:
    folder = shelves["headstart"]
    rows = TokenRows(folder, "train", 16)
    for name in rows.domains:
        stream = []
        for path in sorted(folder.glob("train-*.npy")):
            ids = np.load(path)
            for document in pq.read_table(path.with_suffix(".documents.parquet")).to_pylist():
                if document["domain"] == name:
                    stream += ids[document["start"] : document["start"] + document["tokens"]].tolist()
        mine = DomainRows(rows, name)
        assert len(mine) == len(stream) // 16
        ids, segments = mine.read(np.arange(len(mine)))
        assert ids.ravel().tolist() == stream[: 16 * len(mine)]
        assert (np.diff(segments.ravel()) >= 0).all()


def test_phases_that_make_no_sense_are_told(feed) -> None:
    names = domains_of(feed())
    with pytest.raises(HeadstartError, match=r"no document .* is of domain 'nowhere'"):
        feed(phases=[{"domains": {"nowhere": 1}}])
    for phases in (
        [{"until": 0.5, "domains": {names[0]: 1}}],
        [{"until": 1.0, "domains": {names[0]: 1}}, {"until": 0.5, "domains": {names[0]: 1}}],
        [{"domains": {}}],
    ):
        with pytest.raises(HeadstartError, match="phases: give each its domains"):
            feed(phases=phases)
    for weight in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValidationError):
            PhaseRecipe(domains={names[0]: weight})


def test_cut_rows_of_a_decoder_miss_no_target(feed) -> None:
    """What is predicted from what is the same in four short rows as in a long one."""
    for cut in (
        feed("causal", context_warmup=0.5, documents_apart=False),
        feed("causal", context_warmup=0.5),
    ):
        whole = feed("causal", documents_apart=cut.recipe.documents_apart)
        assert [cuts_at(step, cut.recipe) for step in (0, 9, 10, 19, 20)] == [4, 4, 2, 2, 1]
        for step in (0, 10, 20):
            pairs = []
            for batch in (cut.batch(step), whole.batch(step)):
                pairs.append(
                    Counter(
                        zip(
                            batch.ids.flatten()[batch.positions].tolist(), batch.targets.tolist(), strict=True
                        )
                    )
                )
            assert pairs[0] == pairs[1]
            assert cut.batch(step).ids.shape == (
                6 * cuts_at(step, cut.recipe),
                32 // cuts_at(step, cut.recipe),
            )


@pytest.mark.parametrize("kind", ["masked", "next-sentence", "span-corruption", "denoising"])
def test_cut_rows_of_an_encoder_hold_each_token_once(feed, kind) -> None:
    one = feed(kind, context_warmup=0.5)
    ids = np.arange(3 * one.length).reshape(3, one.length)
    for cuts in (2, 4):
        short = one._cut(ids, cuts)
        assert short.shape == (3 * cuts, one.length // cuts)
        assert len(np.unique(short)) == short.size
        assert (np.diff(short, axis=1) == 1).all()
        assert (short[::cuts, 0] == ids[:, 0]).all()
    assert len(one.batch(0).targets) > 0


def test_rows_grow_over_their_warmup(feed) -> None:
    one = feed("masked", rows=7, rows_warmup=0.5)
    sizes = [len(one.batch(step).ids) for step in range(40)]
    assert sizes == [rows_at(step, one.recipe) for step in range(40)]
    assert sizes[0] == 2
    assert sizes[-1] == 7
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("mixed", [False, True])
def test_static_masks_belong_to_the_row(feed, mixed) -> None:
    """The same row is masked alike in every pass, and unlike another."""
    names = domains_of(feed())
    phases = [{"domains": {names[0]: 1}}] if mixed else []
    one = feed("masked", rows=1, steps=10_000, phases=phases, objective={"static": True})
    rows, order = one.domains[names[0]] if mixed else (one.train, one.order)
    places = (
        np.argsort(order.rows(0, len(rows))),
        len(rows) + np.argsort(order.rows(len(rows), 2 * len(rows))),
    )
    seen = [one._make(int(place)) for place in (places[0][4], places[1][4], places[0][5])]
    assert torch.equal(seen[0].ids, seen[1].ids)
    assert torch.equal(seen[0].positions, seen[1].positions)
    assert not torch.equal(seen[0].positions, seen[2].positions)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("apart", [True, False])
def test_targets_of_the_evaluation_know_their_domain(feed, kind, apart) -> None:
    """Over several shards, in which documents count from the start again."""
    one = feed(kind, evaluate_rows=10_000, documents_apart=apart)
    assert len(one.heldout.shards) > 1
    batch, domains = one.evaluation()
    if kind == "next-sentence" or (batch.source is not None and not apart):
        assert domains is None, "texts of several domains are mixed"
        return
    assert domains is not None
    of_rows = one.heldout.domains_of(np.arange(len(one.heldout)))
    rows = (batch.positions // batch.ids.shape[1]).numpy()
    if kind == "span-corruption":
        single = (of_rows == of_rows[:, :1]).all(1)
        assert single.sum() > 20
        assert (domains.numpy()[single[rows]] == of_rows[rows, 0][single[rows]]).all()
        return
    columns = (batch.positions % batch.ids.shape[1]).numpy()
    expected = of_rows[rows, columns + (kind in ("causal", "prefix"))]
    assert (domains.numpy() == expected).all()


@given(
    count=st.integers(1, 40), seed=st.integers(0, 2**31 - 1), cuts=st.lists(st.integers(1, 30), max_size=20)
)
def test_passes_come_whole_however_they_are_cut_into_steps(count, seed, cuts) -> None:
    order, place, read = RowOrder(count, seed), 0, []
    for size in cuts:
        read += order.rows(place, place + size).tolist()
        place += size
    assert read == RowOrder(count, seed).rows(0, place).tolist()
    for begin in range(0, place - count + 1, count):
        assert sorted(read[begin : begin + count]) == list(range(count))


@pytest.mark.parametrize("kind", ["causal", "masked"])
def test_packed_rows_hold_documents_whole_and_empty_places_are_not_scored(feed, kind) -> None:
    packed = feed(kind, packing="best-fit")
    ids, segments = packed.train.read(np.arange(len(packed.train)))
    rows = np.flatnonzero((segments < 0).any(axis=1))
    assert len(rows)
    batch = packed._batch(ids[rows], segments[rows], rows, 0)
    assert (batch.segments < 0).any()
    assert (batch.segments.flatten()[batch.positions] >= 0).all()
    assert packed.train.filled > 0.9
    assert (packed.batch(0).segments >= 0).any()
    with pytest.raises(HeadstartError, match="packing=best-fit is for objectives"):
        feed("denoising", packing="best-fit")
    with pytest.raises(HeadstartError, match="packing=best-fit is for objectives"):
        feed("causal", packing="best-fit", documents_apart=False)
