"""C10: what is the exact size of the two published BERT models, and how is it rounded?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Every, Evidence, Exact, Within

MODELS = {"base": "bert-base", "large": "bert-large"}
SAID = {"base": 110e6, "large": 340e6}

CLAIM = Claim(
    id="C10",
    chapter="BERT",
    title="BERT-Base 110M and BERT-Large 340M parameters",
    statement="BERT-Base has 110 million parameters and BERT-Large 340 million.",
    quantity="weights of the model as it is pre-trained, with pooler, masked-token and next-sentence head",
    lesson="340M is a round figure: BERT-Large as it is pre-trained has 336.2M.",
    sources=(Source("Devlin et al. 2018", "arXiv 1810.04805, section 3", "110M and 340M in all", "text"),),
    confounders=(
        "Which heads count: without the pre-training heads they are 109.5M and 335.1M. Tied weights count "
        "once.",
    ),
)
LEVELS = {"quick": Level(), "full": Level()}
RULE = Every(
    Exact("base", against=110_106_428, unit="weights"),
    Exact("large", against=336_226_108, unit="weights"),
    Within("base / 110M", 0.98, 1.02),
    Within("large / 340M", 0.98, 1.02),
)


def measure(bench: Bench) -> Numbers:
    """Build both on the meta device, where weights take no memory, and count."""
    from headstart.models.registry import count_parameters, preset_config

    counts = {name: float(count_parameters(preset_config(preset))) for name, preset in MODELS.items()}
    ratios = {f"{name} / {said / 1e6:.0f}M": counts[name] / said for name, said in SAID.items()}
    return counts | ratios


def picture(evidence: Evidence) -> list[Figure]:
    """Parameters by part."""
    from headstart.models.parameters import parameters_by_part
    from headstart.models.registry import preset_config

    parts = {name: parameters_by_part(preset_config(preset)) for name, preset in MODELS.items()}
    bars = [(f"{name}: {part}", float(n)) for name, found in parts.items() for part, n in found.items()]
    return [Figure("bars", "Where the parameters are", y="weights", bars=bars)]
