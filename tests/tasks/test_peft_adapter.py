"""LoRA adapters: what we write PEFT loads, what PEFT writes we load, and both give the same logits."""

import json
import os
import shutil

import numpy as np
import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import peft
import transformers

from headstart.api import Model
from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model, save_model
from headstart.interchange.transfer import export_model
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.kinds.packing import pack

LORA = FinetuneRecipe(adapt="lora", min_steps=4, max_steps=4, max_tokens=32, learning_rate=0.05, lora_rank=3)
HEADS = {"classification": "SequenceClassification", "tagging": "TokenClassification"}
HEAD_MODULES = {"t5": ["classification_head"], "bert": ["pooler", "classifier"]}
PRETRAINED = {"decoder": "causal", "encoder": "masked", "encoder-decoder": "text-to-text"}
FAMILIES = {
    "classification": ["bert", "roberta", "headstart-encoder", "gpt2", "gpt3", "llama", "t5", "bart"],
    "tagging": ["bert", "headstart-encoder", "gpt2", "llama", "t5"],
}


@pytest.fixture
def base(request, tmp_path, tiny, tokenizer):
    """The folder of a tiny pre-trained model of the family asked for."""

    def make(family):
        offset = tokenizer.special.pad + 1 if family == "roberta" else 0
        sizes = {"position_offset": offset} if offset else {}
        model = tiny(family, **sizes)
        head = PRETRAINED[model.config.architecture]
        save_model(tmp_path / "base", model, tokenizer, head, "# Base")
        return tmp_path / "base"

    return make


def logits_of(model, tokenizer, pieces) -> list[np.ndarray]:
    """Of a transformers model, for each piece alone."""
    pad = tokenizer.special.pad
    model.config.pad_token_id = pad
    with torch.no_grad():
        return [model.eval()(torch.from_numpy(piece.ids)[None]).logits[0].numpy() for piece in pieces]


def ours(predictor, inputs) -> list[np.ndarray]:
    pieces = predictor.kind.encode(predictor.tokenizer, inputs, predictor.max_tokens)
    with torch.no_grad():
        found = predictor.model(pack(pieces, predictor.tokenizer.special.pad or 0)).numpy()
    return predictor.by_piece(found, pieces)


def same(predictor, theirs, examples):
    inputs = examples.inputs[:6]
    pieces = predictor.kind.encode(predictor.tokenizer, inputs, predictor.max_tokens)
    for piece, own, other in zip(
        pieces, ours(predictor, inputs), logits_of(theirs, predictor.tokenizer, pieces), strict=True
    ):
        other = other[piece.heads] if predictor.model.reads_each else other
        assert np.abs(own - other).max() < 2e-4 * max(1.0, np.abs(own).max())


@pytest.mark.parametrize(
    ("task", "family"), [(task, family) for task, families in FAMILIES.items() for family in families]
)
def test_peft_loads_what_we_wrote(tmp_path, base, request, task, family):
    examples = request.getfixturevalue("places" if task == "classification" else "speech")
    folder = base(family)
    predictor = finetune(load_model(folder), examples, LORA, seed=0)
    assert predictor.changes
    predictor.save_adapter(tmp_path / "adapter", "# Adapter")
    before = {n: t.clone() for n, t in load_model(folder).model.state_dict().items()}
    auto = getattr(transformers, f"AutoModelFor{HEADS[task]}")
    model = auto.from_pretrained(folder, num_labels=len(predictor.labels), attn_implementation="eager")
    adapted = peft.PeftModel.from_pretrained(model, tmp_path / "adapter")
    same(predictor, adapted, examples)
    again = Model(load_model(tmp_path / "adapter")).predictor
    assert again.labels == predictor.labels
    assert again.facts == predictor.facts
    for mine, reloaded in zip(
        ours(predictor, examples.inputs[:6]), ours(again, examples.inputs[:6]), strict=True
    ):
        assert np.allclose(mine, reloaded, atol=1e-5)
    assert all(torch.equal(t, before[n]) for n, t in load_model(folder).model.state_dict().items())


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_peft_loads_models_that_write(tmp_path, base, places, family):
    examples = Examples("classification", places.inputs, places.targets, in_words=True)
    folder = base(family)
    predictor = finetune(load_model(folder), examples, LORA.model_copy(update={"max_tokens": 60}), seed=0)
    predictor.save_adapter(tmp_path / "adapter", "# Adapter")
    auto = transformers.AutoModelForSeq2SeqLM if family == "t5" else transformers.AutoModelForCausalLM
    adapted = peft.PeftModel.from_pretrained(auto.from_pretrained(folder), tmp_path / "adapter").eval()
    body = predictor.model.body
    ids = torch.arange(5, 45).reshape(2, 20)
    with torch.no_grad():
        if family == "t5":
            theirs = adapted(input_ids=ids, decoder_input_ids=ids).logits
            states = body(ids, encoder_states=body.encode(ids))
        else:
            theirs, states = adapted(ids).logits, body(ids)
        own = body.logits(states)
    assert torch.allclose(own, theirs, atol=2e-4 * float(theirs.abs().max()))
    again = Model(load_model(tmp_path / "adapter"))
    assert again.predict(places.inputs[:3]) == [
        answer | {} for answer in predictor.answers(places.inputs[:3])
    ]


@pytest.mark.parametrize(
    ("family", "targets"),
    [("bert", ["query", "value"]), ("gpt2", ["c_attn"]), ("llama", "all-linear"), ("t5", ["q", "v", "wo"])],
)
def test_we_load_what_peft_wrote(tmp_path, base, places, family, targets):
    folder = base(family)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    settings = peft.LoraConfig(
        task_type="SEQ_CLS", r=4, lora_alpha=10, target_modules=targets, use_rslora=family == "llama",
        rank_pattern={"query": 2}, alpha_pattern={"query": 7}, init_lora_weights=False,
        modules_to_save=HEAD_MODULES.get(family),
    )  # fmt: skip
    adapted = peft.get_peft_model(model, settings)
    adapted.save_pretrained(tmp_path / "adapter")
    predictor = Model(load_model(tmp_path / "adapter")).predictor
    assert predictor.labels == ["LABEL_0", "LABEL_1"]
    same(predictor, adapted, places)


def test_an_adapter_becomes_a_model_folder(tmp_path, base, places):
    """Export merges it, for programs that read no adapters."""
    predictor = finetune(load_model(base("gpt2")), places, LORA, seed=0)
    predictor.save_adapter(tmp_path / "adapter", "# Adapter")
    export_model(tmp_path / "adapter", tmp_path / "merged")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "merged")
    same(predictor, model, places)
    assert model.config.id2label == {0: "home", 1: "sea"}
    merged = Model(load_model(tmp_path / "merged")).predictor
    assert merged.facts == predictor.facts


def test_an_adapter_without_what_its_head_needs(tmp_path, base, places):
    """PEFT saves BERT's classifier, but not the pooler before it, which a masked model comes without."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base("bert"), num_labels=2)
    adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query"]))
    adapted.save_pretrained(tmp_path / "adapter")
    with pytest.raises(HeadstartError, match="lacks the weights \\['pooler"):
        load_model(tmp_path / "adapter")


def test_an_adapter_of_parts(tmp_path, base, places):
    """Of a stacked matrix one part alone can change."""
    folder = base("gpt2")
    recipe = LORA.model_copy(update={"lora_targets": ["value", "down"]})
    predictor = finetune(load_model(folder), places, recipe, seed=0)
    predictor.save_adapter(tmp_path / "adapter", "# Adapter")
    changed = load_model(tmp_path / "adapter").model.state_dict()
    for name, before in load_model(folder).model.state_dict().items():
        its = name.endswith(("value.weight", "down.weight"))
        assert torch.equal(before, changed[name]) is not its, name


def test_adapters_that_do_not_fit(tmp_path, base, places, tiny, tokenizer):
    folder = base("bert")
    predictor = finetune(load_model(folder), places, LORA, seed=0)
    adapter = tmp_path / "adapter"
    predictor.save_adapter(adapter, "# Adapter")
    settings = json.loads((adapter / "adapter_config.json").read_text())

    def write(**changes):
        (adapter / "adapter_config.json").write_text(json.dumps(settings | changes))

    save_model(tmp_path / "wide", tiny("bert", width=48), tokenizer, "masked", "# Wide")
    write(base_model_name_or_path=str(tmp_path / "wide"))
    with pytest.raises(HeadstartError, match="belongs to another model"):
        load_model(adapter)
    save_model(tmp_path / "short", tiny("bert", layers=1), tokenizer, "masked", "# Short")
    write(base_model_name_or_path=str(tmp_path / "short"))
    with pytest.raises(HeadstartError, match="does not have; the adapter belongs to another"):
        load_model(adapter)
    write(base_model_name_or_path="somebody/bert")
    with pytest.raises(HeadstartError, match="'somebody/bert', which is no folder here"):
        load_model(adapter)
    write(peft_type="IA3")
    with pytest.raises(HeadstartError, match="is for IA3"):
        load_model(adapter)
    write(use_dora=True)
    with pytest.raises(HeadstartError, match="use_dora"):
        load_model(adapter)
    write()
    own = json.loads((adapter / "headstart.json").read_text())
    (adapter / "headstart.json").write_text(json.dumps(own | {"head": "hat"}))
    with pytest.raises(HeadstartError, match="has a head for 'hat', and a bert model has none"):
        load_model(adapter)
    (adapter / "headstart.json").write_text(json.dumps(own))
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(HeadstartError, match="pickle"):
        load_model(adapter)
    full = finetune(load_model(folder), places, LORA.model_copy(update={"adapt": "full"}), seed=0)
    with pytest.raises(HeadstartError, match="adapt=lora"):
        full.save_adapter(tmp_path / "other", "# Card")
    shutil.rmtree(folder)
    with pytest.raises(HeadstartError, match="no folder here"):
        load_model(adapter)
