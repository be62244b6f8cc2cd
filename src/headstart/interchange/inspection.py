"""What of a folder is understood, ignored and unsupported, told before anything is written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from headstart.errors import HeadstartError
from headstart.folder import JSONObject, read_json
from headstart.interchange.model_folder import LoadedModel, load_model
from headstart.interchange.published_config import GENERATION
from headstart.interchange.weights import PICKLES
from headstart.models.registry import family_named
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.published import chat_template

Verdict = Literal["understood", "ignored", "unsupported"]
_READ = {
    *(
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "added_tokens.json",
    ),
    *(
        "special_tokens_map.json",
        "chat_template.jinja",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "modules.json",
    ),
    *("spiece.model", "sentencepiece.bpe.model", "spm.model", "tokenizer.model", "adapter_config.json"),
    *("config_sentence_transformers.json", "sentence_bert_config.json", "headstart.json", "README.md"),
    *("model.safetensors.index.json",),
}
_FORMAL = {  # of config.json: how the file came about, and what is for training alone
    *("architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "_name_or_path"),
    *("initializer_range", "initializer_factor", "use_cache", "id2label", "label2id", "problem_type"),
    *("headstart", "is_encoder_decoder", "gradient_checkpointing", "finetuning_task", "task_specific_params"),
    *("cls_token_id", "sep_token_id", "mask_token_id", "tokenizer_class"),
}


@dataclass(frozen=True)
class Finding:
    """One thing about a folder."""

    part: str
    """What it is about: config, weights, tokenizer, chat, generation, vectors, files."""
    verdict: Verdict
    text: str


def inspect_folder(source: Path) -> list[Finding]:
    """Everything that can be said about a model folder or a GGUF file; nothing is written."""
    try:
        loaded = load_model(source)
    except HeadstartError as error:
        found = [Finding("model", "unsupported", str(error))]
        return found + (_tokenizer_alone(source) + _files(source) if source.is_dir() else [])
    return [
        *_model(loaded),
        *(_config(source, loaded) if source.is_dir() else []),
        *_tokenizer(loaded),
        *_writing(loaded),
        *_vectors(loaded),
        *(_files(source) if source.is_dir() else []),
    ]


def _model(loaded: LoadedModel) -> list[Finding]:
    parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    labels = f", {len(loaded.labels)} labels" if loaded.labels else ""
    text = f"{loaded.model.config.family} for {loaded.head}, {parameters:,} parameters{labels}"
    found = [Finding("model", "understood", text)]
    broken = [name for name, tensor in loaded.model.state_dict().items() if not tensor.isfinite().all()]
    if broken:
        found.append(Finding("weights", "unsupported", f"{broken[0]} holds NaN or infinity"))
    return found


def _config(folder: Path, loaded: LoadedModel) -> list[Finding]:
    file = folder / "config.json"
    if not file.exists():
        return []
    asked = _Asked(read_json(file, JSONObject))
    family_named(loaded.model.config.family).from_hf(asked)
    formal = _FORMAL | (set(GENERATION) if loaded.model.config.generates else set())
    unread = sorted(
        key
        for key, value in asked.items()
        if key not in asked.names | formal and value not in (None, False, 0) and not _about_training(key)
    )
    return [Finding("config", "ignored", f"config.json sets {', '.join(unread)}")] if unread else []


class _Asked(JSONObject):
    """Remembers what it was asked for."""

    def __init__(self, fields: JSONObject) -> None:
        super().__init__(fields)
        self.names: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.names.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return super().get(key, default)


def _about_training(key: str) -> bool:
    return "dropout" in key or "pdrop" in key or "layerdrop" in key or key.endswith("_token_id")


def _tokenizer(loaded: LoadedModel) -> list[Finding]:
    tokenizer, special = loaded.tokenizer, loaded.tokenizer.special
    roles = ("start", "end", "pad", "mask", "unknown", "separator")
    named = [
        f"{role} {tokenizer.tokens[index]}" for role in roles if (index := getattr(special, role)) is not None
    ]
    text = (
        f"{tokenizer.vocab_size:,} tokens from {tokenizer.path.name}; {', '.join(named) or 'no special ones'}"
    )
    return [Finding("tokenizer", "understood", text)]


def _tokenizer_alone(folder: Path) -> list[Finding]:
    try:
        tokenizer = open_tokenizer(folder)
    except HeadstartError as error:
        return [Finding("tokenizer", "unsupported", str(error))]
    return [Finding("tokenizer", "understood", f"{tokenizer.vocab_size:,} tokens from {tokenizer.path.name}")]


def _writing(loaded: LoadedModel) -> list[Finding]:
    if loaded.head not in ("causal", "text-to-text"):
        return []
    tokens = loaded.tokenizer.tokens
    said = loaded.generation.get("eos_token_id", loaded.tokenizer.special.end)
    ends = [said] if isinstance(said, int) else said or []
    shown = ", ".join(tokens[index] for index in ends if 0 <= index < len(tokens))
    found = [Finding("generation", "understood", f"a text ends with {shown or 'no token'}")]
    if ignored := loaded.ignored_settings:
        found.append(Finding("generation", "ignored", f"generation_config.json sets {', '.join(ignored)}"))
    if chat_template(loaded.tokenizer.config) is not None:
        found.append(Finding("chat", "understood", "there is a chat template"))
    return found


def _vectors(loaded: LoadedModel) -> list[Finding]:
    vectors = loaded.vectors
    if vectors is None:
        return []
    layers = "".join(f", {type(layer).__name__}" for layer in vectors.layers)
    prompts = f"; prompts: {', '.join(vectors.prompts)}" if vectors.prompts else ""
    return [Finding("vectors", "understood", f"pooled by {' and '.join(vectors.pooling)}{layers}{prompts}")]


def _files(folder: Path) -> list[Finding]:
    names = sorted(file.name for file in folder.iterdir() if file.is_file() and file.name not in _READ)
    pickles = [name for name in names if Path(name).suffix in PICKLES]
    others = [name for name in names if name not in pickles and not name.endswith(".safetensors")]
    found = []
    if pickles:
        found.append(Finding("files", "ignored", f"pickles are not read: {', '.join(pickles[:5])}"))
    if others:
        more = f" and {len(others) - 5} more" if len(others) > 5 else ""
        found.append(Finding("files", "ignored", f"not read: {', '.join(others[:5])}{more}"))
    return found
