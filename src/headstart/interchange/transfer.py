"""Models from elsewhere and to elsewhere; what was written is read again and compared before it counts."""

from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.folder import atomic
from headstart.interchange.gguf_file import rounded, write_gguf
from headstart.interchange.gguf_reading import read_gguf
from headstart.interchange.model_folder import SHARD_BYTES, LoadedModel, load_model, model_in, save_model
from headstart.models.registry import family_named
from headstart.models.transformer import Transformer
from headstart.output import identity, output, output_file

Format = Literal["hf", "gguf"]
NUMBERS = {
    "float32": (torch.float32, "f32"),
    "float16": (torch.float16, "f16"),
    "bfloat16": (torch.bfloat16, "bf16"),
    "q8_0": (None, "q8_0"),
}
PROBE_ROWS, PROBE_TOKENS = 2, 32
TOLERANCE = 1e-5  # of the largest output: what another order of additions may change in float32


def import_model(source: Path, out: Path, replace: bool = False) -> dict[str, Any]:
    """Read a Hugging Face folder or a GGUF file and write it as a model folder.

    Args:
        replace: delete what `out` holds.

    Returns:
        What it is: family, head, parameters, tokens.

    Raises:
        HeadstartError: another architecture, pickles, missing or unknown weights, numbers that are none.
    """
    made_from = {"source": identity(model_in(source))}
    read = [source, model_in(source)]
    with output(out, "imported model", settings=made_from, inputs=read, replace=replace) as claimed:
        if not claimed.finished:
            claimed.finish(_import(source, out))
    return claimed.facts


def _import(source: Path, out: Path) -> dict[str, Any]:
    loaded = load_model(source)
    for name, tensor in loaded.model.state_dict().items():
        if not tensor.isfinite().all():
            raise HeadstartError(f"{source}: {name} holds NaN or infinity; get it again")
    with atomic(out) as temporary:
        save_model(temporary, loaded, f"Imported from {source.name}.")
        _compare(loaded, load_model(temporary), source)
    return {
        "family": loaded.model.config.family,
        "head": loaded.head,
        "parameters": sum(parameter.numel() for parameter in loaded.model.parameters()),
        "vocab_size": loaded.model.config.vocab_size,
        "labels": loaded.labels,
    }


def export_model(
    source: Path,
    out: Path,
    form: Format = "hf",
    numbers: str = "float32",
    shard_bytes: int = SHARD_BYTES,
    replace: bool = False,
) -> dict[str, Any]:
    """Write a model for use elsewhere, read it again from disk, and compare what it computes.

    Args:
        source: a run or model folder.
        out: the folder (hf) or the file (gguf) to write.
        form: a Hugging Face folder, or one GGUF file.
        numbers: of the weights, a key of `NUMBERS`; q8_0 is for GGUF alone.
        shard_bytes: from this size on, a folder has several weight files and an index.
        replace: delete what `out` holds.

    Returns:
        Where it is, its bytes, and the largest difference of its outputs: `difference` from the model
        with its weights rounded as written (should be none), `rounding` from the model itself; both as
        shares of the largest output.

    Raises:
        HeadstartError: the format does not know the model, or what was read back computes something else.
    """
    if numbers not in NUMBERS or (form == "hf" and numbers == "q8_0"):
        raise HeadstartError(
            f"an {form} export has no {numbers} weights; choose "
            + ", ".join(name for name in NUMBERS if form == "gguf" or name != "q8_0")
        )
    read = [source, model_in(source)]
    if form == "gguf":
        with output_file(out, inputs=read, replace=replace):
            return _export(source, out, form, numbers, shard_bytes)
    made_from = {"source": identity(model_in(source)), "numbers": numbers, "shard_bytes": shard_bytes}
    with output(out, "exported model", settings=made_from, inputs=read, replace=replace) as claimed:
        if not claimed.finished:
            claimed.finish(_export(source, out, form, numbers, shard_bytes))
    return claimed.facts


def _export(source: Path, out: Path, form: Format, numbers: str, shard_bytes: int) -> dict[str, Any]:
    loaded = load_model(source)
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
            template = loaded.tokenizer.config.get("chat_template")
            write_gguf(temporary, loaded.model, loaded.tokenizer, kind, source.name, template)
            again = LoadedModel(read_gguf(temporary)[0], loaded.tokenizer, loaded.head)
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
    head = family_named(config.family).heads[loaded.head]
    outputs = hidden if head.weights or loaded.head == "features" else model.logits(hidden)
    return outputs.float()
