"""What most tests stand on: real text, a tokenizer trained on it, token shards, tiny models."""

import gzip
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny models only lose by more

# Two cores and a torch that starts up inside the first example: time says nothing about a property.
settings.register_profile("headstart", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("headstart")

FOREIGN = "Żółć gęślą jaźń — größer naïve. Привет, мир! שלום עולם 東京都 ½ 1234567890 " * 20
BOOKS = Path(__file__).parent.parent / "samples" / "books"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The file that takes longest comes first, so that no worker is alone with it at the end."""
    items.sort(key=lambda item: not item.path.name.startswith("test_quickstart"))


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """A command that a test runs in this process ignores signals at its end; the next test does not."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def documents() -> list[dict[str, str]]:
    """Paragraphs of the sample books as documents: a few hundred, from a line to a page."""
    found = []
    for file in sorted(BOOKS.glob("*.txt.gz")):
        text = gzip.decompress(file.read_bytes()).decode("utf-8")[:25_000]
        paragraphs = [paragraph.strip() for paragraph in text.split("\n\n")]
        for number in range(0, len(paragraphs), 4):
            body = "\n\n".join(paragraph for paragraph in paragraphs[number : number + 4] if paragraph)
            if body:
                name = file.name.removesuffix(".txt.gz")
                found.append({"id": f"{name}-{number}", "text": body, "domain": name.split("-")[0]})
    return found


@pytest.fixture(scope="session")
def tokenizer(documents, tmp_path_factory):
    """A byte-level BPE of 600 tokens."""
    from headstart.tokenizer.train import TokenizerRecipe, train

    folder = tmp_path_factory.mktemp("tokenizer") / "tokenizer"
    return train((d["text"] for d in documents), TokenizerRecipe(vocab_size=600), folder)


@pytest.fixture(scope="session")
def kinds(documents, tmp_path_factory):
    """One tokenizer of each kind, of 700 entries, trained on the sample books and a little else."""
    from headstart.tokenizer.kinds import KINDS
    from headstart.tokenizer.train import TokenizerRecipe, train

    folder = tmp_path_factory.mktemp("kinds")
    texts = [FOREIGN, *(document["text"] for document in documents[::6])]
    return {kind: train(texts, TokenizerRecipe(kind=kind, vocab_size=700), folder / kind) for kind in KINDS}


@pytest.fixture(scope="session")
def tokens(documents, tokenizer, tmp_path_factory) -> Path:
    """A tokens folder of several train shards."""
    from headstart.tokenizer.shards import ShardRecipe, encode

    folder = tmp_path_factory.mktemp("tokens") / "tokens"
    encode(documents, tokenizer, ShardRecipe(heldout_share=0.05, shard_tokens=100_000), folder)
    return folder


@pytest.fixture(scope="session")
def tiny():
    """Makes a tiny Transformer of a family; sizes can be overridden."""
    from headstart.models.registry import make_config
    from headstart.models.transformer import build

    def make(family: str, seed: int = 0, **sizes):
        usual = {"vocab_size": 600, "layers": 2, "width": 32, "heads": 4, "kv_heads": 4}
        usual |= {"feedforward_width": 48, "context": 64}
        return build(make_config(family, usual | sizes), seed)

    return make
