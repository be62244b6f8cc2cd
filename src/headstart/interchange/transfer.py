"""Models from elsewhere and to elsewhere; what was written is read again and compared before it counts."""

from copy import deepcopy
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.errors import HeadstartError
from headstart.folder import atomic, checked
from headstart.interchange.box import model_in
from headstart.interchange.gguf_file import rounded, write_gguf
from headstart.interchange.gguf_reading import read_gguf
from headstart.interchange.gguf_tokenizer import read_tokenizer
from headstart.interchange.model_folder import (
    SHARD_BYTES,
    LoadedModel,
    load_model,
    save_model,
)
from headstart.interchange.onnx_export import write_onnx
from headstart.models.family import OUTPUTS
from headstart.models.transformer import Transformer
from headstart.output import identity, output, output_file
from headstart.tokenizer.base import Tokenizer
from headstart.tokenizer.published import chat_template

Format = Literal["hf", "gguf", "onnx"]
NUMBERS = {
    "float32": (torch.float32, "f32"),
    "float16": (torch.float16, "f16"),
    "bfloat16": (torch.bfloat16, "bf16"),
    "q8_0": (None, "q8_0"),
    "int8": (None, "int8"),
}
KNOWN = {
    "hf": ("float32", "float16", "bfloat16"),
    "gguf": ("float32", "float16", "bfloat16", "q8_0"),
    "onnx": ("float32", "int8"),
}
"""The numbers that a format has."""
PROBE_ROWS, PROBE_TOKENS = 2, 32
PROBE_TEXTS = (
    "The ship came home.",
    "  two  blanks ",
    "naïve Größe 你好 🙂",
    "x = 12345;\n\tif (a) {b'c}",
    "",
)
TOLERANCE = 1e-5  # of the largest output: what another order of additions may change in float32


class Imported(TypedDict):
    """What an import found."""

    family: str
    head: str
    parameters: int
    vocab_size: int
    labels: list[str]
    ignored: list[str]
    """Settings of generation that are not obeyed."""


class Exported(TypedDict):
    """What an export wrote."""

    out: str
    format: str
    numbers: str
    bytes: int
    difference: float
    """Of outputs from those of the model with weights rounded as written, as a share of the largest."""
    rounding: float
    """The same from the model itself."""
    probe_tokens: int
    """That were compared."""


def import_model(source: Path, out: Path, replace: bool = False, address: str | None = None) -> Imported:
    """Read a Hugging Face folder or a GGUF file and write it as a model folder.

    Args:
        replace: delete what `out` holds.
        address: where on the hub it came from, with its commit; kept in the folder's `config.json`.

    Returns:
        What it is: family, head, parameters, tokens; and which settings of generation are not obeyed.

    Raises:
        HeadstartError: another architecture, pickles, missing or unknown weights, numbers that are none.
    """
    made_from = {"source": identity(model_in(source))}
    read = [source, model_in(source)]
    with output(out, "imported model", settings=made_from, inputs=read, replace=replace) as claimed:
        if not claimed.finished:
            claimed.finish(_import(source, out, address))
    return checked(claimed.facts, Imported, out)


def _import(source: Path, out: Path, address: str | None) -> Imported:
    loaded = load_model(source)
    for name, tensor in loaded.model.state_dict().items():
        if not tensor.isfinite().all():
            raise HeadstartError(f"{source}: {name} holds NaN or infinity; get it again")
    if address is not None:
        loaded.metadata["source"] = address
    with atomic(out) as temporary:
        save_model(temporary, loaded, f"Imported from {address or source.name}.")
        _compare(loaded, load_model(temporary), source)
    return {
        "family": loaded.model.config.family,
        "head": loaded.head,
        "parameters": sum(parameter.numel() for parameter in loaded.model.parameters()),
        "vocab_size": loaded.model.config.vocab_size,
        "labels": loaded.labels,
        "ignored": loaded.ignored_settings,
    }


def export_model(
    source: Path,
    out: Path,
    form: Format = "hf",
    numbers: str = "float32",
    shard_bytes: int = SHARD_BYTES,
    replace: bool = False,
) -> Exported:
    """Write a model for use elsewhere, read it again from disk, and compare what it computes.

    Args:
        source: a run or model folder.
        out: the folder (hf, onnx) or the file (gguf) to write.
        form: a Hugging Face folder, one GGUF file, or a folder with an ONNX file.
        numbers: of the weights, one of the format's in `KNOWN`.
        shard_bytes: from this size on, a folder has several weight files and an index.
        replace: delete what `out` holds.

    Returns:
        Where it is, its bytes, and the largest difference of its outputs: `difference` from the model
        with its weights rounded as written (should be none), `rounding` from the model itself; both as
        shares of the largest output.

    Raises:
        HeadstartError: the format does not know the model, transformers has no class for it, or what was read
            back computes something else.
    """
    if numbers not in KNOWN[form]:
        raise HeadstartError(
            f"an {form} export has no {numbers} weights; choose one of {', '.join(KNOWN[form])}"
        )
    read = [source, model_in(source)]
    if form == "gguf":
        with output_file(out, inputs=read, replace=replace):
            return _export(source, out, form, numbers, shard_bytes)
    made_from = {
        "source": identity(model_in(source)),
        "format": form,
        "numbers": numbers,
        "shard_bytes": shard_bytes,
    }
    with output(out, "exported model", settings=made_from, inputs=read, replace=replace) as claimed:
        if not claimed.finished:
            claimed.finish(_export(source, out, form, numbers, shard_bytes))
    return checked(claimed.facts, Exported, out)


def _export(source: Path, out: Path, form: Format, numbers: str, shard_bytes: int) -> Exported:
    loaded = load_model(source)
    if form != "gguf":
        _refuse_nameless(source, loaded)
    if form == "onnx":
        return _export_onnx(source, loaded, out, numbers)
    dtype, kind = NUMBERS[numbers]
    body = f"Exported from {source.name}."
    for card in (source / "README.md", source / "model" / "README.md"):
        if card.exists():
            body = card.read_text(encoding="utf-8").split("---\n", 2)[-1].strip()
    expected = deepcopy(loaded)
    with torch.no_grad():
        for weight in (*expected.model.parameters(), *expected.classifier.values()):
            weight.copy_(rounded(weight, kind) if form == "gguf" else weight.to(dtype))
    with atomic(out) as temporary:
        if form == "gguf":
            if loaded.head != "causal":
                raise HeadstartError(f"{source} is a model for {loaded.head}; GGUF files hold causal models")
            template = chat_template(loaded.tokenizer.config)
            write_gguf(temporary, loaded.model, loaded.tokenizer, kind, source.name, template)
            found, fields = read_gguf(temporary)
            again = LoadedModel(found, loaded.tokenizer, loaded.head)
            _compare_tokens(loaded.tokenizer, read_tokenizer(temporary, fields), source)
            difference, rounding = _compare(expected, again, source), _difference(loaded, again)
            size = temporary.stat().st_size
        else:
            assert dtype is not None
            save_model(temporary, loaded, body, dtype=dtype, shard_bytes=shard_bytes)
            again = load_model(temporary)
            difference, rounding = _compare(expected, again, source), _difference(loaded, again)
            size = sum(file.stat().st_size for file in temporary.iterdir())
    return {
        "out": str(out),
        "format": form,
        "numbers": numbers,
        "bytes": size,
        "difference": difference,
        "rounding": rounding,
        "probe_tokens": PROBE_ROWS * min(PROBE_TOKENS, loaded.model.config.context),
    }


def _refuse_nameless(source: Path, loaded: LoadedModel) -> None:
    """An export is for other tools, so that transformers has to know the model's class."""
    if loaded.nameless is not None:
        raise HeadstartError(
            f"{source} is not exported: {loaded.nameless}; headstart reads the folder as it is"
        )


def _export_onnx(source: Path, loaded: LoadedModel, out: Path, numbers: str) -> Exported:
    with atomic(out) as temporary:
        save_model(temporary, loaded, f"Exported from {source.name}, as ONNX.")
        for file in temporary.glob("model*.safetensors*"):
            file.unlink()  # what the ONNX file holds
        difference, tokens = write_onnx(loaded, temporary, numbers)
        size = sum(file.stat().st_size for file in temporary.rglob("*") if file.is_file())
    return {
        "out": str(out),
        "format": "onnx",
        "numbers": numbers,
        "bytes": size,
        "difference": difference,
        "rounding": difference,
        "probe_tokens": tokens,
    }


def _compare(expected: LoadedModel, found: LoadedModel, source: Path) -> float:
    """How far apart two models' outputs are; raises where that is more than rounding."""
    difference = _difference(expected, found)
    heads = expected.classifier.keys() == found.classifier.keys() and all(
        torch.equal(tensor, found.classifier[name]) for name, tensor in expected.classifier.items()
    )
    if not difference <= TOLERANCE or not heads:
        raise HeadstartError(
            f"{source}: read again from disk, the model computes something else (its outputs differ by "
            f"{difference:.2g} of the largest); nothing was kept"
        )
    return difference


def _compare_tokens(expected: Tokenizer, found: Tokenizer, source: Path) -> None:
    """Raises where a tokenizer that was read again cuts texts otherwise."""
    words = [token for token in expected.tokens[:: max(1, len(expected.tokens) // 400)] if token]
    for text in (*PROBE_TEXTS, expected.decode(expected.encode(" ".join(words)))):
        if expected.encode(text) != found.encode(text):
            raise HeadstartError(
                f"{source}: read again from disk, the tokenizer cuts {text[:40]!r} otherwise; nothing is kept"
            )


@torch.no_grad()
def _difference(one: LoadedModel, other: LoadedModel) -> float:
    """The largest difference of two models' outputs on a probe, as a share of the largest output."""
    first, second = _outputs(one), _outputs(other)
    if first.shape != second.shape:
        return float("inf")
    return float((first - second).abs().max() / first.abs().max())


def _outputs(loaded: LoadedModel) -> Tensor:
    """Logits of a fixed batch of tokens, or hidden states where the model has no output: `[B, T, V or D]`."""
    model: Transformer = loaded.model.eval()
    config = model.config
    random = torch.Generator().manual_seed(0)
    length = min(PROBE_TOKENS, config.context)
    ids = torch.randint(0, config.vocab_size, (2, PROBE_ROWS, length), generator=random)
    encoder_states = model.encode(ids[1]) if config.architecture == "encoder-decoder" else None
    hidden = model(ids[0], encoder_states=encoder_states)  # [B, T, D]
    outputs = model.logits(hidden) if loaded.head in OUTPUTS else hidden
    return outputs.float()
