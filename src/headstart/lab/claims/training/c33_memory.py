"""C33: what does training hold in memory?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Every, Evidence, Exact
from headstart.scaling.memory import Precision

TABLE: dict[tuple[Precision, str], float] = {
    ("float32", "weights"): 280.0,
    ("float32", "gradients"): 280.0,
    ("float32", "optimiser"): 560.0,
    ("mixed", "weights"): 140.0,
    ("mixed", "gradients"): 140.0,
    ("mixed", "optimiser"): 560.0,
}
"""What is usually told of a 70B model, in GB."""
MEASURED: tuple[tuple[str, Precision], ...] = (
    ("headstart-decoder", "float32"),
    ("headstart-decoder", "bfloat16"),
    ("headstart-encoder", "bfloat16"),
    ("gpt2", "float32"),
    ("bert", "float32"),
)
SMALL = {"layers": 4, "width": 256, "heads": 4, "feedforward_width": 704, "context": 128, "vocab_size": 8192}
ROWS = 32

CLAIM = Claim(
    id="C33",
    chapter="training",
    title="AdamW keeps twice the model in optimiser state; the memory table for 70B",
    statement="AdamW keeps two numbers for every weight, and the memory of training a 70B model is as the "
    "table says.",
    quantity="bytes of the optimiser over bytes of the weights; plan over table; plan over measured peak",
    lesson="The column for mixed precision leaves out the float32 master copy of the weights, 282 GB: "
    "weights, "
    "gradients, master copy and optimiser come to 1.13 TB in either precision. Muon keeps one number a "
    "weight of the blocks.",
    sources=(
        Source("Loshchilov & Hutter 2017", "arXiv 1711.05101", "AdamW: two moments a weight"),
        Source("Rajbhandari et al. 2020 (ZeRO)", "arXiv 1910.02054, section 3.1", "16 bytes a parameter"),
    ),
    confounders=(
        "70B is 70.55B parameters: the plan is 0.8 % above the table for that alone.",
        "The peak of a process is read from the system; libraries, loaded before, are not counted.",
    ),
)
LEVELS = {"quick": Level(minutes=2), "full": Level(minutes=2)}
RULE = Every(
    Exact("AdamW's state / weights", 0.0, against=2.0),
    Exact("plan / table", 0.02, against=1.0),
    Exact("plan / measured peak", 0.10, against=1.0),
)


def measure(bench: Bench) -> Numbers:
    """A real optimiser, the planner on Llama 3 70B, and real steps in processes of their own."""
    from headstart.lab.measures.counting import optimiser_share
    from headstart.models.registry import make_config
    from headstart.scaling.measure import peak_memory
    from headstart.scaling.memory import training_memory

    peaks = []
    for family, precision in MEASURED:
        config = make_config(family, SMALL)
        planned = training_memory(
            config,
            ROWS,
            SMALL["context"],
            None,
            precision,
            "muon",
            "none",
            device="cpu",
            documents=True,
        ).peak
        peaks.append(planned / peak_memory(config, ROWS, precision, "none"))
    return {
        "AdamW's state / weights": optimiser_share("adamw"),
        "Muon's state / weights": optimiser_share("muon"),
        "plan / table": [planned_gb(*key) / said for key, said in TABLE.items()],
        "plan / measured peak": peaks,
    }


def planned_gb(precision: Precision, part: str) -> float:
    """What the planner says of a part of Llama 3 70B, in GB."""
    from headstart.models.registry import preset_config
    from headstart.scaling.memory import training_memory

    parts = training_memory(preset_config("llama-3-70b"), 1, 8192, None, precision).parts
    return parts[part] / 1e9


def picture(evidence: Evidence) -> list[Figure]:
    """The table beside the plan, and measured peaks."""
    rows = [
        [f"{part}, {precision}", f"{said:.0f}", f"{planned_gb(precision, part):.1f}"]
        for (precision, part), said in TABLE.items()
    ]
    rows.append(["master copies, mixed", "not in the table", f"{planned_gb('mixed', 'master copies'):.1f}"])
    peaks = [
        [f"{family}, {precision}", f"{ratio:.3f}"]
        for (family, precision), ratio in zip(MEASURED, evidence["plan / measured peak"][0], strict=True)  # type: ignore[arg-type]
    ]
    return [
        Figure("table", "A 70B model, in GB", columns=("", "table", "plan"), rows=rows),
        Figure("table", "Planned peak over measured peak", columns=("model", "ratio"), rows=peaks),
    ]
