"""C39: what are the exact sizes of Llama 3, and of what it remembers while it writes?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Every, Evidence, Exact

MODELS = {"8B": "llama-3.1-8b", "70B": "llama-3.1-70b", "405B": "llama-3.1-405b"}
PARAMETERS = {"8B": 8_030_261_248, "70B": 70_553_706_496, "405B": 405_853_388_800}
A_TOKEN = {"8B": 131_072, "70B": 327_680, "405B": 516_096}
"""Bytes of the cache for each token, in bfloat16: 2 x 8 heads x 128 x layers x 2 bytes."""
CONTEXTS = {"8K": 8192, "128K": 131_072}

CLAIM = Claim(
    id="C39",
    chapter="Llama",
    title="the published sizes of Llama 3 8B, 70B, 405B",
    statement="The three models have 8, 70 and 405 billion parameters, and their caches have the sizes that "
    "eight "
    "key-value heads give.",
    quantity="weights by count; bytes of the key-value cache of one text in bfloat16",
    lesson="The width of the 70B is 8,192, not 4,096, which is the 8B's; and the 405B has had a context of "
    "128K since "
    "its release, not 8,192.",
    sources=(Source("Dubey et al. 2024", "arXiv 2407.21783, table 3", "layers, widths, heads of the three"),),
    confounders=("Llama 3 reads 8,192 tokens, Llama 3.1 131,072: sizes are the same.",),
)
LEVELS = {"quick": Level(), "full": Level()}
RULE = Every(
    *(Exact(f"parameters of {name}", against=count, unit="weights") for name, count in PARAMETERS.items()),
    *(
        Exact(f"cache of {name} at {context}", against=each * CONTEXTS[context], unit="bytes")
        for name, each in A_TOKEN.items()
        for context in CONTEXTS
    ),
)


def measure(bench: Bench) -> Numbers:
    """Build each on the meta device and count; the cache follows from the configuration."""
    from headstart.models.parameters import cache_bytes
    from headstart.models.registry import count_parameters, preset_config

    found = {}
    for name, preset in MODELS.items():
        config = preset_config(preset)
        found[f"parameters of {name}"] = float(count_parameters(config))
        for context, tokens in CONTEXTS.items():
            found[f"cache of {name} at {context}"] = float(cache_bytes(config, tokens))
    return found


def picture(evidence: Evidence) -> list[Figure]:
    """Counts and caches."""
    rows = [
        [
            name,
            f"{int(evidence[f'parameters of {name}'][0]):,}",  # type: ignore[arg-type]
            *(f"{evidence[f'cache of {name} at {context}'][0] / 1e9:.2f} GB" for context in CONTEXTS),  # type: ignore[operator]
        ]
        for name in MODELS
    ]
    columns = ("model", "parameters", *(f"cache at {context}" for context in CONTEXTS))
    return [Figure("table", "Llama 3", columns=columns, rows=rows)]
