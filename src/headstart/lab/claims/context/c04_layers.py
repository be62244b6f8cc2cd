"""C04: do lower layers hold syntax and higher ones what a text is about?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Series, Source, by_level
from headstart.lab.house import encoder, finetune_of
from headstart.lab.rules import Every, Evidence, Gain
from headstart.lab.runs import RunSpec

LABELS = 1000
TASKS = {"tags": "pos", "mails": "spam"}

CLAIM = Claim(
    id="C04",
    chapter="context",
    title="lower layers hold syntax, higher ones meaning; tasks weight layers differently",
    statement="Parts of speech are read from lower layers than the kind of a text is, by a probe of each "
    "layer and by the weights that a task learns for the layers.",
    quantity="centre of gravity, in layers: of what a probe gains over the commonest answer, and of the "
    "learned weights",
    lesson="The published gaps between layers are about half a point on tags and two on senses: the table "
    "is usually drawn sharper than it was measured.",
    scale="Layers of BERT's depth, and word senses instead of kinds of texts.",
    sources=(
        Source(
            "Peters et al. 2018 (ELMo)", "arXiv 1802.05365, tables 5, 6", "tags 97.3, 96.8; senses 67.4, 69.0"
        ),
        Source("Tenney et al. 2019", "arXiv 1905.05950", "the order of the classical pipeline", "abstract"),
    ),
    confounders=(
        "Four layers: the centre of gravity has little room.",
        "Meaning is the kind of a mail, which is the whole text's; senses of words would be the better task.",
        "Mean states of a text against the state of a word: two kinds of reading.",
        "The embeddings are layer 0 in both.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=8, tokens=0.4e6, shape="S"),
    "full": Level(seeds=8, minutes=120, tokens=6e6, shape="S"),
}
RULE = Every(
    Gain("encoder.centre of mails - encoder.centre of tags", 0.3, "layers"),
    Gain("mails, mix.centre - tags, mix.centre", 0.3, "layers"),
)


def arms(bench: Bench) -> dict[str, RunSpec]:
    """An encoder of four layers, and a mix of its layers for each task."""
    base = encoder(bench)
    mixes = {
        f"{name}, mix": finetune_of(bench, base, task, LABELS, adapt="mix") for name, task in TASKS.items()
    }
    return {"encoder": base} | mixes


def measure(bench: Bench) -> Numbers:
    """Probes of every layer, or the weights of a mix."""
    import numpy as np

    from headstart.lab.fitting import read_answers
    from headstart.lab.measures.losses import model_of
    from headstart.lab.measures.probes import (
        balanced,
        centre_of_gravity,
        centroid_right,
        text_states,
        word_states,
    )
    from headstart.tasks.data.dataset import load_examples
    from headstart.tasks.data.splitting import sample_labels
    from headstart.tokenizer.folder import open_tokenizer

    if bench.arm != "encoder":
        weights = read_answers(bench.run)["mix"]
        return {"centre": centre_of_gravity(weights), "weights": weights}
    model, tokenizer = model_of(bench.run), open_tokenizer(bench.make(bench.tokens))
    numbers: dict[str, float | list[float]] = {}
    for name, task in TASKS.items():
        train, test = (load_examples(file) for file in bench.labelled(task))
        parts = [sample_labels(train, LABELS, bench.seed), test]
        if name == "tags":
            states = [np.concatenate(word_states(model, tokenizer, part.inputs), axis=1) for part in parts]
            labels = [[tag for tags in part.targets for tag in tags] for part in parts]
        else:
            states = [text_states(model, tokenizer, part.inputs) for part in parts]
            labels = [list(part.targets) for part in parts]
        scores = [
            balanced(centroid_right(states[0][depth], labels[0], states[1][depth], labels[1]), labels[1])
            for depth in range(len(states[0]))
        ]
        chance = 100 / len(set(labels[1]))
        numbers[f"{name} by layer"] = scores
        numbers[f"centre of {name}"] = centre_of_gravity([score - chance for score in scores])
    return numbers


def picture(evidence: Evidence) -> list[Figure]:
    """Probes and weights by layer."""
    layers = range(len(evidence["encoder.tags by layer"][0]))  # type: ignore[arg-type]
    probes = [by_level(name, layers, evidence[f"encoder.{name} by layer"]) for name in TASKS]
    mixes = [by_level(name, layers, evidence[f"{name}, mix.weights"]) for name in TASKS]
    return [
        _by_layer("Nearest centroid by layer", "balanced percent right", probes),
        _by_layer("Learned weights of the layers", "weight", mixes),
    ]


def _by_layer(title: str, unit: str, series: list[Series]) -> Figure:
    return Figure("lines", title, "Layer 0 is the embedding.", "layer", unit, series=series)
