"""How a folder makes one vector of a text, as sentence-transformers writes it down.

`modules.json` lists what a text passes: the model itself, `Pooling` (which states stand for the text), and
behind it layers that change the vector: `Dense`, `LayerNorm`, `Normalize`. What is written before a text (its
prompts) is in `config_sentence_transformers.json`, how many tokens are read in `sentence_bert_config.json`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from headstart.errors import HeadstartError, nearest
from headstart.folder import JSONObject, checked, read_json, write_json
from headstart.interchange.weights import read_tensors, weight_files
from headstart.tokenizer.published import CONFIG

MODULES, PROMPTS = "modules.json", "config_sentence_transformers.json"
POOLING_FOLDER = "1_Pooling"
MODES = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""Which states stand for a text, and the older name of each; several are put side by side in this order."""
ENDLESS = 10**9
"""From here on, the longest text that a tokenizer reads means that there is none."""
_READERS = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_xlm-roberta_config.json",
)
_ACTIVATIONS = {
    "Identity": nn.Identity,
    "Tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "GELU": nn.GELU,
    "SiLU": nn.SiLU,
    "Sigmoid": nn.Sigmoid,
}
Layer = TypeVar("Layer", bound=nn.Module)
_TRANSFORMER, _POOLING, _DENSE, _LAYER_NORM, _NORMALIZE, _DROPOUT = (
    "Transformer",
    "Pooling",
    "Dense",
    "LayerNorm",
    "Normalize",
    "Dropout",
)


class Projection(nn.Module):
    """`Dense`: a linear layer and an activation, and perhaps what came in beside it."""

    def __init__(self, inputs: int, outputs: int, bias: bool, activation: str, residual: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs, bias=bias)
        self.name, self.activation = activation, _ACTIVATIONS[activation]()
        self.adds = residual
        self.residual = nn.Linear(inputs, outputs, bias=False) if residual and inputs != outputs else None

    def forward(self, vectors: Tensor) -> Tensor:
        made: Tensor = self.activation(self.linear(vectors))
        if self.adds:
            made = made + (vectors if self.residual is None else self.residual(vectors))
        return made


class Normalize(nn.Module):
    """Length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1)


@dataclass
class SentenceVectors:
    """What makes a vector of a text's states."""

    pooling: tuple[str, ...] = ("mean",)
    """Keys of `MODES`."""
    layers: list[nn.Module] = field(default_factory=list)
    """Behind the pooling: `Projection`, `nn.LayerNorm`, `Normalize`."""
    prompts: dict[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    include_prompt: bool = True
    """Whether the prompt's states count among those that are pooled."""
    max_tokens: int | None = None
    """A text is cut there, special tokens included."""
    lower: bool = False
    """Texts are written small before they are read."""
    skipped: int = 0
    """How many of a text's first states are not pooled: those of a prompt that does not count."""

    def tensors(self) -> dict[str, Tensor]:
        """The weights of the layers, by the place of each."""
        return {
            f"{place}.{name}": tensor
            for place, layer in enumerate(self.layers)
            for name, tensor in layer.state_dict().items()
        }

    def described(self) -> JSONObject:
        """All but the weights: equal of what makes equal vectors of equal states."""
        layers = [[str(layer), getattr(layer, "adds", False)] for layer in self.layers]
        return {one.name: getattr(self, one.name) for one in fields(self)} | {"layers": layers}

    def prompt(self, name: str | None) -> str:
        """What is written before a text.

        Raises:
            HeadstartError: the model has no prompt of that name.
        """
        name = self.default_prompt if name is None else name
        if name is None:
            return ""
        if name not in self.prompts:
            known = ", ".join(self.prompts) or "none"
            raise HeadstartError(
                f"this model has no prompt {name!r} (it has {known}){nearest(name, self.prompts)}"
            )
        return self.prompts[name]

    def pooled(self, states: Tensor, places: Tensor) -> Tensor:
        """One vector of each text's states, before the layers: `[texts, modes * D]`.

        Args:
            states: of all tokens, `[N, D]`.
            places: `[texts, 2]` where each text's states begin and end.
        """
        found = []
        for begin, end in places.tolist():
            first = min(begin + self.skipped, end - 1)
            own = states[first:end].float()  # [t, D]
            weights = torch.arange(first - begin + 1, end - begin + 1, device=states.device).float()[:, None]
            parts = {
                "cls": own[0],
                "max": own.amax(0),
                "mean": own.mean(0),
                "mean_sqrt_len_tokens": own.sum(0) / len(own) ** 0.5,
                "weightedmean": (own * weights).sum(0) / weights.sum(),
                "lasttoken": own[-1],
            }
            found.append(torch.cat([parts[mode] for mode in self.pooling]))
        return torch.stack(found)

    def finished(self, vectors: Tensor) -> Tensor:
        """The vectors `[texts, E]` after the layers, of what `pooled` gave."""
        for layer in self.layers:
            vectors = layer.to(vectors.device)(vectors)
        return vectors


def body_folder(folder: Path) -> Path:
    """Where the model itself is: older folders of sentence-transformers have it in `0_Transformer`."""
    if (folder / MODULES).exists() and not (folder / "config.json").exists():
        for module in _modules(folder):
            inner = folder / _inside(folder, module)
            if _kind(module) == _TRANSFORMER and (inner / "config.json").exists():
                return inner
    return folder


def read_sentence_vectors(folder: Path, body: Path) -> SentenceVectors | None:
    """What a folder says about vectors; None: nothing.

    Raises:
        HeadstartError: a module that is not computed here, or damaged files.
    """
    listed = (folder / MODULES).exists()
    if not listed and not (folder / POOLING_FOLDER / "config.json").exists():
        return None
    modules = _modules(folder) if listed else [{"type": _POOLING, "path": POOLING_FOLDER}]
    vectors = SentenceVectors()
    for module in modules:
        kind, place = _kind(module), folder / _inside(folder, module)
        if kind == _POOLING:
            _read_pooling(place / "config.json", vectors)
        elif kind == _DENSE:
            vectors.layers.append(_read_dense(place))
        elif kind == _LAYER_NORM:
            vectors.layers.append(_read_norm(place))
        elif kind == _NORMALIZE:
            vectors.layers.append(Normalize())
        elif kind not in (_TRANSFORMER, _DROPOUT):
            raise HeadstartError(
                f"{folder / MODULES} has the module {kind}, which headstart does not compute; it knows "
                f"{', '.join((_TRANSFORMER, _POOLING, _DENSE, _LAYER_NORM, _NORMALIZE))}"
            )
    for name, key in ((CONFIG, "model_max_length"), *((name, "max_seq_length") for name in _READERS)):
        said = read_json(body / name, JSONObject) if (body / name).exists() else {}
        most = said.get(key)
        if isinstance(most, int) and 0 < most < ENDLESS:
            vectors.max_tokens = most
        vectors.lower |= name != CONFIG and bool(said.get("do_lower_case"))
    said = read_json(folder / PROMPTS, JSONObject) if (folder / PROMPTS).exists() else {}
    prompts = checked(said.get("prompts") or {}, dict[str, str | None], folder / PROMPTS)
    vectors.prompts = {name: text for name, text in prompts.items() if text is not None}
    default = checked(said.get("default_prompt_name"), str | None, folder / PROMPTS)
    if default is not None and default not in prompts:
        raise HeadstartError(
            f"{folder / PROMPTS}: default_prompt_name = {default!r} is none of the prompts; get it again"
        )
    vectors.default_prompt = default if default in vectors.prompts else None
    return vectors


def write_sentence_vectors(folder: Path, vectors: SentenceVectors, width: int) -> None:
    """Write the files that sentence-transformers reads beside the model's own.

    Args:
        width: of the states, D.
    """
    kinds = [_TRANSFORMER, _POOLING, *(_KIND_OF[type(layer)] for layer in vectors.layers)]
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds[1:], 1))]
    listed = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    write_json(folder / MODULES, listed)
    pooling: JSONObject = {"word_embedding_dimension": width, "include_prompt": vectors.include_prompt}
    if vectors.pooling == tuple(mode for mode in MODES if mode in vectors.pooling):
        pooling |= {old: mode in vectors.pooling for mode, old in MODES.items()}
    else:  # in an order of its own, which older versions cannot say
        pooling |= {"pooling_mode": list(vectors.pooling)}
    _fill(folder / paths[1], pooling)
    for path, layer in zip(paths[2:], vectors.layers, strict=True):
        _write_layer(folder / path, layer)
    read: JSONObject = {"do_lower_case": vectors.lower}
    read |= {} if vectors.max_tokens is None else {"max_seq_length": vectors.max_tokens}
    write_json(folder / _READERS[0], read)
    write_json(folder / PROMPTS, {"prompts": vectors.prompts, "default_prompt_name": vectors.default_prompt})


def _write_layer(folder: Path, layer: nn.Module) -> None:
    if isinstance(layer, Projection):
        said: JSONObject = {
            "in_features": layer.linear.in_features,
            "out_features": layer.linear.out_features,
            "bias": layer.linear.bias is not None,
            "activation_function": f"torch.nn.modules.{_MODULE_OF[layer.name]}.{layer.name}",
        }
        _fill(folder, said | ({"use_residual": True} if layer.adds else {}))
    elif isinstance(layer, nn.LayerNorm):
        _fill(folder, {"dimension": layer.normalized_shape[0]})
    else:
        folder.mkdir()  # `Normalize` has nothing to say
        return
    prefix = "norm." if isinstance(layer, nn.LayerNorm) else ""
    tensors = {prefix + name: tensor.detach().contiguous() for name, tensor in layer.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


_KIND_OF: dict[type, str] = {Projection: _DENSE, nn.LayerNorm: _LAYER_NORM, Normalize: _NORMALIZE}
_MODULE_OF = {name: "linear" if name == "Identity" else "activation" for name in _ACTIVATIONS}


def _fill(folder: Path, config: JSONObject) -> None:
    folder.mkdir()
    write_json(folder / "config.json", config)


def _modules(folder: Path) -> list[JSONObject]:
    said = read_json(folder / MODULES, object)
    if not isinstance(said, list) or not all(isinstance(one, dict) and "type" in one for one in said):
        raise HeadstartError(f"{folder / MODULES} is no list of modules; get the folder again")
    return said


def _kind(module: Mapping[str, Any]) -> str:
    return str(module["type"]).rpartition(".")[2]


def _inside(folder: Path, module: Mapping[str, Any]) -> str:
    path = str(module.get("path") or "")
    if Path(path).is_absolute() or ".." in Path(path).parts:
        raise HeadstartError(
            f"{folder / MODULES} names {path!r}, which is outside of the folder; get it again"
        )
    return path


def _read_pooling(path: Path, vectors: SentenceVectors) -> None:
    said = read_json(path, JSONObject)
    mode = said.get("pooling_mode")
    modes: Sequence[Any] = [mode] if isinstance(mode, str) else mode or []
    if not modes:
        modes = [name for name, old in MODES.items() if said.get(old)] or ["mean"]
    unknown = [name for name in modes if name not in MODES]
    if unknown or any(
        key.startswith("pooling_mode_") and said[key] and key not in MODES.values() for key in said
    ):
        raise HeadstartError(
            f"{path} pools in a way that headstart does not compute; it knows {', '.join(MODES)}"
        )
    vectors.pooling = tuple(str(name) for name in modes)
    vectors.include_prompt = bool(said.get("include_prompt", True))


def _read_dense(folder: Path) -> Projection:
    path = folder / "config.json"
    said = read_json(path, JSONObject)
    name = str(said.get("activation_function") or "torch.nn.Identity").rpartition(".")[2]
    if name not in _ACTIVATIONS:
        raise HeadstartError(
            f"{path} has the activation {name}, which is not computed; known: {', '.join(_ACTIVATIONS)}"
        )
    if said.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise HeadstartError(f"{path} changes every token's state, which headstart does not compute")
    try:
        layer = Projection(
            said["in_features"],
            said["out_features"],
            said.get("bias", True),
            name,
            bool(said.get("use_residual")),
        )
    except (KeyError, TypeError, RuntimeError) as error:
        raise HeadstartError(f"{path} does not say its sizes ({error}); get the folder again") from None
    return _loaded(layer, folder)


def _read_norm(folder: Path) -> nn.LayerNorm:
    said = read_json(folder / "config.json", JSONObject)
    try:
        layer = nn.LayerNorm(said["dimension"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise HeadstartError(
            f"{folder / 'config.json'} does not say its size ({error}); get it again"
        ) from None
    return _loaded(layer, folder)


def _loaded(layer: Layer, folder: Path) -> Layer:
    """The layer with its folder's weights."""
    tensors = {name.removeprefix("norm."): t.float() for name, t in read_tensors(weight_files(folder))}
    own = {name: tensor.shape for name, tensor in layer.state_dict().items()}
    if {name: tensor.shape for name, tensor in tensors.items()} != own:
        raise HeadstartError(f"{folder} does not hold the weights that its config.json says; get it again")
    layer.load_state_dict(tensors)
    return layer.eval().requires_grad_(False)
