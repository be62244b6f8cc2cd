"""Words into gaps: what the encoder says at the masks, whatever its family's mask token."""

import math

import pytest
import torch
import transformers
from transformers import AutoTokenizer

from headstart.errors import HeadstartError
from headstart.generation.fill_mask import fill_mask
from headstart.generation.text import Generated
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.models.registry import make_config
from headstart.models.transformer import build
from headstart.tokenizer.train import TokenizerRecipe, train

SIZES = {"vocab_size": 600, "layers": 2, "width": 32, "heads": 4, "feedforward_width": 48}


@pytest.fixture(scope="module")
def encoder(tiny, tokenizer) -> LoadedModel:
    return LoadedModel(tiny("headstart-encoder"), tokenizer, "masked")


def test_it_looks_at_the_gap(encoder) -> None:
    tokenizer, model = encoder.tokenizer, encoder.model
    (answers,) = fill_mask(encoder, "the <mask> of France", count=700)
    assert len(answers) == 600
    assert sum(chance for _, chance in answers) == pytest.approx(1, abs=1e-4)
    assert [chance for _, chance in answers] == sorted((chance for _, chance in answers), reverse=True)
    ids = [0, *tokenizer.encode("the"), 3, *tokenizer.encode(" of France"), 1]
    with torch.no_grad():
        chances = model.logits(model(torch.tensor([ids])))[0, ids.index(3)].softmax(-1)
    best = int(chances.argmax())
    assert answers[0] == (tokenizer.token_text(best), pytest.approx(float(chances.max()), rel=1e-5))


@pytest.mark.parametrize(
    ("family", "kind", "text"),
    [
        ("bert", "bert", "The [MASK] of [MASK] and the king."),
        ("roberta", "roberta", "The <mask> of<mask> and the king."),
        ("headstart-encoder", "headstart", "The<mask> of<mask> and the king."),
    ],
)
def test_several_gaps_as_in_transformers(documents, tmp_path, family, kind, text) -> None:
    texts = [document["text"] for document in documents[::5]]
    tokenizer = train(texts, TokenizerRecipe(kind=kind, vocab_size=600), tmp_path / "tokenizer")
    model = build(make_config(family, {"context": 64} | SIZES), seed=0)
    save_model(tmp_path / "model", model, tokenizer, "masked", "card")
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "model").eval()
    reader = AutoTokenizer.from_pretrained(tmp_path / "model")
    batch = reader(text, return_tensors="pt")
    with torch.no_grad():
        chances = theirs(**batch).logits.softmax(-1)[batch["input_ids"] == reader.mask_token_id]
    gaps = fill_mask(load_model(tmp_path / "model"), text, count=3)
    assert len(gaps) == len(chances) == 2
    for answers, own in zip(gaps, chances, strict=True):
        best = own.topk(3)
        assert [chance for _, chance in answers] == pytest.approx(best.values.tolist(), rel=1e-4)
        assert [word for word, _ in answers] == [
            tokenizer.token_text(index) for index in best.indices.tolist()
        ]


def test_what_cannot_be_filled(encoder, tiny, tokenizer) -> None:
    with pytest.raises(HeadstartError, match="has no <mask>; write it"):
        fill_mask(encoder, "no gap")
    with pytest.raises(HeadstartError, match="count=0"):
        fill_mask(encoder, "a <mask>", count=0)
    for head, words in (
        ("causal", "it is a decoder"),
        ("text-to-text", "use generate"),
        ("features", "no output over the vocabulary"),
        ("classification", "fine-tuned for classification"),
    ):
        with pytest.raises(HeadstartError, match=f"cannot fill gaps: .*{words}"):
            fill_mask(LoadedModel(tiny("headstart-encoder"), tokenizer, head), "a <mask>")


def test_an_encoder_decoder_writes_spans(documents, tiny, tmp_path, monkeypatch):
    recipe = TokenizerRecipe(kind="t5", vocab_size=700)
    tokenizer = train((d["text"] for d in documents), recipe, tmp_path / "t5")
    loaded = LoadedModel(tiny("t5", vocab_size=tokenizer.vocab_size), tokenizer, "text-to-text")
    first, second = tokenizer.special.sentinels[:2]
    sea, house = tokenizer.encode("sea"), tokenizer.encode("old house")
    asked = []

    def writes(loaded, prompts, config):
        asked.extend(prompts)
        ids = [first, *sea, second, *house]
        return [Generated("", ids, "stop", [-0.5] * len(ids))]

    monkeypatch.setattr("headstart.generation.fill_mask.generate", writes)
    gaps = fill_mask(loaded, "the <mask> and the <mask> of")
    assert [gap[0][0].strip() for gap in gaps] == ["sea", "old house"]
    assert gaps[0][0][1] == pytest.approx(math.exp(-0.5 * len(sea)))
    source = [
        *tokenizer.encode("the "),
        first,
        *tokenizer.encode(" and the "),
        second,
        *tokenizer.encode(" of"),
    ]
    assert asked == [tokenizer.with_special(source)[0]]
    monkeypatch.undo()
    assert len(fill_mask(loaded, "the <mask> and <extra_id_1>")) == 2
    with pytest.raises(HeadstartError, match="the text has 0 gaps"):
        fill_mask(loaded, "no gap")
