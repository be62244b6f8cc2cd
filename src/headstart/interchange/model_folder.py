"""Model folders: `config.json`, `model.safetensors`, tokenizer and card, as transformers reads them.

There is no format of our own: what is saved here is what `transformers.Auto*.from_pretrained` loads,
and what transformers saved for a family of `models` is read here.
"""

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, overload

import torch
from safetensors.torch import save_file
from torch import Tensor
from typing_extensions import TypedDict

from headstart import __version__
from headstart.errors import HeadstartError, nearest
from headstart.folder import JSONObject, atomic, checked, read_json, write_json
from headstart.interchange import box
from headstart.interchange.adapter_reading import Adapter, is_adapter, read_adapter
from headstart.interchange.gguf_reading import read_gguf
from headstart.interchange.gguf_tokenizer import ends, read_tokenizer
from headstart.interchange.published_config import (
    generation_settings,
    head_of_weights,
    ignored_settings,
    other_kind,
    refuse_quantised,
    with_defaults,
    with_model_type,
    writing_head,
)
from headstart.interchange.sentence_vectors import (
    SentenceVectors,
    body_folder,
    read_sentence_vectors,
    write_sentence_vectors,
)
from headstart.interchange.weights import (
    fit,
    read_outlines,
    read_tensors,
    tensor_names,
    to_hf,
    weight_files,
    write_tensors,
)
from headstart.models.config import TransformerConfig
from headstart.models.family import Family
from headstart.models.registry import FAMILIES, family_named, make_config
from headstart.models.transformer import Transformer
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.folder import holds_tokenizer, open_tokenizer, write_for_transformers

SHARD_BYTES = 5_000_000_000  # as transformers: a larger model is written in several files

ROUND_SIZES = (1, 8, 16, 32, 64, 128)  # multiples to which people pad embeddings

COUNTED_FILE = "counted_words.safetensors"
PIPELINES = {
    "masked": "fill-mask",
    "pretraining": "fill-mask",
    "causal": "text-generation",
    "text-to-text": "text2text-generation",
    "classification": "text-classification",
    "mean-classification": "text-classification",
    "tagging": "token-classification",
    "spans": "question-answering",
    "features": "feature-extraction",
    "encoder-features": "feature-extraction",
}


class Stamp(TypedDict, total=False):
    """What headstart writes into `config.json` for itself: the parts by which a folder is known."""

    family: str
    head: str
    task: str


class NamedFields(TypedDict, total=False):
    """Those fields of `config.json` that say what a model is; its sizes are the family's to read."""

    model_type: str | None
    architectures: list[str] | None
    headstart: Stamp | None
    id2label: JSONObject | None
    problem_type: str | None


@dataclass
class LoadedModel:
    """What a model folder holds."""

    model: Transformer
    tokenizer: Tokenizer
    head: str
    """What the output is: a key of the family's `HEADS`."""
    classifier: dict[str, Tensor] = field(default_factory=dict)
    """Weights of a task head: `weight` `[labels, D]`, `bias` `[labels]`, and those of its dense layer."""
    labels: list[str] = field(default_factory=list)
    metadata: JSONObject = field(default_factory=dict)
    """The `headstart` part of `config.json`: what the task head needs to know."""
    generation: JSONObject = field(default_factory=dict)
    """`generation_config.json`: with which ids a text begins and ends, and the author's settings."""
    problem_type: str = "single_label_classification"
    """What a classifier's scores are: of one label, of several, or numbers (transformers' names)."""
    folder: Path | None = None
    """Where it was read from; None: its weights are those of no one folder, as with an adapter."""
    vectors: SentenceVectors | None = None
    """How the folder makes a vector of a text, where it says so."""
    counted: dict[str, Tensor] = field(default_factory=dict)
    """Of a task model: the linear head on counted words whose scores are added to the network's; `counted`
    in the metadata says how they are counted."""
    mean_is_vector: bool = False
    """Whether the mean of its tokens' states was trained to stand for a text."""
    unfinished: str | None = None
    """Of a checkpoint: which step of how many it stands at, in words; None: the model is finished."""

    @property
    def nameless(self) -> str | None:
        """Why transformers has no class for it, in words; None: it has one."""
        mixes, counts = "mix.weights" in self.classifier, bool(self.counted)
        return nameless(self.model.config.family, self.head, mixes, counts)

    @property
    def ignored_settings(self) -> list[str]:
        """The settings of generation in its folder that would change the text and are not obeyed."""
        return ignored_settings(self.generation, self.model.config.architecture == "encoder-decoder")


@overload
def save_model(
    folder: Path, model: LoadedModel, card: str, /, *, dtype: torch.dtype = ..., shard_bytes: int = ...
) -> None: ...


@overload
def save_model(
    folder: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    head: str,
    card: str,
    /,
    *,
    dtype: torch.dtype = ...,
    shard_bytes: int = ...,
) -> None: ...


def save_model(
    folder: Path,
    model: LoadedModel | Transformer,
    /,
    *described: Any,
    dtype: torch.dtype = torch.float32,
    shard_bytes: int = SHARD_BYTES,
) -> None:
    """Write a model folder, atomically: `save_model(folder, model, card)`.

    Args:
        model: what `load_model` will give; or a Transformer, which its tokenizer and its head (a key of the
            family's `HEADS`) then follow.
        described: the text of the model card last, Markdown without the YAML head.
        dtype: of the weights written.
        shard_bytes: from this size on, several files and an index.

    Raises:
        HeadstartError: the family has no such head, or the tokenizer does not fit the model.
    """
    *parts, card = described
    if isinstance(model, Transformer):
        model = LoadedModel(model, *parts)
    config, tokenizer, head = model.model.config, model.tokenizer, model.head
    family = family_named(config.family)
    if head not in family.heads:
        raise HeadstartError(
            f"a {config.family} model has no head for {head}; it has {', '.join(sorted(family.heads))}"
        )
    check_tokenizer(config, tokenizer)
    with atomic(folder) as temporary:
        temporary.mkdir(parents=True)
        tensors = to_hf(model.model, family, head, model.classifier)
        write_tensors({name: tensor.to(dtype) for name, tensor in tensors.items()}, temporary, shard_bytes)
        if model.counted:
            save_file(model.counted, temporary / COUNTED_FILE)
        fields = _config_fields(model, dtype)
        write_json(temporary / "config.json", fields)
        # safetensors leaves its files readable by their owner alone
        for file in temporary.glob("*.safetensors"):
            shutil.copymode(temporary / "config.json", file)
        if head in ("causal", "text-to-text"):
            ids = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
            kept = {name: fields[name] for name in ids if fields.get(name) is not None}
            write_json(temporary / "generation_config.json", kept | {"do_sample": False} | model.generation)
        write_for_transformers(tokenizer, temporary, config.architecture != "decoder", config.context)
        if model.vectors is not None:
            write_sentence_vectors(temporary, model.vectors, config.width)
        library = "transformers" if "architectures" in fields else "headstart"
        top = f"library_name: {library}\npipeline_tag: {PIPELINES[head]}\ntags: [headstart]"
        (temporary / "README.md").write_text(f"---\n{top}\n---\n\n{card}\n", encoding="utf-8")


def nameless(family: str, head: str, mixes: bool, counts: bool) -> str | None:
    """Why transformers has no class for a model, in words; None: it has one.

    Args:
        mixes: the head reads a mix of all layers.
        counts: scores of counted words are added.
    """
    if counts and head == "mean-classification":
        return (
            "counted words beside a network, and a head that reads the mean, have no class in transformers; "
            "counted_words=none and pooling=family give a model that has one"
        )
    if counts:
        return "counted words beside a network have no class in transformers (counted_words=none omits them)"
    if mixes:
        return "a head that reads a mix of all layers has no class in transformers (adapt=mix)"
    if family_named(family).heads[head].hf_class is not None:
        return None
    if head == "mean-classification":
        return "a head that reads the mean has no class in transformers; pooling=family gives one that it has"
    return f"transformers has no class for a {family} model with a head for {head}"


def _config_fields(model: LoadedModel, dtype: torch.dtype) -> JSONObject:
    """What stands in `config.json`."""
    config, head, special = model.model.config, model.head, model.tokenizer.special
    family = family_named(config.family)
    hf_class = family.heads[head].hf_class if model.nameless is None else None
    fields: JSONObject = {
        **({"architectures": [hf_class], "model_type": family.model_type} if hf_class else {}),
        **family.to_hf(config),
        **family.heads[head].says,
        "dtype": str(dtype).removeprefix("torch."),
        "bos_token_id": special.start,
        "eos_token_id": special.end,
        "pad_token_id": special.pad,
    }
    if config.architecture == "encoder":
        fields |= {
            "cls_token_id": special.start,
            "sep_token_id": special.separator,
            "mask_token_id": special.mask,
        }
    if config.architecture == "encoder-decoder":
        fields["decoder_start_token_id"] = decoder_start(family, model.tokenizer)
    if model.labels:
        fields |= {
            "id2label": {str(index): label for index, label in enumerate(model.labels)},
            "label2id": {label: index for index, label in enumerate(model.labels)},
        }
        if head in ("classification", "mean-classification"):
            fields["problem_type"] = model.problem_type
    own = {"version": __version__, "family": config.family, "head": head}
    return fields | {
        "headstart": own | {key: value for key, value in model.metadata.items() if key not in own}
    }


def check_tokenizer(config: TransformerConfig, tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer whose special tokens do not fit what transformers makes of the configuration.

    Raises:
        HeadstartError: padding has another id than positions are counted from, or there is no token with
            which a decoder begins.
    """
    family = family_named(config.family)
    if config.architecture == "encoder-decoder":
        decoder_start(family, tokenizer)
    pad = tokenizer.special.pad
    expected = family.to_hf(config).get("pad_token_id", pad)
    if expected != pad:
        raise HeadstartError(
            f"with position_offset={config.position_offset} padding has the id {expected} in transformers' "
            f"{config.family}, but {tokenizer.path} pads with {pad}; take a tokenizer of the kind "
            f"{family.tokenizer}, or an offset one above its padding"
        )


def decoder_start(family: Family, tokenizer: Tokenizer) -> int:
    """The id before the first token that an encoder-decoder writes.

    Raises:
        HeadstartError: the tokenizer has no such token.
    """
    start: int | None = getattr(tokenizer.special, family.decoder_start)
    if start is None:
        raise HeadstartError(
            f"{tokenizer.path} has no {family.decoder_start} token, with which a {family.name} decoder begins"
        )
    return start


def load_model(folder: Path, dtype: torch.dtype = torch.float32, weights: bool = True) -> LoadedModel:
    """Read a model folder: one that headstart wrote, or transformers for a family known here.

    Args:
        folder: a model folder, or a run folder that holds one; or a GGUF file.
        dtype: what activations are computed in; weights are float32.
        weights: whether the weights are read; without them the model is on the device `meta`, and of the
            files only the heads are read. A LoRA adapter and a GGUF file
            are read whole.

    Raises:
        HeadstartError: no such folder, a pickle file instead of safetensors, another architecture,
            missing or damaged weights.
    """
    if folder.suffix == ".gguf" and not folder.is_dir():
        return _read_gguf(folder, dtype)
    folder = box.model_in(folder)
    if not folder.is_dir():
        near = nearest(str(folder), box.names())
        raise HeadstartError(f"there is no model folder {folder}; check the path{near}")
    if is_adapter(folder):
        adapter = read_adapter(folder)
        body = body_folder(adapter.base)
        loaded = _read(body, dtype, adapter)
        if loaded.head in ("features", "encoder-features"):
            loaded.vectors = read_sentence_vectors(folder, body) or read_sentence_vectors(adapter.base, body)
    else:
        body = body_folder(folder)
        loaded = _read(body, dtype, weights=weights)
        loaded.folder = folder
        loaded.vectors = read_sentence_vectors(folder, body)
    pooled = loaded.vectors is not None and loaded.vectors.pooling == ("mean",)
    loaded.mean_is_vector = pooled or loaded.metadata.get("task") == "embedding"
    return loaded


def _read_gguf(file: Path, dtype: torch.dtype) -> LoadedModel:
    """The model in a GGUF file, which writes."""
    model, fields = read_gguf(file, dtype)
    tokenizer = read_tokenizer(file, fields)
    tokenizer.leave_out_special(model.config.vocab_size)
    generation: JSONObject = {"eos_token_id": ids} if len(ids := ends(fields)) > 1 else {}
    return LoadedModel(model, tokenizer, "causal", generation=generation)


def _read(
    folder: Path, dtype: torch.dtype, adapter: Adapter | None = None, weights: bool = True
) -> LoadedModel:
    """The model in a folder with its own files, with an adapter's changes where there is one."""
    files = weight_files(folder)
    fields = with_defaults(with_model_type(read_json(folder / "config.json", JSONObject)))
    checked(fields, NamedFields, folder / "config.json")
    own: JSONObject = fields.get("headstart") or {}
    names = tensor_names(files)
    for key, value in fields.items():
        counted = "layer" in key and not key.startswith("max_")  # max_window_layers may be any number
        if counted and isinstance(value, int) and value > len(names):
            raise HeadstartError(
                f"{folder / 'config.json'} says {key} = {value:,}, but the folder has {len(names):,} "
                "weights; get it again"
            )
    family = _family(folder, fields, own)
    try:
        config = make_config(family.name, family.from_hf(fields))
    except KeyError as error:
        raise HeadstartError(f"{folder / 'config.json'} lacks {error}; make or get the model again") from None
    except HeadstartError as error:
        raise HeadstartError(f"{folder / 'config.json'}: {error}") from None
    except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise HeadstartError(
            f"{folder / 'config.json'} says {error}, which headstart does not compute"
        ) from None
    refuse_quantised(folder, fields, names)
    heads = adapter.heads if adapter is not None else ()
    head = heads[0] if len(heads) == 1 else _head(folder, fields, own, config, names)
    if heads and head not in heads:
        head = heads[0]
    if adapter is not None and head not in family.heads:
        raise HeadstartError(
            f"{adapter.folder} has a head for {head!r}, and a {family.name} model has none; get it again"
        )
    tensors = read_tensors(files) if weights else read_outlines(files, config, family, head)
    if adapter is not None:
        tensors = adapter.applied(tensors, config, family, head)
        config = replace(config, vocab_size=adapter.vocab_size(config, family, head))
    fitted = fit(tensors, config, family, head, dtype, adapter.folder if adapter is not None else folder)
    brought = adapter is not None and holds_tokenizer(adapter.folder)
    tokenizer = open_tokenizer(adapter.folder if adapter is not None and brought else folder)
    tokenizer.leave_out_special(config.vocab_size)
    # Others pad their embedding to any size; a tokenizer of ours comes with its model, at most rounded up.
    tokens = tokenizer.vocab_size
    fits = {-(-tokens // multiple) * multiple for multiple in ROUND_SIZES}
    own_tokenizer = family.tokenizer == "headstart" and config.vocab_size not in fits
    if tokens > config.vocab_size or own_tokenizer:
        raise HeadstartError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} tokens, the model {config.vocab_size}; "
            "they do not belong together"
        )
    if adapter is not None:
        own = adapter.own
        named = {str(index): label for index, label in enumerate(adapter.labels)}
        if named:
            fields |= {"id2label": named, "problem_type": own.get("problem_type")}
        elif len(fields.get("id2label") or ()) != len(fitted.classifier.get("weight", ())):
            fields["id2label"] = None  # those of the base's own head
    labels = _labels(folder, fields, fitted.classifier)
    generation = generation_settings(folder, fields, fitted.model.config)
    problem_type = fields.get("problem_type") or "single_label_classification"
    place = folder if adapter is None else None
    loaded = LoadedModel(
        fitted.model, tokenizer, head, fitted.classifier, labels, own, generation, problem_type, place
    )
    if "counted" in own:
        if not (folder / COUNTED_FILE).exists():
            raise HeadstartError(f"{folder} lacks {COUNTED_FILE}, a part of its answers; get it whole")
        loaded.counted = dict(read_tensors([folder / COUNTED_FILE]))
    return loaded


def _family(folder: Path, fields: JSONObject, own: JSONObject) -> Family:
    kind = fields.get("model_type")
    if own.get("family") in (*FAMILIES, "static"):
        family = family_named(own["family"])
        shape = family.heads.get(str(own.get("head")))
        # transformers is not told what it cannot compute
        beyond = "mix" in own or "counted" in own
        untold = kind is None and (beyond or (shape is not None and shape.hf_class is None))
        if kind == family.model_type or untold:
            return family
    others = [family for family in FAMILIES.values() if not family.name.startswith("headstart")]
    for family in others:
        if kind is not None and kind == family.model_type:
            return family
    known = sorted({family.model_type for family in others if family.model_type})
    what = other_kind(fields)
    raise HeadstartError(
        f"{folder} is a {kind or 'nameless'} model{what and f', {what}'}; this headstart reads "
        f"{', '.join(known)} and the folders that it wrote"
    )


def _head(
    folder: Path,
    fields: JSONObject,
    own: JSONObject,
    config: TransformerConfig,
    names: list[str],
) -> str:
    """What the folder's output is. A body that needs nothing more to write is taken for one that writes."""
    family = family_named(config.family)
    if own.get("head") in family.heads:
        return str(own["head"])
    architectures = fields.get("architectures")
    if not architectures and own.get("head") is not None:
        raise HeadstartError(
            f"{folder} is said to be a model for {own['head']!r}; of {family.name} models headstart knows "
            f"{', '.join(family.heads)}"
        )
    if not architectures:
        return head_of_weights(config, family, names)
    for head, shape in family.heads.items():
        told = all(fields.get(key, value) == value for key, value in shape.says.items())
        if shape.hf_class is not None and shape.hf_class == architectures[0] and told:
            writing = writing_head(config, family, names) if head == "features" else None
            return writing or str(head)
    known = ", ".join(shape.hf_class or head for head, shape in family.heads.items())
    raise HeadstartError(f"{folder} is a {architectures[0]}; of {family.name} models headstart knows {known}")


def _labels(folder: Path, fields: JSONObject, classifier: dict[str, Tensor]) -> list[str]:
    if "weight" not in classifier:
        return []
    count = len(classifier["weight"])
    names = fields.get("id2label") or {str(index): f"LABEL_{index}" for index in range(count)}
    try:
        return [str(names[str(index)]) for index in range(count)]
    except (KeyError, TypeError):
        raise HeadstartError(
            f"{folder / 'config.json'} names {len(names)} labels, but the head has {count}; "
            "the folder's files do not belong together"
        ) from None
