"""Claims: their ids and what they owe a reader; and some of their measures, where they have to see what
is wrong."""

import re

import numpy as np
import pytest
import torch

from headstart.errors import HeadstartError
from headstart.lab.claim import CHAPTERS
from headstart.lab.measures.counting import allocated_cache_bytes, optimiser_share
from headstart.lab.measures.exactness import (
    DECODERS,
    READING,
    WRITING,
    chain_rule_deviation,
    change_of_the_past,
    rotary_shift_deviation,
    small,
)
from headstart.lab.registry import chosen, experiments, own_experiment
from headstart.models.parameters import cache_bytes
from headstart.models.registry import FAMILIES, make_config

KNOWN = experiments()


def test_ids_are_each_there_once_and_in_order() -> None:
    ids = [one.id for one in KNOWN]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"C(0[1-9]|[1-3]\d|40)", one) for one in ids)
    for one in KNOWN:
        assert one.file.name.startswith(f"{one.id.lower()}_")


@pytest.mark.parametrize("one", KNOWN, ids=lambda one: one.id)
def test_each_says_what_a_reader_needs(one) -> None:
    claim = one.claim
    assert claim.chapter in CHAPTERS
    assert claim.statement.endswith(".")
    assert claim.quantity
    assert claim.confounders
    assert claim.sources or claim.chapter == "all"
    assert set(one.levels) == {"quick", "full"}
    assert one.levels["quick"].seeds <= one.levels["full"].seeds
    assert one.rule.words()
    if one.arms is not None:
        assert min(level.seeds for level in one.levels.values()) >= 3


def test_families_are_sorted_by_what_they_see() -> None:
    assert {*WRITING, *READING} == set(FAMILIES)
    assert "bert" in READING
    assert {"gpt2", "llama", "house"} <= set(DECODERS)
    assert {"t5", "bart", "transformer-2017"} == set(WRITING) - set(DECODERS)


def test_the_measure_of_causality_sees_a_model_that_looks_ahead() -> None:
    ids = torch.arange(48).reshape(2, 24)
    assert change_of_the_past(small("gpt2", 0, 64), ids, 12, 0) == 0.0
    assert change_of_the_past(small("bert", 0, 64), ids, 12, 0) > 1e-3


def test_the_measure_of_the_chain_rule_sees_a_wrong_step() -> None:
    ids = torch.arange(48).reshape(2, 24)
    assert chain_rule_deviation(small("llama", 0, 64), ids, cached=False) < 1e-6
    assert chain_rule_deviation(small("llama", 0, 64), ids, cached=True) < 1e-6
    assert chain_rule_deviation(small("headstart-encoder", 0, 64), ids, cached=False) > 1e-4


def test_rotary_scores_stay_when_both_move() -> None:
    assert rotary_shift_deviation(32, (1, 64), 0) < 1e-5


def test_counts_two_ways() -> None:
    sizes = {"layers": 2, "width": 32, "heads": 4, "kv_heads": 2, "feedforward_width": 48, "vocab_size": 64}
    config = make_config("llama", sizes | {"context": 64})
    assert allocated_cache_bytes(config, 40) == cache_bytes(config, 40, bytes_each=4)
    assert optimiser_share("adamw") == 2.0
    assert 1.0 < optimiser_share("muon") < 2.0


def test_a_cell_that_is_wrong_is_seen() -> None:
    from headstart.lab.claims.llama import c40_tables

    wrong = {(cell.model, cell.key) for cell in c40_tables.CELLS if not c40_tables.agrees(cell)}
    assert ("llama-3.1-405b", "context") in wrong
    assert ("bert-base", "parameters") not in wrong


def test_the_law_has_a_demand_for_which_llama_is_best() -> None:
    from headstart.lab.claims.scaling import c28_inference
    from headstart.scaling.published import REFIT

    demand = c28_inference.demand_of(REFIT)
    assert demand is not None
    assert c28_inference.lifetime(REFIT, demand)[0] == pytest.approx(c28_inference.LLAMA_PARAMETERS, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("CLAIM =", "NAME ="), "has no CLAIM"),
        (("seeds=3", "seeds=2"), "fewer than 3 seeds"),
        (('id="mine-1"', 'id="C10"'), "the id C10 is taken"),
        (('chapter="yours"', 'chapter="mine"'), "no chapter 'mine'"),
        (("margin=0.5", "margin=0"), "needs a margin above 0"),
        (("def measure", "def measured"), r"no function measure\(bench\)"),
        (('"""The numbers', 'import nothing_like_it\n    """The'), None),
        (("from headstart.lab.bench", "from headstart.lab.bank"), "cannot be read as Python"),
    ],
)
def test_a_claim_of_ones_own_is_checked(tmp_path, change, sentence) -> None:
    from headstart.lab.registry import TEMPLATE

    file = tmp_path / "mine.py"
    file.write_text(TEMPLATE.read_text("utf-8").replace(*change))
    if sentence is None:
        assert own_experiment(file).own
        return
    with pytest.raises(HeadstartError, match=sentence):
        own_experiment(file)


def test_claims_are_chosen_by_name() -> None:
    assert [one.id for one in chosen(["c13", "C10"])] == ["C13", "C10"]
    assert len(chosen([])) == len(KNOWN)
    with pytest.raises(HeadstartError, match="no claim 'C99'"):
        chosen(["C99"])


def test_masked_training_with_other_fates(documents, tokenizer) -> None:
    from headstart.objectives.batch import generator
    from headstart.objectives.masked import masked_batch
    from headstart.objectives.vocabulary import read_vocabulary

    known = read_vocabulary(tokenizer)
    ids = np.array([tokenizer.encode(documents[0]["text"])[:64] for _ in range(4)])
    for fates, share in (((1.0, 0.0, 0.0), 1.0), ((0.0, 0.0, 1.0), 0.0)):
        batch = masked_batch(ids, np.zeros_like(ids), 0.3, known, generator(0, 0), fates=fates)
        shown = batch.ids.flatten()[batch.positions]
        assert float((shown == known.id("mask")).float().mean()) == share
        if not share:
            assert torch.equal(shown, batch.targets)
