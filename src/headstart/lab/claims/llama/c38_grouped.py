"""C38: how much smaller does grouped-query attention make the cache, and at what price?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.house import decoder
from headstart.lab.rules import Every, Evidence, Exact, Same
from headstart.lab.runs import RunSpec

HEADS = {"mha": 4, "gqa": 2, "mqa": 1}
TEXT = 100
"""Tokens of the text whose cache is weighed."""

CLAIM = Claim(
    id="C38",
    chapter="Llama",
    title="grouped-query attention shrinks the cache 16 times at nearly the same quality",
    statement="With fewer key-value heads the cache shrinks by as many times, and the loss stays nearly the "
    "same; with "
    "a single one it gets a little worse.",
    quantity="bytes of the cache as allocated; held-out loss in nats a token, fewer heads less all",
    lesson="16 is the 405B's ratio of heads; the 8B has 4 and the 70B 8. With all heads the 405B's cache "
    "would be "
    "1,082 GB at 128K, with 8 it is 68 GB.",
    scale="Models with 32 heads and more, where sharing by 16 is possible.",
    sources=(
        Source(
            "Ainslie et al. 2023",
            "arXiv 2305.13245",
            "quality close to multi-head, speed of multi-query",
            "abstract",
        ),
    ),
    confounders=(
        "Fewer heads are fewer weights: 2 of 4 heads save 33k of 0.93M here, and none are given back "
        "elsewhere.",
        "Four heads are few: sharing by 2 and by 4 is all that can be tried.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=7, tokens=0.4e6),
    "full": Level(seeds=8, minutes=150, tokens=6e6, shape="S"),
}
RULE = Every(
    Exact("mha.cache over that of one head", against=4.0),
    Exact("gqa.cache over that of one head", against=2.0),
    Same("gqa.nats - mha.nats", 0.02, "nats"),
    Same("mqa.nats - mha.nats", 0.05, "nats"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """The usual decoder, and two with fewer key-value heads."""
    fewer = {name: decoder(bench, kv_heads=count) for name, count in HEADS.items() if count < HEADS["mha"]}
    return {"mha": decoder(bench)} | fewer


def measure(bench: Bench) -> Numbers:
    """Loss, with documents as units, and the cache of a text."""
    from dataclasses import replace

    from headstart.lab.measures.counting import allocated_cache_bytes
    from headstart.lab.measures.losses import causal_by_document, heldout_rows, model_of

    config = model_of(bench.run).config
    one = allocated_cache_bytes(replace(config, kv_heads=1), TEXT)
    return {
        "nats": causal_by_document(bench.run, heldout_rows(bench.make(bench.tokens))),
        "cache over that of one head": allocated_cache_bytes(config, TEXT) / one,
    }


def picture(evidence: Evidence) -> list[Figure]:
    """Cache and loss by key-value heads."""
    import numpy as np

    rows = [
        [
            f"{count} of 4 heads",
            f"{evidence[f'{name}.cache over that of one head'][0]:g} times",
            f"{float(np.mean(np.asarray(evidence[f'{name}.nats'], float))):.3f}",
        ]
        for name, count in HEADS.items()
    ]
    return [Figure("table", "Cache and loss", columns=("", "cache of one head", "nats a token"), rows=rows)]
