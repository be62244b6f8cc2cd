"""What others published: their laws, their models, and how well their training runs used the hardware."""

from dataclasses import dataclass

from headstart.errors import HeadstartError, nearest
from headstart.models.parameters import block_parameters
from headstart.models.registry import family_named, preset_config, presets
from headstart.page.numbers import amount
from headstart.scaling.laws import Allocation, KaplanLoss, LossLaw, Parametric, PowerLaw, Reach, Repeated
from headstart.scaling.units import PETAFLOP_DAY

KAPLAN = "Kaplan et al. 2020, arXiv 2001.08361"
HOFFMANN = "Hoffmann et al. 2022, arXiv 2203.15556"
BESIROGLU = "Besiroglu et al. 2024, arXiv 2404.10102"
MUENNIGHOFF = "Muennighoff et al. 2023, arXiv 2305.16264"
LLAMA_1 = "Touvron et al. 2023, arXiv 2302.13971"
LLAMA_2 = "Touvron et al. 2023, arXiv 2307.09288"
LLAMA_3 = "Grattafiori et al. 2024, arXiv 2407.21783"
LLAMA_31_CARD = "model card of Llama 3.1, July 2024"
TORCHTITAN = "torchtitan's docs/performance.md of December 2024: GPUs of 96 GB held to 500 W"
PALM = "Chowdhery et al. 2022, arXiv 2204.02311, table 3"

# --- laws ---------------------------------------------------------------------------------------------

KAPLAN_REACH = Reach((768, 1.5e9), (22e6, 23e9))
HOFFMANN_REACH = Reach((70e6, 16e9), (5e9, 500e9))
WITHOUT_EMBEDDINGS = "N counts no embeddings; a vocabulary other than WebText2's 50,257 shifts the loss"

POWER_LAWS = {
    law.name: law
    for law in (
        PowerLaw(
            "kaplan-2020-parameters", f"{KAPLAN}, eq. 1.1", "parameters", 8.8e13, 0.076, (768, 1.5e9),
            f"trained to convergence on ample data; {WITHOUT_EMBEDDINGS}",
        ),
        PowerLaw(
            "kaplan-2020-tokens", f"{KAPLAN}, eq. 1.2", "tokens", 5.4e13, 0.095, (22e6, 23e9),
            "large models, stopped early",
        ),
        PowerLaw(
            "kaplan-2020-compute", f"{KAPLAN}, table 5", "compute", 1.6e7 * PETAFLOP_DAY, 0.057,
            (1e-9 * PETAFLOP_DAY, 10 * PETAFLOP_DAY), "best size at a fixed batch size",
        ),
        PowerLaw(
            "kaplan-2020-least-compute", f"{KAPLAN}, eq. 1.3", "compute", 3.1e8 * PETAFLOP_DAY, 0.050,
            (1e-9 * PETAFLOP_DAY, 10 * PETAFLOP_DAY), "best size, batch far below the critical one",
        ),
    )
}  # fmt: skip

ALLOCATIONS = {
    law.name: law
    for law in (
        Allocation(
            "kaplan-2020-split", f"{KAPLAN}, table 6", 1.3e9 / PETAFLOP_DAY**0.73, 0.73, KAPLAN_REACH,
            note=f"{WITHOUT_EMBEDDINGS}; no uncertainty was published; D follows from C = 6 N D",
        ),
        Allocation(
            "hoffmann-2022-1", f"{HOFFMANN}, section 3.1 and table 3", 67e9 / 5.76e23**0.50, 0.50,
            HOFFMANN_REACH, (0.488, 0.502),
            "minima over training curves; interval: 10th to 90th percentile; through table 3's row of 67B",
        ),
        Allocation(
            "hoffmann-2022-2", f"{HOFFMANN}, section 3.2 and table A3", 67e9 / 6.88e23**0.49, 0.49,
            HOFFMANN_REACH, (0.462, 0.534),
            "IsoFLOP profiles; interval: 10th to 90th percentile; through table A3's row of 67B",
        ),
        Allocation(
            "llama-3-2024", f"{LLAMA_3}, section 3.2.1", 1 / (6 * 0.299), 1 - 0.537,
            Reach((40e6, 16e9), (1e9, 1e12)),
            note="IsoFLOP profiles from 6e18 to 1e22 FLOPs: D = 0.299 C^0.537; no uncertainty was published",
        ),
    )
}  # fmt: skip

REFIT = Parametric(
    "besiroglu-2024",
    f"{BESIROGLU}, table 1",
    E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658,
    reach=Reach((57e6, 16.2e9), (0.7e9, 318e9)),
    errors={"E": 0.03, "A": 124.58, "B": 1293.23, "alpha": 0.02, "beta": 0.02},
    # From 1,000 bootstrap samples of the 240 runs with `headstart plan fit`.
    covariance=(
        (6.2333e-02, -3.0648e-02, 1.8806e-03, 3.7190e-03, -1.5297e-03),
        (-3.0648e-02, 1.7879e-01, 3.5158e-03, -1.8976e-03, 8.7490e-03),
        (1.8806e-03, 3.5158e-03, 1.8583e-04, 1.1089e-04, 1.7156e-04),
        (3.7190e-03, -1.8976e-03, 1.1089e-04, 2.2218e-04, -9.4776e-05),
        (-1.5297e-03, 8.7490e-03, 1.7156e-04, -9.4776e-05, 4.2840e-04),
    ),
    note="Hoffmann's approach 3, fitted again to 240 runs read off a figure; no headstart text, no headstart "
    "tokenizer: use it for ratios, and fit your own runs for losses",
)  # fmt: skip

LOSS_LAWS: dict[str, LossLaw] = {
    law.name: law
    for law in (
        REFIT,
        Parametric(
            "hoffmann-2022-3", f"{HOFFMANN}, eq. 10, with the digits of its TeX source",
            E=1.69337368, A=406.401018, B=410.722827, alpha=0.33917084, beta=0.2849083,
            reach=HOFFMANN_REACH,
            note="the published interval of a, 0.454 to 0.455, is far too narrow, and the constants miss the "
            f"paper's own runs ({BESIROGLU}); kept for comparison",
        ),
        KaplanLoss(
            "kaplan-2020", f"{KAPLAN}, table 2", N_c=6.4e13, D_c=1.8e13, alpha_N=0.076, alpha_D=0.103,
            reach=KAPLAN_REACH,
            note=f"trained to convergence, several passes over the data; {WITHOUT_EMBEDDINGS}",
        ),
    )
}  # fmt: skip

_SINGLE_EPOCH = Parametric(
    "muennighoff-2023-single-epoch", f"{MUENNIGHOFF}, appendix A",
    E=1.8691437, A=520.82495, B=1487.7161, alpha=0.3526596, beta=0.3526596,
    reach=Reach((7e6, 9e9), (0.1e9, 900e9)),
)  # fmt: skip


def repeated(unique: float) -> Repeated:
    """Muennighoff's law for a corpus of `unique` tokens."""
    return Repeated(
        base=_SINGLE_EPOCH,
        unique=unique,
        tokens_decay=15.387756,
        parameters_decay=5.309743,
        name="muennighoff-2023",
        source=f"{MUENNIGHOFF}, eq. 5, 6 and appendix A",
        reach=_SINGLE_EPOCH.reach,
        note="fitted to models with dropout 0.1 on C4; after many passes the loss may rise again",
    )


def loss_law(name: str) -> LossLaw:
    """A published law that gives losses, by name."""
    if name in POWER_LAWS or name in ALLOCATIONS or name == repeated(1.0).name:
        raise HeadstartError(
            f"{name} gives no loss for a size and a number of tokens alone, so no plan can be made by it; "
            f"take {', '.join(LOSS_LAWS)}, or the JSON file of your own fit"
        )
    if name not in LOSS_LAWS:
        raise HeadstartError(
            f"there is no law {name!r}{nearest(name, LOSS_LAWS)}; or give the JSON file of your own fit"
        )
    return LOSS_LAWS[name]


def catalogue() -> list[dict[str, str]]:
    """Every published law in words."""
    found = []
    for power in POWER_LAWS.values():
        low, high = power.reach
        found.append(
            {
                "name": power.name,
                "says": f"L = ({power.scale:.3g} / {power.of})^{power.exponent}",
                "source": power.source,
                "reach": f"from {low:.3g} to {high:.3g} {power.of}",
                "uncertainty": "none published",
                "note": power.note,
            }
        )
    for split in ALLOCATIONS.values():
        interval = split.exponent_interval
        found.append(
            {
                "name": split.name,
                "says": f"N = {split.coefficient:.4g} C^{split.exponent:g}, D = C / 6 N",
                "source": split.source,
                "reach": _reach(split.reach),
                "uncertainty": f"exponent from {interval[0]} to {interval[1]}"
                if interval
                else "none published",
                "note": split.note,
            }
        )
    for law in [*LOSS_LAWS.values(), repeated(1e9)]:
        entry = {"name": law.name, "source": law.source, "reach": _reach(law.reach), "note": law.note}
        entry |= {"says": "L(N, D) for repeated data", "uncertainty": "none published"}
        if isinstance(law, Parametric):
            entry["says"] = (
                f"L = {law.E:.4g} + {law.A:.4g} / N^{law.alpha:.4g} + {law.B:.4g} / D^{law.beta:.4g}"
            )
            errors = ", ".join(f"{name} {error:g}" for name, error in (law.errors or {}).items())
            entry["uncertainty"] = f"standard errors: {errors}" if errors else "see the note"
        elif isinstance(law, KaplanLoss):
            entry["says"] = (
                f"L = (({law.N_c:.3g} / N)^({law.alpha_N} / {law.alpha_D}) + {law.D_c:.3g} / D)^{law.alpha_D}"
            )
        found.append(entry)
    return found


def _reach(reach: Reach) -> str:
    (small, large), (few, many) = reach.parameters, reach.tokens
    return f"N from {amount(small)} to {amount(large)}, D from {amount(few)} to {amount(many)}"


# --- models -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PublishedModel:
    name: str
    parameters: float
    tokens: float
    source: str
    without_embeddings: float
    """Parameters without embeddings, positions and output, which some laws count alone."""

    def counted(self, law: LossLaw) -> float:
        """Its parameters, as a law counts them."""
        return self.parameters if law.counts_embeddings else self.without_embeddings


OTHERS = (
    PublishedModel("mt-nlg-530b", 530e9, 270e9, "Smith et al. 2022, arXiv 2201.11990", 12 * 105 * 20_480**2),
    PublishedModel(
        "palm-540b", 540.35e9, 780e9, "Chowdhery et al. 2022, arXiv 2204.02311", 540.35e9 - 256_000 * 18_432
    ),
)
"""Models that no family of `models` builds: 105 layers of 20,480 (12 L D^2), and 256,000 tokens of 18,432."""
SMALLEST_SHOWN = 5e9


def models() -> list[PublishedModel]:
    """Large decoders whose training tokens are known, in the order in which they came."""
    found = [
        (
            preset.year,
            PublishedModel(
                name, preset.parameters, preset.tokens, preset.source, block_parameters(preset_config(name))
            ),
        )
        for name, (family, preset) in presets().items()
        if preset.tokens and preset.parameters > SMALLEST_SHOWN and family_named(family).objective == "causal"
    ]
    found += [(2022, model) for model in OTHERS]
    return [model for _, model in sorted(found, key=lambda each: each[0])]


# --- how well hardware was used -----------------------------------------------------------------------


@dataclass(frozen=True)
class PublishedRun:
    """How much of the hardware's peak a training run turned into model FLOPs."""

    name: str
    parameters: float
    hardware: str
    devices: int
    utilisation: float
    """Model FLOPs (without recomputation) over peak: MFU."""
    source: str


RUNS = (
    PublishedRun("GPT-3", 175e9, "V100", 10_000, 0.213, f"{PALM}; number of devices: not published, about"),
    PublishedRun("Gopher", 280e9, "TPU v3", 4096, 0.325, PALM),
    PublishedRun("MT-NLG", 530e9, "A100", 2240, 0.302, PALM),
    PublishedRun("PaLM", 540e9, "TPU v4", 6144, 0.462, PALM),
    PublishedRun("Llama 1 65B", 65.2e9, "A100", 2048, 0.477, f"{LLAMA_1}, section 2.4: 380 tokens/s a GPU"),
    PublishedRun("Llama 3 405B, 8,192 GPUs", 405e9, "H100", 8192, 0.43, f"{LLAMA_3}, table 4"),
    PublishedRun("Llama 3 405B, 16,384 GPUs", 405e9, "H100", 16_384, 0.41, f"{LLAMA_3}, table 4"),
    PublishedRun("Llama 3 405B, 128K context", 405e9, "H100", 16_384, 0.38, f"{LLAMA_3}, table 4"),
    PublishedRun("Llama 3.1 8B in torchtitan", 8.03e9, "H100", 8, 0.33, TORCHTITAN),
    PublishedRun("the same, compiled", 8.03e9, "H100", 8, 0.39, TORCHTITAN),
    PublishedRun("MPT 7B in llm-foundry", 6.7e9, "H100", 8, 0.464, "llm-foundry's throughput tables"),
    PublishedRun("MPT 1B in llm-foundry", 1.3e9, "H100", 8, 0.418, "llm-foundry's throughput tables"),
    PublishedRun("Megatron 462B", 462e9, "H100", 6144, 0.47, "Megatron-LM's README"),
    PublishedRun("TinyLlama 1.1B", 1.1e9, "A100-40GB", 16, 0.56, "TinyLlama's README: 24k tokens/s a GPU"),
)


@dataclass(frozen=True)
class PublishedBill:
    """What a whole project cost in device hours, failures and evaluations included."""

    name: str
    parameters: float
    tokens: float
    hardware: str
    hours: float
    source: str


BILLS = (
    PublishedBill("Llama 1 65B", 65.2e9, 1.4e12, "A100", 1_022_362, f"{LLAMA_1}, table 15"),
    PublishedBill("Llama 2 7B", 6.7e9, 2.0e12, "A100", 184_320, f"{LLAMA_2}, table 2"),
    PublishedBill("Llama 2 70B", 69e9, 2.0e12, "A100", 1_720_320, f"{LLAMA_2}, table 2"),
    PublishedBill("Llama 3.1 8B", 8.03e9, 15e12, "H100", 1.46e6, LLAMA_31_CARD),
    PublishedBill("Llama 3.1 70B", 70.6e9, 15e12, "H100", 7.0e6, LLAMA_31_CARD),
    PublishedBill("Llama 3.1 405B", 405e9, 15.6e12, "H100", 30.84e6, LLAMA_31_CARD),
)
