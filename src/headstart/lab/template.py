"""A claim of your own: fill in what you claim, what you compare, and by which rule you judge it.

`headstart lab run THIS_FILE.py --data YOUR_TEXT` registers it, makes the runs, and adds it to the page.
"""

from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Level, Numbers
from headstart.lab.rules import Gain

CLAIM = Claim(
    id="mine-1",
    chapter="yours",
    title="longer words take more tokens",
    statement="Words of ten letters and more take at least half a token more than words of five to nine "
    "letters.",
    quantity="tokens a word on documents that the tokenizer was not trained on",
    lesson="",  # what is usually told, if it is something else
    confounders=("Long words are rarer, too; this says nothing about which of the two it is.",),
)

# Three seeds at least: fewer show no spread.
LEVELS = {"quick": Level(seeds=3, minutes=1)}

# By how much has it to be better for anybody to care? Decide before you look.
RULE = Gain("long words - short words", margin=0.5, unit="tokens a word")


# Runs that are to be compared, by name, for one seed (`bench.seed`); leave it out where nothing is trained:
#
# def arms(bench: Bench) -> dict[str, RunSpec]:
#     return {"wide": pretrain_of(bench, {"width": 192}), "narrow": pretrain_of(bench, {"width": 128})}


def measure(bench: Bench) -> Numbers:
    """The numbers of one seed; with arms, of one arm, whose run lies in `bench.run`."""
    from headstart.tokenizer.folder import open_tokenizer

    tokenizer = open_tokenizer(bench.make(bench.tokenizer(split=bench.seed)))
    words = [word for text in bench.heldout_texts(bench.seed)[:50] for word in text.split() if word.isalpha()]

    def rate(shortest: int, longest: int) -> float:
        chosen = [f" {word}" for word in words if shortest <= len(word) <= longest]
        return sum(map(len, tokenizer.encode_batch(chosen))) / max(len(chosen), 1)

    return {"long words": rate(10, 99), "short words": rate(5, 9)}
