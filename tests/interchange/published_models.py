"""Folders as transformers writes them, with random weights, and then changed as published ones differ."""

import json
import os
import shutil

os.environ.setdefault("HF_HUB_OFFLINE", "1")
import torch
import transformers
from safetensors.torch import load_file, save_file

transformers.utils.logging.disable_progress_bar()
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}
SHAPES = {
    "bert": ("Bert", SIZES, "bert"),
    "roberta": ("Roberta", SIZES | {"max_position_embeddings": 66, "type_vocab_size": 1}, "roberta"),
    "gpt2": ("GPT2", GPT2, "gpt2"),
    "llama": ("Llama", SIZES | {"num_key_value_heads": 2}, "llama3"),
    "bart": ("Bart", BART, "bart"),
    "t5": ("T5", {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}, "t5"),
}
"""Model type: transformers' name, sizes, and kind of our tokenizers."""


def make(model_type, kinds, head="", **more):
    """A model of transformers and the tokenizer that belongs to it; `head` as in `BertForMaskedLM`."""
    name, sizes, kind = SHAPES[model_type]
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(kinds[kind].path.parent)
    ids = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "pad")}
    if model_type == "t5":
        ids["decoder_start_token_id"] = tokenizer.pad_token_id
    if model_type == "bart":
        ids |= {
            "decoder_start_token_id": tokenizer.eos_token_id,
            "forced_eos_token_id": tokenizer.eos_token_id,
        }
    config = getattr(transformers, f"{name}Config")(**{"vocab_size": len(tokenizer)} | sizes | ids | more)
    model = getattr(transformers, name + (head or "Model"))(config)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn(parameter.shape, generator=random) * 0.2)
            else:
                parameter.add_(torch.randn(parameter.shape, generator=random) * 0.1)
    model.tie_weights()
    return model.eval(), tokenizer


def publish(folder, model, tokenizer, config=None, weights=None, generation=None):
    """Write both; then change `config.json` and the tensors by functions, and `generation_config.json`.

    Args:
        generation: a whole file; False for none.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if config is not None:
        fields = json.loads((folder / "config.json").read_text())
        config(fields)
        (folder / "config.json").write_text(json.dumps(fields))
    if weights is not None:
        tensors = weights(load_file(folder / "model.safetensors"))
        save_file(
            {k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
        )
    if generation is False:
        (folder / "generation_config.json").unlink(missing_ok=True)
    elif generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder
