"""C02: how much of the compute do many tasks share?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Source
from headstart.lab.rules import Beyond, Every, Evidence, Within

STEPS, ROWS = 1_000_000, 256
SHORT, LONG, SHORT_SHARE = 128, 512, 0.9
"""BERT's pre-training: nine tenths of the steps on rows of 128 tokens, the rest on rows of 512."""
EPOCHS, EXAMPLE = 3, 128
EXAMPLES = (1_000, 10_000, 100_000, 393_000)
"""Labelled examples of a task; the last is MNLI's number."""

CLAIM = Claim(
    id="C02",
    chapter="why",
    title="one expensive pre-training carries many cheap fine-tunings",
    statement="Pre-training costs many times what fine-tuning on a task costs, so that what tasks share is "
    "nearly all.",
    quantity="floating-point operations of BERT-Base's pre-training over those of one fine-tuning, three "
    "passes",
    lesson="\"99.9 % is shared\" is BERT's on small tasks: on MNLI's 393,000 examples it is 99.7 %, and "
    "with a thousand "
    "labels 99.999 %. How many tasks it takes to pay off depends on whether training from scratch reaches "
    "the score at all.",
    scale="The break-even needs runs from scratch that come to the same score, for which there are few "
    "tasks.",
    sources=(
        Source(
            "Devlin et al. 2018", "arXiv 1810.04805, appendix A.2", "1M steps of 256 rows, 4 days on 16 TPUs"
        ),
    ),
    confounders=(
        "Operations, not money or hours: a pod and one card have different prices.",
        "Fine-tuning is usually tried several times, with other rates and seeds: divide by as many.",
    ),
)
LEVELS = {"quick": Level(), "full": Level()}
RULE = Every(
    Within("pre-training over a fine-tuning on 10,000 examples", 10.0, float("inf"), "times"),
    Within("pre-training over a fine-tuning on 393,000 examples", 10.0, float("inf"), "times"),
    Beyond("tasks until it pays off", "it takes runs from scratch that reach the same score"),
)


def measure(bench: Bench) -> Numbers:
    """Counted from BERT-Base's configuration."""
    from headstart.models.flops import training_flops
    from headstart.models.registry import preset_config

    config = preset_config("bert-base")
    pretraining = 0
    for row, share in ((SHORT, SHORT_SHARE), (LONG, 1 - SHORT_SHARE)):
        tokens = round(STEPS * share) * ROWS * row
        pretraining += training_flops(config, tokens, row, round(0.15 * tokens))
    return {
        f"pre-training over a fine-tuning on {count:,} examples": pretraining
        / training_flops(config, EPOCHS * count * EXAMPLE, EXAMPLE)
        for count in EXAMPLES
    }


def picture(evidence: Evidence) -> list[Figure]:
    """The shared part, by the size of a task."""
    rows = []
    for count in EXAMPLES:
        ratio = float(evidence[f"pre-training over a fine-tuning on {count:,} examples"][0])  # type: ignore[arg-type]
        rows.append([f"{count:,}", f"{ratio:,.0f}", f"{100 * ratio / (1 + ratio):.4f} %"])
    columns = ("labelled examples", "pre-training / fine-tuning", "shared of both")
    return [Figure("table", "BERT-Base", columns=columns, rows=rows)]
