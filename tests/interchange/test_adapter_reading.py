"""Adapters of PEFT's kinds: its logits, or a refusal."""

import json
import os
import shutil

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import peft
import pytest
import torch
import transformers
from published_models import make, publish

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model

ROWS = torch.randint(5, 300, (2, 12), generator=torch.Generator().manual_seed(2))
HEADS = {"llama": "ForCausalLM", "gpt2": "LMHeadModel", "bert": "ForMaskedLM"}


@pytest.fixture
def adapted(kinds, tmp_path):
    """An adapter that PEFT wrote, moved away from its beginning, and PEFT's logits with it."""

    def write(model_type="llama", tied=False, bare=False, **settings):
        tied |= model_type == "bert"
        head = "" if bare else HEADS[model_type]
        model, tokenizer = make(model_type, kinds, head, tie_word_embeddings=tied)
        base = publish(tmp_path / "base", model, tokenizer)
        kind = getattr(transformers, type(model).__name__)
        given = {
            "task_type": "CAUSAL_LM",
            "r": 4,
            "lora_alpha": 10,
            "target_modules": ["q_proj", "down_proj"],
        }
        begun = peft.get_peft_model(kind.from_pretrained(base), peft.LoraConfig(**given | settings))
        random = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for weight in begun.parameters():
                if weight.requires_grad:
                    weight.add_(torch.randn(weight.shape, generator=random) * 0.05)
        begun.save_pretrained(tmp_path / "adapter")
        again = peft.PeftModel.from_pretrained(kind.from_pretrained(base), tmp_path / "adapter").eval()
        with torch.no_grad():
            outputs = again(input_ids=ROWS)
        return tmp_path / "adapter", outputs[0] if bare else outputs.logits

    return write


def logits(folder):
    loaded = load_model(folder)
    with torch.no_grad():
        return loaded.model.eval().logits(loaded.model(ROWS))


KINDS = {
    "plain": {},
    "pissa": {"init_lora_weights": "pissa"},
    "olora": {"init_lora_weights": "olora"},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "dora": {"use_dora": True},
    "dora on pissa": {"use_dora": True, "init_lora_weights": "pissa"},
    "rslora": {"use_rslora": True},
    "patterns": {
        "target_modules": "all-linear",
        "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.down_proj": 6, "^model.layers.0.self_attn.v_proj": 3},
        "alpha_pattern": {"q_proj": 7, "layers.0.self_attn.k_proj": 20},
    },
    "pissa with patterns": {
        "init_lora_weights": "pissa",
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"q_proj": 7},
    },
    "some layers": {"layers_to_transform": [1]},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "output": {"target_modules": ["lm_head", "q_proj"]},
    "pissa on the output": {"target_modules": ["lm_head"], "init_lora_weights": "pissa"},
    "both": {"target_modules": ["lm_head", "embed_tokens"]},
    "norms saved": {"modules_to_save": ["norm"]},
    "embedding saved": {"modules_to_save": ["embed_tokens"]},
    "output saved": {"modules_to_save": ["lm_head"]},
    "both saved": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "tied on purpose": {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
}


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("name", KINDS)
def test_llama(adapted, name, tied) -> None:
    folder, right = adapted(tied=tied, **KINDS[name])
    found = logits(folder)
    assert float((found - right).abs().max() / right.abs().max()) < 1e-4


@pytest.mark.parametrize("name", ["plain", "pissa", "dora", "embedding", "output"])
def test_gpt2_whose_matrices_are_stored_inputs_first(adapted, name) -> None:
    settings = KINDS[name] | {"target_modules": ["c_attn", "c_proj"]}
    if name in ("embedding", "output"):
        settings["target_modules"] = ["wte" if name == "embedding" else "lm_head", "c_attn"]
    folder, right = adapted("gpt2", tied=True, **settings)
    found = logits(folder)
    assert float((found - right).abs().max() / right.abs().max()) < 1e-4


@pytest.mark.parametrize("bias", ["all", "lora_only"])
def test_biases_that_were_learned(adapted, bias) -> None:
    folder, right = adapted("gpt2", tied=True, target_modules=["c_attn"], bias=bias)
    found = logits(folder)
    assert float((found - right).abs().max() / right.abs().max()) < 1e-4


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("init_lora_weights", "pissa_niter_4"),
        ("init_lora_weights", "loftq"),
        ("init_lora_weights", "corda"),
        ("layer_replication", [[0, 2], [1, 2]]),
        ("alora_invocation_tokens", [1, 2]),
        ("target_parameters", ["x"]),
        ("trainable_token_indices", [1]),
        ("lora_bias", True),
        ("use_something_new", True),
    ],
)
def test_what_is_not_computed_is_refused_by_name(adapted, setting, value) -> None:
    folder, _ = adapted()
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {setting: value}))
    with pytest.raises(HeadstartError, match=f"{setting}=.*merge it with PEFT"):
        load_model(folder)


@pytest.mark.parametrize("head", ["causal", "masked"])
def test_an_adapter_without_a_task_has_the_head_of_its_base(adapted, kinds, tmp_path, head) -> None:
    model_type, modules = {"causal": ("llama", ["q_proj"]), "masked": ("bert", ["query", "dense"])}[head]
    folder, right = adapted(model_type, task_type=None, target_modules=modules)
    assert load_model(folder).head == head
    found = logits(folder)
    assert float((found - right).abs().max() / right.abs().max()) < 1e-4


def test_features_of_an_encoder_as_its_base_pools_them(adapted, tmp_path) -> None:
    folder, _ = adapted("bert", task_type="FEATURE_EXTRACTION", target_modules=["query"], bare=True)
    (tmp_path / "base" / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True}
    (tmp_path / "base" / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    loaded = load_model(folder)
    assert loaded.head == "features"
    assert loaded.vectors is not None
    assert loaded.vectors.pooling == ("cls",)
    base = transformers.BertModel.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        right = peft.PeftModel.from_pretrained(base, folder).eval()(input_ids=ROWS).last_hidden_state
        found = loaded.model.eval()(ROWS)
    assert float((found - right).abs().max() / right.abs().max()) < 1e-4


@pytest.mark.parametrize("count", [3, 2])
def test_labels_are_those_of_a_base_that_names_as_many(kinds, tmp_path, count) -> None:
    names = {0: "bad", 1: "good", 2: "so"}
    model, tokenizer = make("bert", kinds, "ForSequenceClassification", num_labels=count)
    base = publish(tmp_path / "base", model, tokenizer, lambda fields: fields.update(id2label=names))
    config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query"])
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "adapter")
    said = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    said["base_model_name_or_path"] = str(base)
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(said))
    expected = list(names.values()) if count == 3 else ["LABEL_0", "LABEL_1"]
    assert load_model(tmp_path / "adapter").labels == expected


def test_what_lies_beside_an_adapter(adapted, tmp_path) -> None:
    """A tokenizer is the adapter's own, its template too; a config.json is the base's once more."""
    folder, right = adapted()
    shutil.copy(tmp_path / "base" / "config.json", folder)
    shutil.copy(tmp_path / "base" / "tokenizer.json", folder)
    config = json.loads((tmp_path / "base" / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"chat_template": "mine"}))
    found = logits(folder)
    assert float((found - right).abs().max() / right.abs().max()) < 1e-4
    assert load_model(folder).tokenizer.config["chat_template"] == "mine"


def test_tokens_that_were_added_for_fine_tuning(kinds, tmp_path) -> None:
    model, tokenizer = make("llama", kinds, "ForCausalLM")
    base = publish(tmp_path / "base", model, tokenizer)
    begun = transformers.LlamaForCausalLM.from_pretrained(base)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    begun.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    settings = {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}
    adapter = peft.get_peft_model(begun, peft.LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
    adapter.save_pretrained(tmp_path / "adapter")
    tokenizer.save_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        right = adapter(input_ids=ROWS).logits
    found = logits(tmp_path / "adapter")
    assert found.shape[-1] == len(tokenizer)
    assert float((found - right).abs().max() / right.abs().max()) < 1e-4


def test_tokens_that_learn_alone_are_refused(adapted) -> None:
    folder, _ = adapted(trainable_token_indices={"embed_tokens": [3, 5]})
    with pytest.raises(HeadstartError, match=r"trainable_token_indices|does not know"):
        load_model(folder)
