"""C17: is an encoder better than a decoder of equal size at tagging and classification?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Level, Numbers, Source
from headstart.lab.house import decoder, encoder, finetune_of
from headstart.lab.rules import Every, Gain
from headstart.lab.runs import RunSpec

LABELS = 1000

CLAIM = Claim(
    id="C17",
    chapter="choose",
    title="an encoder beats a decoder of equal size at tagging and classification",
    statement="Of two models of equal weights, text and tokens read, the encoder is better after "
    "fine-tuning: by two points at tagging, by one at classification.",
    quantity="percent right on test examples, encoder less decoder",
    lesson="True of tagging, where the right side of a word tells much. On whole texts the gap is small, "
    "and a decoder learns from more tokens of the same text.",
    sources=(
        Source(
            "Gisserot-Boukhlef et al. 2025", "arXiv 2507.00994", "masked models generally better", "abstract"
        ),
        Source(
            "Weller et al. 2025 (Ettin)",
            "arXiv 2507.11412",
            "each is better at its own kind of task",
            "abstract",
        ),
    ),
    confounders=(
        "The same weights, rows and order; what attention sees and the objective differ, and both at once.",
        "A text's vector is the mean of its states in both.",
        "Equal tokens are equal FLOPs here, and not equal targets: the decoder has two and a half times "
        "as many.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=5, tokens=0.4e6),
    "full": Level(seeds=8, minutes=60, tokens=6e6, shape="S"),
}
RULE = Every(
    Gain("tagging, encoder.right - tagging, decoder.right", 2.0, "points"),
    Gain("classification, encoder.right - classification, decoder.right", 1.0, "points"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """Both models on both tasks."""
    bases = {"encoder": encoder(bench), "decoder": decoder(bench)}
    return {
        f"{kind}, {name}": finetune_of(bench, base, task, LABELS)
        for kind, task in (("tagging", "pos"), ("classification", "spam"))
        for name, base in bases.items()
    }


def measure(bench: Bench) -> Numbers:
    """Percent right of every test example."""
    from headstart.lab.fitting import read_answers

    return {"right": read_answers(bench.run)["right"]}
