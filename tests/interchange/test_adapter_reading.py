"""Adapters of PEFT's kinds: its logits, or a refusal."""

import json
import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import peft
import pytest
import torch
import transformers
from published_models import make, publish

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model

ROWS = torch.randint(5, 300, (2, 12), generator=torch.Generator().manual_seed(2))
HEADS = {"llama": "ForCausalLM", "gpt2": "LMHeadModel"}


@pytest.fixture
def adapted(kinds, tmp_path):
    """An adapter that PEFT wrote, moved away from its beginning, and PEFT's logits with it."""

    def write(model_type="llama", tied=False, **settings):
        model, tokenizer = make(model_type, kinds, HEADS[model_type], tie_word_embeddings=tied)
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
            return tmp_path / "adapter", again(input_ids=ROWS).logits

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


def test_tokens_that_learn_alone_are_refused(adapted) -> None:
    folder, _ = adapted(trainable_token_indices={"embed_tokens": [3, 5]})
    with pytest.raises(HeadstartError, match=r"trainable_token_indices|does not know"):
        load_model(folder)
