"""C16: do examples in the prompt help a model whose weights stay as they are?"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Figure, Level, Numbers, Series, Source, by_level
from headstart.lab.house import decoder
from headstart.lab.rules import Evidence, Gain
from headstart.lab.runs import RunSpec

SHOTS = (0, 1, 4, 16)
TAGS = {"NOUN": " noun", "VERB": " verb"}
ASKED = 100
"""Words of each tag."""
REPEATED, ROWS = 48, 16

CLAIM = Claim(
    id="C16",
    chapter="GPT",
    title="examples in the prompt help, without any weight update",
    statement="Sixteen examples in the prompt raise the share of right answers by three points over none.",
    quantity="percent of words that are told to be noun or verb, by number of examples in the prompt",
    lesson="Examples show the form of the answer as well as the task: with answers drawn by lot most of "
    "the gain of large models stays.",
    scale="A hundred million parameters and ten billion tokens; what such models do is seen before in the "
    "loss of repeated text.",
    sources=(
        Source("Brown et al. 2020 (GPT-3)", "arXiv 2005.14165, figure 1.2", "steeper with size"),
        Source(
            "Olsson et al. 2022",
            "arXiv 2209.11895",
            "heads that continue what was repeated come with it",
            "abstract",
        ),
        Source("Min et al. 2022", "arXiv 2202.12837", "labels by lot barely hurt", "abstract"),
    ),
    confounders=(
        "Half of the words are nouns: a model that always says one thing scores 50.",
        "Examples with answers drawn by lot are measured beside: they show the form alone.",
        "Examples are drawn anew for every word, the same ones for every model.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=1, tokens=0.4e6),
    "full": Level(seeds=5, minutes=20, tokens=6e6, shape="S"),
}
RULE = Gain("decoder.right with 16 - decoder.right with 0", 3.0, "points")


def arms(bench: Bench) -> dict[str, RunSpec]:
    """The usual decoder."""
    return {"decoder": decoder(bench)}


def measure(bench: Bench) -> Numbers:
    """Right answers by number of examples; units: words."""
    import numpy as np

    from headstart.lab.measures.losses import heldout_rows, model_of
    from headstart.lab.measures.prompting import repeated_gain, right_after
    from headstart.tasks.data.dataset import load_examples
    from headstart.tokenizer.folder import open_tokenizer

    tokens = bench.make(bench.tokens)
    model, tokenizer = model_of(bench.run), open_tokenizer(tokens)
    options = [tokenizer.encode(answer)[0] for answer in TAGS.values()]
    sides = []
    for file in bench.labelled("pos"):
        part, words = load_examples(file), {}
        for sentence, tags in zip(part.inputs, part.targets, strict=True):
            words.update({word.lower(): tag for word, tag in zip(sentence, tags, strict=True) if tag in TAGS})
        chosen = []
        for number, tag in enumerate(TAGS):
            of_tag = sorted(word for word, its in words.items() if its == tag and word.isalpha())
            chosen += [(tokenizer.encode(f"\n{word}:"), options[number]) for word in _spread(of_tag)]
        sides.append(chosen)
    shown, asked = sides
    by_shots = {
        shots: right_after(model, asked, shown, shots, options, tokenizer.opening, bench.seed)
        for shots in SHOTS
    }
    by_lot = right_after(model, asked, shown, SHOTS[-1], options, tokenizer.opening, bench.seed, wrong=True)
    ordinary = np.flatnonzero(heldout_rows(tokens).vocabulary.ordinary)
    return {
        "right with 0": by_shots[0],
        "right with 16": by_shots[SHOTS[-1]],
        "by number of examples": [float(np.mean(by_shots[shots])) for shots in SHOTS],
        "with answers drawn by lot": by_lot,
        "nats gained by repeating": repeated_gain(model, ordinary.tolist(), REPEATED, ROWS, bench.seed),
    }


def _spread(words: list[str]) -> list[str]:
    """`ASKED` of them, evenly spread over the alphabet."""
    return words[:: max(1, len(words) // ASKED)][:ASKED]


def picture(evidence: Evidence) -> list[Figure]:
    """Right answers over examples, and with answers by lot."""
    import numpy as np

    right = by_level("right answers", SHOTS, evidence["decoder.by number of examples"])
    lot = float(np.mean(np.asarray(evidence["decoder.with answers drawn by lot"], float)))
    series = [right, Series("answers drawn by lot", [(SHOTS[-1], lot)])]
    return [
        Figure(
            "lines", "Noun or verb, by examples in the prompt", x="examples", y="percent right", series=series
        )
    ]
