"""Tiny random models of transformers, and the same folders read by headstart."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.tokenizer.train import TokenizerRecipe, train

VOCABULARY, CONTEXT = 600, 64
PROMPTS = ["The king", "It is a truth universally acknowledged, that a single man", "Once upon a time"]


def tiny_model(family: str) -> PreTrainedModel:
    size: dict[str, Any] = {"vocab_size": VOCABULARY}
    if family == "gpt2":
        config = transformers.GPT2Config(n_positions=CONTEXT, n_embd=24, n_layer=2, n_head=3, **size)
        return transformers.GPT2LMHeadModel(config)
    if family == "llama":
        config = transformers.LlamaConfig(
            hidden_size=24,
            intermediate_size=40,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            **size,
        )
        return transformers.LlamaForCausalLM(config)
    if family == "t5":
        size |= {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
        config = transformers.T5Config(d_model=24, d_kv=6, d_ff=40, num_layers=2, num_heads=4, **size)
        return transformers.T5ForConditionalGeneration(config)
    sizes = {f"{side}_{part}": number for side in ("encoder", "decoder") for part, number in _BART.items()}
    config = transformers.BartConfig(d_model=24, max_position_embeddings=CONTEXT, **sizes, **size)
    return transformers.BartForConditionalGeneration(config)


_BART = {"layers": 2, "attention_heads": 4, "ffn_dim": 40}
TOKENIZERS = {"gpt2": "gpt2", "llama": "llama2", "t5": "t5", "bart": "bart"}


@dataclass
class Twins:
    """One folder, read by both."""

    ours: LoadedModel | None
    theirs: PreTrainedModel
    reader: PreTrainedTokenizerFast

    def write(self, prompts: list[str], **settings: Any) -> list[list[int]]:
        """What transformers writes for a batch: the ids of each row up to the one that ends it."""
        if self.reader.pad_token_id is None:
            self.reader.pad_token = self.reader.eos_token
        decoder = not self.theirs.config.is_encoder_decoder
        batch = self.reader(
            prompts, padding=True, padding_side="left" if decoder else "right", return_tensors="pt"
        )
        batch.pop("token_type_ids", None)
        settings = {"do_sample": False, "pad_token_id": self.reader.pad_token_id} | settings
        ids = self.theirs.generate(**batch, **settings)
        written = ids[:, batch["input_ids"].shape[1] if decoder else 1 :].tolist()
        stop = self.theirs.generation_config.eos_token_id
        stop = [stop] if isinstance(stop, int) else stop
        ends = [next((place for place, id in enumerate(row) if id in stop), len(row)) for row in written]
        return [row[:end] for row, end in zip(written, ends, strict=True)]


def make_twins(family: str, texts: list[str], root: Path) -> Twins:
    """A tiny random model and a tokenizer trained on `texts`, in a folder under `root`."""
    kind = TOKENIZERS[family]
    tokenizer = train(texts, TokenizerRecipe(kind=kind, vocab_size=VOCABULARY), root / "tokenizer")
    torch.manual_seed(0)
    theirs = tiny_model(family).eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    theirs.save_pretrained(root / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(root / "tokenizer" / name, root / "model" / name)
    reader = AutoTokenizer.from_pretrained(root / "model")
    special = tokenizer.special
    theirs.generation_config.update(
        bos_token_id=special.start,
        eos_token_id=[special.end],
        pad_token_id=special.pad,
        decoder_start_token_id={"t5": special.pad, "bart": special.end}.get(family),
        suppress_tokens=[],
    )
    # Random models seldom end their texts: let some of the tokens end them that they like to write.
    twins = Twins(None, theirs, reader)
    rows = [row for beams in (1, 4) for row in twins.write(PROMPTS, max_new_tokens=24, num_beams=beams)]
    liked = {token for row in rows for token in row[5:]} - {token for row in rows for token in row[:3]}
    theirs.generation_config.eos_token_id += sorted(liked)[:3]
    theirs.save_pretrained(root / "model")
    return Twins(load_model(root / "model"), theirs, reader)
