"""C21: how often has a passage to be repeated before a model writes it out word for word?"""

import math

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Series, Source, by_level
from headstart.lab.house import pretrain_of
from headstart.lab.rules import Every, Evidence, Exact, Gain, Trend
from headstart.lab.runs import RunSpec, planted_of

REPEATS = (0, 1, 4, 16, 64, 128)
EACH = 12
SHOWN = 32
DOUBLINGS = tuple(math.log2(count) for count in REPEATS if count >= 16)

CLAIM = Claim(
    id="C21",
    chapter="data",
    title="repeated text is memorised word for word",
    statement="The more often a passage stands in the training text, the likelier a model writes it out "
    "word for word "
    "when shown its beginning.",
    quantity="share of planted passages of 64 tokens of which the last 32 are written out whole after the "
    "first 32; nats "
    "of these tokens",
    lesson="A hundred repeats are the usual example. Extraction is the visible end of it: the loss of a "
    "passage falls "
    "from a few repeats on.",
    sources=(
        Source(
            "Carlini et al. 2022",
            "arXiv 2202.07646",
            "log-linear in model size, repeats and prompt",
            "abstract",
        ),
        Source("Lee et al. 2021", "arXiv 2107.06499", "a tenth of the memorised text after deduplication"),
    ),
    confounders=(
        "Passages are from documents that are set apart; those with no repeats are the control.",
        "Planted passages are a larger share of this text than copies are of the web's.",
        "The likeliest token each time: sampling would write out less.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=3, tokens=0.8e6),
    "full": Level(seeds=5, minutes=60, tokens=6e6, shape="S"),
}
RULE = Every(
    Trend("planted.written out, from 16 repeats", 0.05, DOUBLINGS, "of the passages a doubling"),
    Gain("planted.nats at 0 - planted.nats at 64", 1.0, "nats"),
    Exact("planted.written out at 0", 0.05),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """One decoder on the text with planted passages."""
    tokens = planted_of(bench.corpus, bench.tokenizer(), REPEATS, EACH)
    return {"planted": pretrain_of(bench, {"architecture": "decoder"}, {"kind": "causal"}, tokens)}


def measure(bench: Bench) -> Numbers:
    """What is written out, and the loss, by number of repeats."""
    import numpy as np

    from headstart.lab.measures.extraction import nats_behind, written_out
    from headstart.lab.measures.losses import model_of
    from headstart.lab.planting import passages
    from headstart.tokenizer.folder import open_tokenizer

    assert bench.spec is not None
    tokens = bench.make(bench.spec.inputs["tokens"])
    found, start = passages(tokens), open_tokenizer(tokens).opening
    repeats = np.array([count for _, count in found])
    ids, model = [passage for passage, _ in found], model_of(bench.run)
    written, nats = written_out(model, ids, SHOWN, start), nats_behind(model, ids, SHOWN, start)
    by_repeats = [float(written[repeats == count].mean()) for count in REPEATS]
    loss = [float(nats[repeats == count].mean()) for count in REPEATS]
    return {
        "written out": by_repeats,
        "written out, from 16 repeats": by_repeats[-len(DOUBLINGS) :],
        "written out at 0": by_repeats[0],
        "nats": loss,
        "nats at 0": loss[0],
        "nats at 64": loss[REPEATS.index(64)],
    }


def picture(evidence: Evidence) -> list[Figure]:
    """Both over the number of repeats; none is drawn at one half."""
    places = [count or 0.5 for count in REPEATS]
    share, nats = (
        by_level("planted", places, evidence[f"planted.{name}"]) for name in ("written out", "nats")
    )
    figures = (
        ("Passages written out whole", "share", share),
        ("Loss behind the shown beginning", "nats", nats),
    )
    return [_over_repeats(title, unit, series) for title, unit, series in figures]


def _over_repeats(title: str, unit: str, series: Series) -> Figure:
    return Figure(
        "lines", title, "Never planted: drawn at one half.", "repeats", unit, log_x=True, series=[series]
    )
