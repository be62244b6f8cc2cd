"""The Masking view's numbers: fates, gaps, influence."""

import math

import numpy as np
import pytest
import torch

from headstart.api import load
from headstart.interchange.model_folder import LoadedModel
from headstart.objectives.batch import generator
from headstart.objectives.masked import FATES, KEPT, MASKED, REPLACED, corrupt, masked_batch
from headstart.objectives.vocabulary import read_vocabulary
from headstart.studio import frames
from headstart.studio.looks import masking

API = "/api/v1"
TEXT = "It was the best of times, it was the worst of times"


def frame(answer):
    assert answer.status_code == 200, answer.text
    return frames.decode(answer.content)


def loaded_of(tiny, tokenizer, family: str, head: str) -> LoadedModel:
    model = tiny(family, vocab_size=tokenizer.vocab_size).eval()
    return LoadedModel(model, tokenizer, head)


def test_fates_are_those_of_the_batch_and_have_their_shares(tokenizer) -> None:
    vocabulary = read_vocabulary(tokenizer)
    ids = np.random.default_rng(0).choice(np.flatnonzero(vocabulary.ordinary), (25, 1000))
    segments = np.zeros_like(ids)
    made = corrupt(ids, segments, 0.4, vocabulary, generator(3, 7))
    batch = masked_batch(ids, segments, 0.4, vocabulary, generator(3, 7))
    assert np.array_equal(batch.ids.numpy(), made.ids)
    assert np.array_equal(batch.positions.numpy(), made.positions)
    flat, count = made.ids.reshape(-1)[made.positions], len(made.fates)
    assert count == 10_000
    assert (flat[made.fates == MASKED] == vocabulary.special.mask).all()
    assert (flat[made.fates == KEPT] == made.targets[made.fates == KEPT]).all()
    replaced = made.fates == REPLACED
    assert (flat[replaced] == made.strangers[replaced]).all()
    for fate, share in zip((MASKED, REPLACED, KEPT), FATES, strict=True):
        spread = math.sqrt(share * (1 - share) / count)
        assert abs((made.fates == fate).mean() - share) < 3 * spread


def test_a_gap_is_filled_as_python_fills_it(studio, studio_root, masked_run) -> None:
    model = load(studio_root / "masked" / "model")
    mask = model.loaded.tokenizer.token_text(model.loaded.tokenizer.special.mask)
    answers = model.fill_mask(f"It was the{mask} of times", 5)[0]
    tokenizer = model.loaded.tokenizer
    before, behind = tokenizer.encode("It was the"), tokenizer.encode_behind(" of times")
    ids, _ = tokenizer.with_special([*before, before[0], *behind])
    fates = [-1] * len(ids)
    fates[1 + len(before)] = MASKED
    asked = {"at": "masked/model", "ids": ids, "fates": fates, "strangers": ids}
    found, tensors = frame(studio.post(f"{API}/fill", json=asked))
    assert [text for text, _ in answers] == found["guess_texts"][0][:5]
    np.testing.assert_allclose([one for _, one in answers], tensors["probabilities"][0][:5], rtol=1e-4)
    assert tensors["attention"].shape == (2, 4, 1, len(ids))
    np.testing.assert_allclose(tensors["attention"].sum(-1) / 255, 1, atol=0.05)


def test_every_fate_is_in_the_users_hand(studio, masked_run) -> None:
    hidden, _ = frame(studio.post(f"{API}/hide", json={"at": "masked", "text": TEXT, "rate": 0.4, "seed": 1}))
    chosen = [place for place, fate in enumerate(hidden["fates"]) if fate != -1]
    assert len(chosen) == round(0.4 * sum(hidden["ordinary"]))
    asked = {"at": "masked", "ids": hidden["ids"], "strangers": hidden["strangers"]}
    for fate in (MASKED, REPLACED, KEPT):
        fates = [-1] * len(hidden["ids"])
        fates[chosen[0]] = fate
        found, _ = frame(studio.post(f"{API}/fill", json=asked | {"fates": fates}))
        mask = hidden["texts"].index(hidden["mask"]) if hidden["mask"] in hidden["texts"] else None
        assert mask is None
        read = found["read_texts"][chosen[0]]
        assert read == (
            hidden["mask"], hidden["stranger_texts"][chosen[0]], hidden["texts"][chosen[0]],
        )[fate]  # fmt: skip
        assert found["rows"] == [chosen[0]]
        assert found["loss"][0] == pytest.approx(-math.log(found["truth"][0]))


def test_influence_of_an_encoder_is_what_hiding_changes(tiny, tokenizer) -> None:
    loaded = loaded_of(tiny, tokenizer, "headstart-encoder", "masked")
    ids = tokenizer.with_special(tokenizer.encode("It was the best"))[0]
    _, found = masking.influence(loaded, ids, [-1] * len(ids))
    mask, i, j = tokenizer.special.mask, 2, 3

    def loss(hidden: set[int]) -> float:
        row = torch.tensor([[mask if n in hidden else index for n, index in enumerate(ids)]])
        with torch.no_grad():
            return -float(loaded.model.logits(loaded.model(row)[0, i]).log_softmax(-1)[ids[i]])

    assert found["influence"][j, i] == pytest.approx(loss({i, j}) - loss({i}), abs=1e-4)
    assert found["alone"][i] == pytest.approx(loss({i}), abs=1e-4)
    assert np.isnan(found["influence"][0]).all()
    assert np.isnan(np.diag(found["influence"])).all()


def test_influence_of_a_decoder_comes_from_the_left_alone(tiny, tokenizer) -> None:
    loaded = loaded_of(tiny, tokenizer, "headstart-decoder", "causal")
    ids = tokenizer.with_special(tokenizer.encode("It was the best of"))[0]
    _, found = masking.influence(loaded, ids, [-1] * len(ids))
    j, i = 2, 4

    def loss(row: list[int]) -> float:
        with torch.no_grad():
            scores = loaded.model.logits(loaded.model(torch.tensor([row]))[0, -1])
        return -float(scores.log_softmax(-1)[ids[i]])

    left = ids[:i]
    assert found["influence"][j, i] == pytest.approx(loss(left[:j] + left[j + 1 :]) - loss(left), abs=1e-4)
    assert np.isnan(found["influence"][np.tril_indices(len(ids))]).all()


def test_a_decoder_fills_from_the_left(tiny, tokenizer) -> None:
    loaded = loaded_of(tiny, tokenizer, "headstart-decoder", "causal")
    ids = tokenizer.with_special(tokenizer.encode(TEXT))[0]
    fates = [-1] * len(ids)
    fates[5] = MASKED
    with torch.no_grad():
        fields, tensors = masking.fill(loaded, ids, fates, [0] * len(ids))
        chances = loaded.model.logits(loaded.model(torch.tensor([ids[:5]]))[0, -1]).softmax(-1)
    assert fields["truth"][0] == pytest.approx(float(chances[ids[5]]), rel=1e-4)
    assert (tensors["attention"][..., 5:] == 0).all()


def test_gaps_are_chosen_for_a_decoder_without_a_mask_token() -> None:
    """Llama's tokenizers have none; the places are those that an encoder's collator would choose."""
    loaded = load("headstart-mini-decoder").loaded
    assert loaded.tokenizer.special.mask is None
    fields, _ = masking.hide(loaded, TEXT, 0.4, False, FATES, 3.0, 1)
    chosen = [place for place, fate in enumerate(fields["fates"]) if fate == MASKED]
    assert set(fields["fates"]) == {MASKED, masking.NONE}
    assert len(chosen) == round(0.4 * sum(fields["ordinary"]))
    with torch.no_grad():
        filled, _ = masking.fill(loaded, fields["ids"], fields["fates"], fields["strangers"])
    assert filled["targets"] == [fields["ids"][place] for place in chosen if place]


def test_spans_of_an_encoder_decoder(tiny, kinds) -> None:
    """Sentinels stand in the source, each with its tokens in the answer; a source token's worth is what its
    absence changes."""
    tokenizer = kinds["t5"]
    loaded = loaded_of(tiny, tokenizer, "t5", "text-to-text")
    with torch.no_grad():
        hidden, _ = masking.hide(loaded, TEXT, 0.3, False, (0.8, 0.1, 0.1), 2.0, 0)
        fields, tensors = masking.fill(loaded, hidden["ids"], hidden["fates"], hidden["strangers"])
    chosen = [ids for ids, fate in zip(hidden["ids"], hidden["fates"], strict=True) if fate == MASKED]
    sentinels = set(tokenizer.special.sentinels)
    answers = [one for one in fields["targets"] if one not in sentinels][:-1]
    assert answers == chosen
    assert len([one for one in fields["reads"] if one in sentinels]) == len(fields["targets"]) - 1 - len(
        chosen
    )
    assert tensors["attention"].shape[2:] == (len(fields["targets"]), len(fields["reads"]))
    _, worth = masking.influence(loaded, hidden["ids"], hidden["fates"])
    assert worth["influence"].shape == (len(fields["reads"]), len(fields["targets"]))


def test_sentences_are_of_the_held_out_text(studio, studio_root, masked_run) -> None:
    answer = studio.get(f"{API}/sentences", params={"at": "masked"}).json()
    assert answer["objective"]["kind"] == "masked"
    assert answer["tokens"] == "tokens"
    assert len(answer["sentences"]) > 3
    assert studio.get(f"{API}/sentences", params={"at": "masked/model"}).json()["sentences"] == []


def test_what_cannot_be_hidden_is_said(studio, tiny, tokenizer, masked_run) -> None:
    for change, said in (
        ({"text": ""}, "nothing to hide"), ({"text": "word " * 200}, "shorten the text"),
    ):  # fmt: skip
        answer = studio.post(f"{API}/hide", json={"at": "masked", "text": TEXT} | change)
        assert answer.status_code == 400
        assert said in answer.json()["error"]["message"]
    answer = studio.post(f"{API}/fill", json={"at": "masked", "ids": [5], "fates": [-1], "strangers": [5]})
    assert "nothing is hidden" in answer.json()["error"]["message"]
