"""Duels: equal weights and operations, gaps as each architecture learned them, equal examples for all."""

import json
from math import log

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from headstart.cli import app
from headstart.errors import HeadstartError
from headstart.evaluation.duel import DuelRecipe, duel, plans
from headstart.evaluation.duel_result import ANSWERS, read_duel, shown_examples
from headstart.evaluation.gaps import cannot_write, continuation_nats, gap_logprobs
from headstart.interchange.model_folder import LoadedModel
from headstart.objectives.batch import hidden_states, to_batch
from headstart.tasks.metrics.bootstrap import compare_measurements, mean

TINY = {
    "layers": 2, "width": 32, "heads": 4, "feedforward_width": 96, "context": 64, "rows": 4, "steps": 3,
    "labelled": 40, "finetune_steps": 3, "examples": 12,
}  # fmt: skip


@pytest.fixture(scope="module")
def fought(tokens, places, tmp_path_factory):
    """A tiny duel, its folder, and what it was called with. Some texts are longer than the context."""
    folder = tmp_path_factory.mktemp("duel")
    labels = folder / "places.jsonl"
    texts = [text if n % 5 else 12 * f"{text} " for n, text in enumerate(places.inputs)]
    rows = [{"text": text, "label": label} for text, label in zip(texts, places.targets, strict=True)]
    labels.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = DuelRecipe(**TINY)
    return duel(tokens, labels, folder / "out", recipe), folder / "out", (tokens, labels, recipe)


def test_weights_and_operations_are_equal(tokens) -> None:
    three = plans(DuelRecipe(width=64, layers=4, steps=50), tokens)
    weights, flops = [plan.parameters for plan in three], [plan.flops for plan in three]
    assert max(weights) / min(weights) < 1.02
    assert max(flops) / min(flops) < 1.02
    assert {plan.recipe.seed for plan in three} == {0}
    assert three[0].recipe.steps == 50
    assert three[1].recipe.steps < 50  # it scores every token, which costs more


def test_the_scoreboard_is_the_answers(fought) -> None:
    result, out, _ = fought
    assert [one["name"] for one in result["models"]] == result["wanted"]
    assert {task["task"] for task in result["tasks"]} == {"classification", "gaps", "writing"}
    for task in result["tasks"]:
        shown = shown_examples(out, task["task"])
        assert len(shown) == task["n"] > 0
        values = {
            cell["model"]: [one["answers"][cell["model"]]["value"] for one in shown]
            for cell in task["cells"]
            if cell["value"] is not None
        }
        for cell in task["cells"]:
            if cell["value"] is not None:
                assert cell["value"] == pytest.approx(np.mean(values[cell["model"]]))
            else:
                assert (cell["model"], task["task"]) == ("encoder", "writing")
                assert "writes none" in cell["reason"]
        for pair in task["pairs"]:
            one = compare_measurements(*(mean("m", values[pair[name]]) for name in ("first", "second")))
            assert (pair["difference"], pair["low"], pair["high"]) == (one.difference, one.low, one.high)
    gaps = shown_examples(out, "gaps")[0]
    place = gaps["example"]["place"]
    assert gaps["example"]["texts"][place] == gaps["example"]["truth"]


def test_a_duel_goes_on_and_answers_nothing_twice(fought) -> None:
    result, out, called = fought
    (out / ".output.json").write_text((out / ".output.json").read_text().replace('"finished"', '"finished_"'))
    kept = {path: path.stat().st_mtime_ns for path in (out / ANSWERS).glob("*-*.json")}
    lost = out / ANSWERS / "gaps-decoder.json"
    before = lost.read_bytes()
    lost.unlink()
    assert duel(called[0], called[1], out, called[2])["tasks"] == result["tasks"]
    assert lost.read_bytes() == before
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items() if path != lost)
    assert read_duel(out)["models"] == result["models"]


def test_a_decoder_sees_the_left_alone_and_an_encoder_both_sides(tiny, tokenizer) -> None:
    ids = tokenizer.encode("It is a truth universally acknowledged, that a single man")
    place, all_ = 5, (len(ids), len(ids))
    for family, head in (("headstart-encoder", "masked"), ("headstart-decoder", "causal")):
        loaded = LoadedModel(tiny(family).eval(), tokenizer, head)
        found = gap_logprobs(loaded, ids, place, [all_, (len(ids), 2), (len(ids), 0), (2, len(ids))])
        assert found.exp().sum(1).allclose(torch.ones(4), atol=1e-5)
        same = torch.allclose(found[0], found[2], atol=1e-6)
        assert same is (head == "causal")
        assert not torch.allclose(found[0], found[3], atol=1e-6)
        with torch.no_grad():
            if head == "causal":
                read = tokenizer.with_special(ids[:place])[0][:-1]
                scores = loaded.model.logits(loaded.model(torch.tensor([read]))[0, -1])
            else:
                read = tokenizer.with_special([*ids[:place], tokenizer.special.mask, *ids[place + 1 :]])[0]
                scores = loaded.model.logits(loaded.model(torch.tensor([read]))[0, place + 1])
        assert torch.allclose(found[0], scores.log_softmax(-1), atol=1e-5)


def test_an_encoder_decoder_is_asked_as_it_was_trained(tiny, tokenizer) -> None:
    """The same batch as denoising makes of a text whose gap is one hidden span."""
    loaded = LoadedModel(tiny("bart").eval(), tokenizer, "text-to-text")
    ids, special = (
        tokenizer.encode("It is a truth universally acknowledged, that a single man"),
        tokenizer.special,
    )
    place = 4
    row = tokenizer.with_special(ids)[0]
    source = [*row[: place + 1], special.mask, *row[place + 2 :]]
    batch = to_batch(
        ids=np.array([[special.end, *row[:-1]]]), segments=np.zeros((1, len(row)), np.int64),
        positions=np.arange(len(row)), targets=np.array(row), source=np.array([source]),
        source_segments=np.zeros((1, len(source)), np.int64),
    )  # fmt: skip
    with torch.no_grad():
        chances = loaded.model.logits(hidden_states(loaded.model, batch)[0]).log_softmax(-1)
    loaded.model.train()  # as a folder is loaded: BART's dropout must not answer
    found = gap_logprobs(loaded, ids, place, [(len(ids), len(ids))])[0]
    assert torch.allclose(found, chances[place + 1], atol=1e-5)
    # Writing on: the given tokens and a gap are read, everything is written.
    source = tokenizer.with_special([*ids[:place], special.mask])[0]
    batch = to_batch(
        ids=np.array([[special.end, *row[:-1]]]), segments=np.zeros((1, len(row)), np.int64),
        positions=np.arange(len(row)), targets=np.array(row), source=np.array([source]),
        source_segments=np.zeros((1, len(source)), np.int64),
    )  # fmt: skip
    with torch.no_grad():
        chances = loaded.model.logits(hidden_states(loaded.model, batch)[0]).log_softmax(-1)
    wanted = [-float(chances[place + n + 1, token]) for n, token in enumerate(ids[place:])]
    assert continuation_nats(loaded, ids, place).tolist() == pytest.approx(wanted, abs=1e-4)


def test_only_what_writes_gives_a_text_a_probability(tiny, tokenizer) -> None:
    ids = tokenizer.encode("It was a dark night")
    decoder = LoadedModel(tiny("headstart-decoder").eval(), tokenizer, "causal")
    nats = continuation_nats(decoder, ids, 2)
    read = torch.tensor([tokenizer.with_special(ids)[0][:-1]])
    with torch.no_grad():
        chances = decoder.model.logits(decoder.model(read)[0]).log_softmax(-1)
    assert nats.tolist() == pytest.approx([-float(chances[n, ids[n]]) for n in range(2, len(ids))], abs=1e-5)
    assert 0 < float(nats.mean()) / log(2) < 20
    encoder = LoadedModel(tiny("headstart-encoder").eval(), tokenizer, "masked")
    assert cannot_write(encoder)
    with pytest.raises(HeadstartError, match="writes none"):
        continuation_nats(encoder, ids, 2)


def test_other_tasks_are_refused(tokens, tmp_path) -> None:
    file = tmp_path / "tags.jsonl"
    rows = [{"tokens": ["a", str(n)], "tags": ["X", "YZ"[n % 2]]} for n in range(60)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = CliRunner().invoke(
        app, ["duel", str(tokens), "--data", str(file), "--out", str(tmp_path / "out")]
    )
    assert isinstance(answer.exception, HeadstartError)
    assert "one label each" in str(answer.exception)
