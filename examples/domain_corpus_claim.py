"""Is my domain corpus worth continued pre-training? A claim of one's own for the laboratory.

    headstart lab run examples/domain_corpus_claim.py --data TEXTS

where TEXTS holds two folders: `general`, text like that of the base model, and `domain`, text of the domain.
A base model is trained on the first; then one copy of it reads the domain's text, and another as many tokens
of general text. What the domain's text is worth is the difference of these two, not that to the base, which
has simply read less.
"""

from headstart.errors import HeadstartError
from headstart.lab.bench import Bench
from headstart.lab.claim import Claim, Level, Numbers
from headstart.lab.house import pretrain_of
from headstart.lab.rules import Every, Gain, Same
from headstart.lab.runs import RunSpec, corpus_of, tokenizer_of, tokens_of

VOCABULARY = 4096

CLAIM = Claim(
    id="domain-1",
    chapter="yours",
    title="our domain corpus is worth continued pre-training",
    statement="Reading the domain's text lowers the loss on it by more than reading as much general text "
    "does, and "
    "costs little of what the model knows of general text.",
    quantity="held-out loss in nats a token, on documents of the domain and on general ones",
    confounders=(
        "Both copies read as many tokens, at the same rates, from the same base.",
        "The tokenizer is that of the general text, as it is for a base model that somebody else has "
        "trained.",
        "A lower loss is no better score yet: fine-tune on a task of yours before you decide.",
    ),
)
LEVELS = {
    "quick": Level(seeds=3, minutes=6, tokens=0.4e6),
    "full": Level(seeds=5, minutes=90, tokens=6e6, shape="S"),
}
# Below 0.05 nats nobody here would retrain anything; forgetting up to 0.1 nats of general text is accepted.
RULE = Every(
    Gain("general.domain nats - domain.domain nats", 0.05, "nats"),
    Same("domain.general nats - general.general nats", 0.1, "nats"),
)


def texts(bench: Bench) -> dict[str, RunSpec]:
    """The tokens of both folders, by one tokenizer."""
    folder = bench.given
    if folder is None or not all((folder / name).is_dir() for name in ("general", "domain")):
        raise HeadstartError("this claim needs --data FOLDER with two folders in it, general and domain")
    corpora = {name: corpus_of([folder / name]) for name in ("general", "domain")}
    tokenizer = tokenizer_of(corpora["general"], VOCABULARY)
    return {name: tokens_of(corpus, tokenizer) for name, corpus in corpora.items()}


def arms(bench: Bench) -> dict[str, RunSpec]:
    """One base, and two copies of it that go on with either text."""
    tokens = texts(bench)
    model, objective = {"architecture": "decoder"}, {"kind": "causal"}
    base = pretrain_of(bench, model, objective, tokens["general"])
    # In another order than the base's, so that the control does not read the very same rows again.
    other = {"seed": bench.seed + 1000}
    return {
        name: pretrain_of(bench, model, objective, read, start=base, **other) for name, read in tokens.items()
    }


def measure(bench: Bench) -> Numbers:
    """Loss on held-out documents of both texts; units: documents."""
    from headstart.lab.measures.losses import causal_by_document, heldout_rows

    return {
        f"{name} nats": causal_by_document(bench.run, heldout_rows(bench.make(tokens)))
        for name, tokens in texts(bench).items()
    }
