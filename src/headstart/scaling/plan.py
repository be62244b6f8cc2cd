"""A plan: from a question (so much compute, such hardware, this loss, that model) to all its answers.

Everything comes out as plain numbers in a dictionary, for the command line, for JSON and for the page.
"""

import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from headstart.errors import HeadstartError
from headstart.folder import read_json
from headstart.models.config import TransformerConfig
from headstart.models.flops import flops_by_part, six_n_d
from headstart.models.parameters import block_parameters, cache_bytes, parameters, parameters_by_part
from headstart.models.registry import preset_config, presets
from headstart.scaling.hardware import Bill, Hardware, bill, comparable
from headstart.scaling.laws import FLOPS_PER_PARAMETER_AND_TOKEN, LossLaw, Optimum, Parametric, Reach, zero_of
from headstart.scaling.layout import Proposal, critical_batch, propose
from headstart.scaling.memory import Layout, training_memory
from headstart.scaling.published import loss_law, repeated
from headstart.scaling.questions import counted_parameters, disagreement, opinions, standing
from headstart.scaling.shape import shape_for
from headstart.scaling.units import read_quantity

VOCABULARY, CONTEXT = 32_000, 2048
"""Of a planned model, unless the question says otherwise."""
CACHE_CONTEXTS = (8192, 131_072)


@dataclass(frozen=True)
class Question:
    """What is given; the rest is answered."""

    law: LossLaw
    compute: float | None = None
    seconds: float | None = None
    hardware: Hardware | None = None
    devices: int = 1
    loss: float | None = None
    model: TransformerConfig | None = None
    tokens: float | None = None
    unique: float | None = None
    """Different tokens at hand."""
    inference: float | None = None
    """Tokens that the finished model will read and write."""
    utilisation: float | None = None
    price: float | None = None
    """Of a device hour."""
    family: str = "headstart-decoder"
    vocab_size: int = VOCABULARY
    context: int = CONTEXT
    batch: float | None = None
    """Tokens in a step; None: the critical batch for the loss."""


def answer(question: Question) -> dict[str, Any]:
    """All that the laws, the counts and the hardware say.

    Raises:
        HeadstartError: a question that lacks something, or asks for more than a law knows.
    """
    compute = _compute(question)
    law = question.law
    best = law.optimum(compute)
    every = opinions(compute, *([law] if law.name == "own-fit" else []))
    found: dict[str, Any] = {
        "law": {"name": law.name, "source": law.source, "note": law.note},
        "compute": compute,
        "optimum": _optimum(best) | _intervals(law, compute),
        "opinions": [_optimum(each) for each in every],
        "disagreement": disagreement(every),
    }
    if question.unique:
        again = repeated(question.unique)
        there = again.optimum(compute)
        found["repeated"] = _optimum(there) | {
            "unique": question.unique,
            "epochs": again.epochs(there.tokens),
            "worth": again.effective_tokens(there.tokens),
        }
    if question.inference:
        target = question.loss if question.loss is not None else best.loss
        assert target is not None
        lifetime = law.lifetime_optimum(target, question.inference)
        trained = law.cheapest(target)
        found["lifetime"] = _optimum(lifetime) | {
            "inference": question.inference,
            "total": lifetime.compute + 2 * lifetime.parameters * question.inference,
            "total_of_cheapest_training": trained.compute + 2 * trained.parameters * question.inference,
        }
    config, tokens = _model(question, best)
    found["model"] = describe(config)
    found["tokens"] = tokens
    if question.model is not None and question.tokens:
        stand = standing(law, config.family, counted_parameters(law, config), tokens)
        found["standing"] = {
            "loss": stand.loss,
            "tokens_per_parameter": stand.tokens_per_parameter,
            "best": _optimum(stand.best),
            "equal": _optimum(stand.equal),
            "loss_lost": stand.loss_lost,
            "extra_compute": stand.extra_compute,
            "inference_saved": stand.inference_saved,
            "pays_off_after": stand.pays_off_after if math.isfinite(stand.pays_off_after) else None,
            "verdict": stand.verdict,
        }
    batch = question.batch or critical_batch(law.loss(counted_parameters(law, config), tokens))
    found["batch"] = min(batch, tokens / 100)
    if question.hardware is not None:
        exact = _flops_per_token(config) * tokens
        shares = (question.utilisation, question.utilisation) if question.utilisation else None
        found["hardware"] = {"name": question.hardware.name, "source": question.hardware.source}
        found["bill"] = _bill(bill(exact, question.hardware, question.devices, shares, question.price))
        proposals = propose(config, question.hardware, question.devices, config.context, found["batch"])
        found["layouts"] = [_proposal(proposal) for proposal in proposals]
    return found


def law_named(name: str) -> LossLaw:
    """A published law by name, or one's own from the JSON that `headstart plan fit` wrote."""
    path = Path(name)
    if path.suffix != ".json":
        return loss_law(name)
    values = read_json(path)
    try:
        reach = Reach(tuple(values["reach"]["parameters"]), tuple(values["reach"]["tokens"]))
        constants = {key: float(values[key]) for key in Parametric.CONSTANTS}
        covariance = tuple(tuple(map(float, row)) for row in values["covariance"])
    except (KeyError, TypeError, ValueError):
        raise HeadstartError(
            f"{path} is no fit; write one with `headstart plan fit RUNS --out {path}`"
        ) from None
    return Parametric("own-fit", f"{path}", **constants, reach=reach, covariance=covariance)  # type: ignore[arg-type]


def model_named(name: str, family: str, vocab_size: int, context: int) -> TransformerConfig:
    """A published model's configuration, or one of the usual shape for a size such as `1.3B`."""
    if name in presets():
        return preset_config(name)
    if name[:1].isdigit() or name[:1] == ".":
        return shape_for(family, read_quantity(name, "parameters"), vocab_size, context)
    return preset_config(name)  # says which names are near


def describe(config: TransformerConfig, row: int | None = None) -> dict[str, Any]:
    """Sizes, parameters and operations by part, and the key-value cache of a configuration."""
    row = row or config.context
    source = row if config.encoder_layers else 0
    parts = flops_by_part(config, 1, row, source=source)
    tokens = row + source
    total = sum(part.total for part in parts.values()) / tokens
    heads = {"multi-head": config.heads, "as it is": config.kv_heads, "multi-query": 1}
    return {
        "family": config.family,
        "shape": {
            "layers": config.layers, "width": config.width, "heads": config.heads,
            "kv_heads": config.kv_heads, "feedforward_width": config.feedforward_width,
            "vocab_size": config.vocab_size, "context": config.context,
        },
        "parameters": parameters(config),
        "parameters_without_embeddings": block_parameters(config),
        "parameters_by_part": parameters_by_part(config),
        "row": row,
        "flops_per_token": {
            part: {"forward": flops.forward / tokens, "backward": flops.backward / tokens}
            for part, flops in parts.items()
        },
        "training_flops_per_token": total,
        "six_n": six_n_d(config, 1),
        "six_n_error": six_n_d(config, 1) / total - 1,
        "cache_bytes": {
            str(length): {
                name: cache_bytes(replace(config, kv_heads=count), length) for name, count in heads.items()
            }
            for length in sorted({row, *CACHE_CONTEXTS})
        }
        if config.generates
        else {},
    }  # fmt: skip


def memory_table(config: TransformerConfig, rows: int, row: int, layout: Layout) -> dict[str, Any]:
    """What training holds on the fullest rank, in every precision and with and without checkpointing."""
    table = {}
    for precision in ("float32", "bfloat16", "mixed"):
        for checkpointing in ("none", "selective", "full"):
            memory = training_memory(
                config, rows, row, layout, precision, checkpointing=checkpointing,
                source=row if config.encoder_layers else 0,
            )  # fmt: skip
            table[f"{precision}, {checkpointing} recomputed"] = {"parts": memory.parts, "peak": memory.peak}
    return table


# --- the pieces ---------------------------------------------------------------------------------------


def _compute(question: Question) -> float:
    if question.compute is not None:
        return question.compute
    if question.model is not None and question.tokens is not None:
        size = counted_parameters(question.law, question.model)
        return FLOPS_PER_PARAMETER_AND_TOKEN * size * question.tokens
    if question.hardware is not None and question.seconds is not None:
        shares = [run.utilisation for run in comparable(question.hardware)]
        share = question.utilisation or math.sqrt(min(shares) * max(shares))
        return question.devices * question.hardware.flops * share * question.seconds
    if question.loss is not None:
        return question.law.cheapest(question.loss).compute
    if question.model is not None:
        count = counted_parameters(question.law, question.model)

        def missing(log_compute: float) -> float:
            return count - question.law.optimum(math.exp(log_compute)).parameters

        # The compute for which that size is optimal: the optimal size grows with compute.
        return math.exp(zero_of(missing, math.log(1e9), math.log(1e33)))
    raise HeadstartError(
        "nothing to plan from: give --compute 1e21, or --hardware 64xH100 with --time '30 days', or "
        "--loss 2.1, or --model llama-3-8b with --tokens 15T"
    )


def _model(question: Question, best: Optimum) -> tuple[TransformerConfig, float]:
    """The model asked about, or one of the usual shape and the optimal size; and its tokens."""
    if question.model is None:
        counted = partial(counted_parameters, question.law)
        config = shape_for(question.family, best.parameters, question.vocab_size, question.context, counted)
        return config, question.tokens or best.tokens
    compute = _compute(question)
    return question.model, question.tokens or compute / (6 * counted_parameters(question.law, question.model))


def _flops_per_token(config: TransformerConfig) -> float:
    return float(describe(config)["training_flops_per_token"])


def _optimum(optimum: Optimum) -> dict[str, Any]:
    return asdict(optimum) | {"tokens_per_parameter": optimum.tokens_per_parameter}


def _intervals(law: LossLaw, compute: float) -> dict[str, Any]:
    """90 % intervals, where the law has them."""
    if not isinstance(law, Parametric):
        return {}
    found = {
        "parameters_interval": law.interval(lambda one: one.optimum(compute).parameters),
        "tokens_interval": law.interval(lambda one: one.optimum(compute).tokens),
        "loss_interval": law.interval(lambda one: one.optimum(compute).loss or math.nan),
    }
    return {name: interval for name, interval in found.items() if interval}


def _bill(found: Bill) -> dict[str, Any]:
    return asdict(found) | {"device_hours": found.device_hours}


def _proposal(found: Proposal) -> dict[str, Any]:
    return {
        "layout": str(found.layout),
        "degrees": asdict(found.layout),
        "micro_rows": found.micro_rows,
        "micro_batches": found.micro_batches,
        "interleaving": found.interleaving,
        "checkpointing": found.checkpointing,
        "bytes_a_device": found.memory.peak,
        "memory": found.memory.parts,
        "step_seconds": found.seconds,
        "utilisation_estimated": found.utilisation,
        "losses": found.losses,
    }
