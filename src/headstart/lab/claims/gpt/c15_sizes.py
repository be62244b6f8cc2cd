"""C15: what are the exact sizes of GPT-1, GPT-2 and GPT-3?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Every, Evidence, Exact

EXACT = {"gpt1": 116_534_784, "gpt2-xl": 1_557_611_200, "gpt3-175b": 174_600_720_384}
SAID = {"gpt1": "117M", "gpt2-xl": "1.5B", "gpt3-175b": "175B"}

CLAIM = Claim(
    id="C15",
    chapter="GPT",
    title="GPT-1 117M, GPT-2 1.5B, GPT-3 175B",
    statement="The three GPT models have the parameter counts that their configurations give.",
    quantity="weights of the configurations in the papers, tied ones counted once",
    lesson="GPT-2's 1.5B is cut off, not rounded: its largest model has 1.558B.",
    sources=(
        Source("Radford et al. 2018", "OpenAI", "12 layers of 768"),
        Source("Radford et al. 2019", "OpenAI, table 2", "1542M for 48 layers of 1,600"),
        Source("Brown et al. 2020", "arXiv 2005.14165, table 2.1", "175.0B for 96 layers of 12,288"),
    ),
    confounders=("GPT-3's weights are not public: its count follows from the shapes in the paper.",),
)
LEVELS = {"quick": Level(), "full": Level()}
RULE = Every(*(Exact(name, against=count, unit="weights") for name, count in EXACT.items()))


def measure(bench: Bench) -> Numbers:
    """Build each on the meta device and count."""
    from headstart.models.registry import count_parameters, preset_config

    return {name: float(count_parameters(preset_config(name))) for name in EXACT}


def picture(evidence: Evidence) -> list[Figure]:
    """Counted and published."""
    rows = [[name, f"{int(evidence[name][0]):,}", SAID[name]] for name in EXACT]  # type: ignore[arg-type]
    return [Figure("table", "Counted and published", columns=("model", "counted", "as told"), rows=rows)]
