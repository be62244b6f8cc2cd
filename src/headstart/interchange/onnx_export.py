"""ONNX, for onnxruntime, Optimum and transformers.js: encoders, their task models, and models of vectors.

The layout is theirs: `onnx/model.onnx` (with int8 weights `onnx/model_quantized.onnx`) beside `config.json`
and the tokenizer. Inputs are `input_ids`, `attention_mask` and, of models that have them, `token_type_ids`,
`[B, T]` each; the output is `logits`, of question answering `start_logits` and `end_logits`, of a model
without a head `last_hidden_state` and, where its folder says how, `sentence_embedding`.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel
from headstart.models.heads import Head
from headstart.models.registry import family_named

FILES = {"float32": "model.onnx", "int8": "model_quantized.onnx"}
OPSET = 17
EACH = ("masked", "pretraining", "tagging")
"""Heads whose logits are of every token."""
PROBE_ROWS, PROBE_TOKENS = 3, 24
TOLERANCE = {"float32": 1e-4, "int8": 0.25}
"""Of the largest output: what other kernels may change; what eight bits cost is measured, and bounded."""


class OnnxModel(nn.Module):
    """A model as its ONNX file computes it: rows that are padded behind."""

    def __init__(self, loaded: LoadedModel) -> None:
        super().__init__()
        self.body = loaded.model
        config = loaded.model.config
        if config.architecture != "encoder":
            raise HeadstartError(
                f"ONNX files are written of encoders, not of an {config.architecture}; export it as hf"
            )
        self.kind = loaded.head
        shape = family_named(config.family).heads[loaded.head]
        self.head: Head | None = None
        if shape.weights:
            labels = len(loaded.classifier["weight"])
            self.head = Head(config.width, shape, labels)
            self.head.load(loaded.classifier)
        self.vectors = loaded.vectors
        self.types = config.token_types > 1

    @property
    def inputs(self) -> list[str]:
        return ["input_ids", "attention_mask", *(["token_type_ids"] if self.types else [])]

    @property
    def outputs(self) -> list[str]:
        if self.kind == "spans":
            return ["start_logits", "end_logits"]
        if self.head is not None or self.kind in ("masked", "pretraining"):
            return ["logits"]
        return ["last_hidden_state", *(["sentence_embedding"] if self.vectors is not None else [])]

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> tuple[Tensor, ...]:
        """Outputs in the order of `outputs`, of ids, mask and token types `[B, T]`."""
        return self.of_states(self._states(ids, mask, types), mask)

    def of_states(self, states: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        """The outputs that follow from the encoder's states `[B, T, D]`."""
        if self.head is not None:
            reads = self.head.shape.reads
            if reads == "first":
                states = states[:, 0]
            elif reads == "mean":
                states = _mean(states, mask)
            logits = self.head(self.body, states)
            return tuple(logits.unbind(-1)) if self.kind == "spans" else (logits,)
        if self.kind in ("masked", "pretraining"):
            return (self.body.logits(states),)
        return (states,) if self.vectors is None else (states, self._vector(states, mask))

    def _states(self, ids: Tensor, mask: Tensor, types: Tensor | None) -> Tensor:
        """The encoder's states `[B, T, D]`: as `Transformer` computes them of rows with padding behind, whose
        positions need no counting, for which ONNX has no operator."""
        stack = self.body.encoder
        assert stack is not None
        x = stack.enter(self.body.embed(ids), None, types)
        context = stack.attention_context(0, ids.shape[1], mask - 1, None, x)  # padding is document -1
        for block in stack.blocks:
            x = block(x, context)
        states: Tensor = stack.final_norm(x)
        return states

    def _vector(self, states: Tensor, mask: Tensor) -> Tensor:
        assert self.vectors is not None
        real = mask[..., None].to(states.dtype)  # [B, T, 1]
        places = real.cumsum(1) * real
        last = (mask.sum(1) - 1)[:, None, None].expand(-1, 1, states.shape[-1])
        parts = {
            "cls": lambda: states[:, 0],
            "max": lambda: states.masked_fill(real == 0, float("-inf")).amax(1),
            "mean": lambda: _mean(states, mask),
            "mean_sqrt_len_tokens": lambda: (states * real).sum(1) / real.sum(1) ** 0.5,
            "weightedmean": lambda: (states * places).sum(1) / places.sum(1),
            "lasttoken": lambda: states.gather(1, last)[:, 0],
        }
        return self.vectors.finished(torch.cat([parts[mode]() for mode in self.vectors.pooling], -1))


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    real = mask[..., None].to(states.dtype)
    return (states * real).sum(1) / real.sum(1)


def write_onnx(loaded: LoadedModel, folder: Path, numbers: str) -> tuple[float, int]:
    """Write the ONNX file into a model folder, run it in onnxruntime, and compare with the model.

    Args:
        numbers: of the weights, a key of `FILES`.

    Returns:
        How far its outputs are from the model's, as a share of the largest; and how many tokens that is.

    Raises:
        HeadstartError: packages are missing, the model is no encoder, or the file computes something else.
    """
    for package in ("onnx", "onnxruntime"):
        try:
            __import__(package)
        except ImportError:
            raise HeadstartError(
                f"ONNX files need the {package} package; install it with: pip install 'headstart[onnx]'"
            ) from None
    model = OnnxModel(loaded).eval()
    file = folder / "onnx" / FILES["float32"]
    file.parent.mkdir()
    given = _probe(model)
    axes = {name: {0: "batch", 1: "sequence"} for name in model.inputs}
    axes |= {name: {0: "batch"} for name in model.outputs}
    for name in model.outputs:
        if name in ("last_hidden_state", "start_logits", "end_logits") or loaded.head in (
            "masked",
            "tagging",
        ):
            axes[name] = {0: "batch", 1: "sequence"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer, about shapes that are the same in every row
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            model, given, file, input_names=model.inputs, output_names=model.outputs, dynamic_axes=axes,
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
        ids, mask, *types = given
        states = model.body(ids, mask - 1, token_types=types[0] if types else None)
        expected = [output.numpy() for output in model.of_states(states, mask)]
    if numbers == "int8":
        file = _in_eight_bits(file)
    difference = _compared(file, model, given, expected)
    if not difference <= TOLERANCE[numbers]:
        raise HeadstartError(
            "run in onnxruntime, the ONNX file computes something else (its outputs differ by "
            f"{difference:.2g} of the largest); nothing was kept"
        )
    return difference, PROBE_ROWS * PROBE_TOKENS


def _in_eight_bits(file: Path) -> Path:
    """The same with int8 matrices, in a file of its own name."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    small = file.with_name(FILES["int8"])
    logging.disable(logging.WARNING)
    try:
        quantize_dynamic(file, small, weight_type=QuantType.QInt8)
    finally:
        logging.disable(logging.NOTSET)
    file.unlink()
    return small


def _probe(model: OnnxModel) -> tuple[Tensor, ...]:
    """Rows of several lengths, `[B, T]` for each input."""
    config = model.body.config
    random = torch.Generator().manual_seed(0)
    length = min(PROBE_TOKENS, config.context)
    ids = torch.randint(0, config.vocab_size, (PROBE_ROWS, length), generator=random)
    lengths = torch.tensor([length, max(1, length // 2), max(1, length - 3)])
    mask = (torch.arange(length) < lengths[:, None]).long()
    return (ids, mask, torch.zeros_like(ids)) if model.types else (ids, mask)


def _compared(file: Path, model: OnnxModel, given: tuple[Tensor, ...], expected: list[np.ndarray]) -> float:
    """The largest difference of outputs where there is text, as a share of the largest output."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    feed = {name: tensor.numpy() for name, tensor in zip(model.inputs, given, strict=True)}
    real = given[1].bool().numpy()
    most = 0.0
    for found, right in zip(session.run(model.outputs, feed), expected, strict=True):
        if right.ndim > 2 or (right.ndim == 2 and right.shape == real.shape):
            found, right = found[real], right[real]
        most = max(most, float(np.abs(found - right).max() / np.abs(right).max()))
    one = {name: value[:1, : len(value[0]) // 2] for name, value in feed.items()}
    session.run(model.outputs, one)  # another shape, which a file with fixed sizes refuses
    return most
