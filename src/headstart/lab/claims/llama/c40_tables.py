"""C40: do the tables that everyone retells agree with the models' configurations?"""

from dataclasses import dataclass

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Evidence, Exact

ROUNDING = 0.02
"""A figure that is told with two or three digits may be so far off."""


@dataclass(frozen=True)
class Cell:
    """A figure of a table as it is told, and where the registry of models has it."""

    table: str
    model: str
    key: str
    """A field of the configuration, or `parameters`, `tokens`, `tokens_per_parameter`, `year`, `date`."""
    told: float | str


def _cells(table: str, key: str, told: dict[str, float | str]) -> list[Cell]:
    return [Cell(table, model, key, value) for model, value in told.items()]


LLAMA = ("llama-3-8b", "llama-3-70b", "llama-3.1-405b")


def _llama(key: str, *told: float | str) -> list[Cell]:
    return [Cell("Llama 3", model, key, value) for model, value in zip(LLAMA, told, strict=True)]


LAST = ("bert-large", "gpt3-175b", "llama-3.1-405b")


def _last(key: str, *told: float | str) -> list[Cell]:
    return [Cell("three models", model, key, value) for model, value in zip(LAST, told, strict=True)]


CELLS = (
    *_cells("BERT", "layers", {"bert-base": 12, "bert-large": 24}),
    *_cells("BERT", "width", {"bert-base": 768, "bert-large": 1024}),
    *_cells("BERT", "heads", {"bert-base": 12, "bert-large": 16}),
    *_cells("BERT", "parameters", {"bert-base": 110e6, "bert-large": 340e6}),
    *_cells("GPT", "year", {"gpt1": 2018, "gpt2-xl": 2019, "gpt3-175b": 2020}),
    *_cells("GPT", "parameters", {"gpt1": 117e6, "gpt2-xl": 1.5e9, "gpt3-175b": 175e9}),
    *_cells("GPT", "tokens", {"gpt3-175b": 300e9}),
    *_cells(
        "compute-optimal", "parameters",
        {"gpt3-175b": 175e9, "chinchilla-70b": 70e9, "llama-1-65b": 65e9, "llama-2-70b": 70e9, "llama-3-70b":
        70e9}, ),
    *_cells(
        "compute-optimal", "tokens",
        {"gpt3-175b": 300e9, "chinchilla-70b": 1.4e12, "llama-1-65b": 1.4e12, "llama-2-70b": 2e12,
        "llama-3-70b": 15e12}, ),
    *_cells(
        "compute-optimal", "tokens_per_parameter",
        {"gpt3-175b": 1.7, "chinchilla-70b": 20, "llama-1-65b": 21.5, "llama-2-70b": 28.6, "llama-3-70b":
        214}, ),
    *_llama("layers", 32, 80, 126),
    *_llama("width", 4096, 8192, 16_384),
    *_llama("heads", 32, 64, 128),
    *_llama("kv_heads", 8, 8, 8),
    *_llama("feedforward_width", 14_336, 28_672, 53_248),
    *_llama("context", 8192, 8192, 8192),
    *_llama("vocab_size", 128e3, 128e3, 128e3),
    *_llama("tokens", 15e12, 15e12, 15e12),
    *_last("architecture", "encoder", "decoder", "decoder"),
    *_last("parameters", 340e6, 175e9, 405e9),
    *_last("vocab_size", 30e3, 50e3, 128e3),
    *_last("position", "learned", "learned", "rotary"),
    *_last("norm", "layernorm", "layernorm", "rmsnorm"),
    *_last("norm_place", "post", "pre", "pre"),
    *_last("feedforward", "gelu", "gelu", "swiglu"),
    *_last("open_weights", "yes", "no", "yes"),
    Cell("the step of training", "llama-3-70b", "width", 4096),
    *_cells(
        "timeline", "date",
        {
            "Word2Vec": "2013", "GloVe": "2014", "Transformer": "2017", "ELMo": "2018-02", "GPT-1": "2018-06",
            "BERT": "2018-10", "GPT-2": "2019", "RoBERTa": "2019", "GPT-3": "2020", "T5": "2020",
            "Chinchilla": "2022", "Llama 1": "2023", "Llama 2": "2023", "Llama 3": "2024",
        },
    ),
)  # fmt: skip

CLAIM = Claim(
    id="C40",
    chapter="all",
    title="the comparison tables and the timeline",
    statement="Every figure of the tables that are usually retold agrees with the published configurations.",
    quantity=f"cells that differ, more than {100 * ROUNDING:.0f} % where a figure is rounded",
    lesson="The cells that are struck through below. GPT-4's figures stay out: nobody who knows has "
    "published them.",
    sources=(
        Source("the models' own papers", "named in `headstart models`", "every figure of the registry"),
    ),
    confounders=(
        "A figure of three digits is rounded: 110M for 110.1M is right, 1.5B for 1.558B is not.",
        "A year may be that of the first preprint or of the journal: the registry has the first.",
    ),
)
LEVELS = {"quick": Level(), "full": Level()}
RULE = Exact("cells that differ", 0.0)


def measure(bench: Bench) -> Numbers:
    """Every cell against the registry."""
    return {"cells that differ": float(sum(not agrees(cell) for cell in CELLS))}


def known(cell: Cell) -> float | str | None:
    """What the registry says."""
    from headstart.models.catalogue.comparison import facts
    from headstart.models.catalogue.timeline import milestone

    if cell.key == "date":
        return milestone(cell.model).date
    found = facts(cell.model)
    if cell.key == "open_weights":
        return "yes" if found["open_weights"] else "no"
    return found[cell.key] if cell.key in found else found["config"][cell.key]


def agrees(cell: Cell) -> bool:
    """Whether the cell says what the registry says."""
    found = known(cell)
    if isinstance(cell.told, str):
        return str(found).startswith(cell.told)
    return found is not None and abs(float(found) / cell.told - 1) <= ROUNDING


def picture(evidence: Evidence) -> list[Figure]:
    """The cells that differ, with the source of the registry's figure."""
    from headstart.models.catalogue.comparison import facts
    from headstart.models.catalogue.timeline import milestone

    rows = []
    for cell in CELLS:
        if not agrees(cell):
            source = milestone(cell.model).source if cell.key == "date" else facts(cell.model)["source"]
            rows.append([cell.table, cell.model, cell.key, _shown(cell.told), _shown(known(cell)), source])
    columns = ("table", "model", "what", "told", "registry", "source")
    return [Figure("table", f"{len(rows)} of {len(CELLS)} cells differ", columns=columns, rows=rows)]


def _shown(value: float | str | None) -> str:
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)
