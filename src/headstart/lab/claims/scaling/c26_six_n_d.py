"""C26: does training cost 6 N D, and how is it split between forward and backward?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Series, Source
from headstart.lab.rules import Every, Evidence, Exact

ROW = 2048
SMALLEST = 1e9
ROWS = (512, 1024, 2048, 4096, 8192, 16_384, 32_768)
SHOWN = ("gpt3-175b", "llama-3-8b", "llama-3-70b", "llama-3.1-405b")

CLAIM = Claim(
    id="C26",
    chapter="scaling",
    title="training costs about 6 N D FLOPs",
    statement="Training N parameters on D tokens costs about 6 N D floating-point operations, of which the "
    "backward pass has two thirds.",
    quantity="counted operations over 6 N D at rows of 2,048 tokens; backward over forward, counted while "
    "they run",
    lesson="Not 3 forward and 3 backward: a forward pass costs 2 N a token, a backward pass 4 N. And 6 N D "
    "leaves "
    "attention out, which grows with the row: at 8,192 tokens it is 12 % too low for a 70B model.",
    sources=(
        Source("Kaplan et al. 2020", "arXiv 2001.08361, section 2.1", "C = 6 N D, N without embeddings"),
        Source("Hoffmann et al. 2022", "arXiv 2203.15556, appendix F", "counted FLOPs against 6 N D"),
    ),
    confounders=(
        "Which N: all parameters here, as training budgets are told. An input embedding is looked up, not "
        "multiplied, so that untied models come out lower.",
        "Attention's share grows with the row, so the row is fixed; the picture shows others.",
        "Encoder-decoders pass each token through one of two stacks, and stand apart.",
    ),
)
LEVELS = {"quick": Level(minutes=0.5), "full": Level(minutes=0.5)}
RULE = Every(Exact("backward / forward", 0.01, against=2.0), Exact("counted / 6 N D", 0.15, against=1.05))


def measure(bench: Bench) -> Numbers:
    """Published decoders of a billion parameters and more, and small models of every family, run and
    counted."""
    from headstart.lab.measures.counting import VOCABULARY, counted_flops
    from headstart.lab.measures.exactness import DECODERS, READING, SIZES
    from headstart.models.registry import make_config

    ratios = {}
    for family in (*DECODERS, *READING):
        if family == "chinchilla":  # its sinusoids of distances need no gradient
            continue
        forward, backward = counted_flops(make_config(family, SIZES | {"vocab_size": VOCABULARY}), 2, 32)
        ratios[family] = backward / forward
    return {
        "backward / forward": ratios,
        "counted / 6 N D": {name: share(name, row_of(name)) for name in published()},
    }


def published() -> list[str]:
    """Published decoders that are large enough."""
    from headstart.models.registry import preset_config, presets

    return [
        name
        for name, (_, preset) in presets().items()
        if preset.parameters >= SMALLEST and preset_config(name).architecture == "decoder"
    ]


def row_of(name: str) -> int:
    """Tokens in the rows of a published model: of its context, where that is shorter."""
    from headstart.models.registry import preset_config

    return min(ROW, preset_config(name).context)


def share(name: str, row: int) -> float:
    """Counted training operations of a published model over 6 N D."""
    from headstart.models.flops import flops_by_part, six_n_d
    from headstart.models.registry import preset_config

    config = preset_config(name)
    counted = sum(part.total for part in flops_by_part(config, 1, row).values())
    return counted / six_n_d(config, row)


def picture(evidence: Evidence) -> list[Figure]:
    """The ratio by model, and how it grows with the row."""
    series = [Series(name, [(float(row), share(name, row)) for row in ROWS]) for name in SHOWN]
    bars = list(evidence["counted / 6 N D"][0].items())  # type: ignore[union-attr]
    return [
        Figure(
            "lines",
            "Attention grows with the row",
            x="tokens in a row",
            y="counted / 6 N D",
            log_x=True,
            series=series,
        ),
        Figure("bars", f"Counted operations over 6 N D, rows of {ROW:,} tokens", y="times", bars=bars),
    ]
