"""What is served: GPT-2 small, and an encoder of MiniLM's shape, both with random weights."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from headstart.interchange.model_folder import LoadedModel, save_model
from headstart.interchange.transfer import export_model
from headstart.models.registry import make_config, preset_config
from headstart.models.transformer import build
from headstart.tasks.facts import TaskFacts
from headstart.tasks.model import TaskModel
from headstart.tasks.predictor import Predictor
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.train import TokenizerRecipe, train

END = "<|endoftext|>"
VOCABULARY = 50_257
MINILM = {
    "layers": 6,
    "width": 384,
    "heads": 12,
    "kv_heads": 12,
    "feedforward_width": 1536,
    "context": 512,
}
WORDS = ["ship", "harbour", "garden", "waits", "the", "by", "quiet", "old"]


def make_decoder_folder(folder: Path) -> Path:
    """GPT-2 small; its tokens are bytes and 50,000 pairs of bytes, so that every id is some text."""
    letters = pre_tokenizers.ByteLevel.alphabet()
    letters.sort()
    pairs = [(first, second) for first in letters for second in letters][: VOCABULARY - 1 - len(letters)]
    names = [*letters, *("".join(pair) for pair in pairs), END]
    engine = Tokenizer(models.BPE({name: number for number, name in enumerate(names)}, pairs))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    engine.add_special_tokens([END])
    written = folder / "tokenizer"
    written.mkdir(parents=True)
    engine.save(str(written / "tokenizer.json"))
    roles = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END)
    config = {"tokenizer_class": "GPT2TokenizerFast"} | roles
    (written / "tokenizer_config.json").write_text(json.dumps(config))
    model = build(preset_config("gpt2-small"), 0)
    loaded = LoadedModel(model, open_tokenizer(written), "causal")
    save_model(folder / "gpt2", loaded, "GPT-2 small with random weights")
    return folder / "gpt2"


def make_encoder_folder(folder: Path) -> Path:
    """BERT as small as MiniLM-L6, made to embed texts."""
    tokenizer = train([" ".join(WORDS)] * 9, TokenizerRecipe(kind="bert", vocab_size=60), folder / "words")
    body = build(make_config("bert", MINILM | {"vocab_size": tokenizer.vocab_size}), 0)
    model = TaskModel(body, "embedding", 0).eval()
    Predictor(model, tokenizer, [], TaskFacts(max_tokens=512)).save(folder / "minilm", "random weights")
    return folder / "minilm"


def make_gguf(gpt2: Path) -> Path:
    """The decoder as llama.cpp reads it."""
    file = gpt2.parent / "gpt2.gguf"
    export_model(gpt2, file, "gguf", "bfloat16", 1 << 40, False)
    return file


def make_onnx(minilm: Path) -> Path:
    """The encoder as onnxruntime reads it."""
    folder = minilm.parent / "minilm-onnx"
    export_model(minilm, folder, "onnx", "float32", 1 << 40, False)
    return next(folder.rglob("*.onnx"))
