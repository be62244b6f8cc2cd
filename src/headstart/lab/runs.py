"""Runs shared by identity: what is made from the same things in the same way is made once.

A run is an ordinary folder of headstart's (a corpus, a tokenizer, tokens, a pre-training run) in
`runs/<id>/`, and `runs/<id>.json` beside it, written last, which says what it is and what it cost. Its stage
takes up what a killed process left. Two laboratories share the folder: a run that another process is making
is waited for.
"""

import resource
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from platform import machine
from typing import Any, Literal, get_args

from typing_extensions import TypedDict  # typing's own is not checked before Python 3.12

from headstart.corpus_folder import DocumentRow
from headstart.folder import fingerprint, read_json, write_json
from headstart.lock import InUse, locked
from headstart.output import identity

Kind = Literal["corpus", "tokenizer", "tokens", "planted", "part", "pretrain", "vectors", "finetune"]

STAGE_VERSION: dict[Kind, int] = dict.fromkeys(get_args(Kind), 1)
"""Raised by hand when a stage comes to give other results: its runs are then made anew."""
LATER: dict[str, object] = {
    "page_metadata": [], "language_model": None, "mojibake": False, "classifiers": {}, "thresholds": None,
    "stages": None, "markdown": False, "segmenter": "signs", "minutes": None,
}  # fmt: skip
"""Settings that recipes gained after runs had been registered, as they were before. So they change nothing,
and are left out of what names a run: it keeps its id."""
HELDOUT_SHARE = 0.05
"""Of the documents: enough of them that a bootstrap over documents means something."""
TOKENIZER_BYTES = 5_000_000
"""Of text that a tokenizer is trained on: more changes few merges."""
WAIT = 2.0
"""Seconds between two looks at a run that another process is making."""


class RunFacts(TypedDict):
    """What `runs/<id>.json` says."""

    kind: str
    settings: dict[str, Any]
    inputs: dict[str, str]
    begun: str
    seconds: float
    core_seconds: float
    commit: str | None
    machine: str


@dataclass(frozen=True, eq=False)
class RunSpec:
    """What a run is made from: everything that its result depends on, and nothing else."""

    kind: Kind
    settings: Mapping[str, Any]
    """The recipe's keys that differ from its defaults."""
    inputs: Mapping[str, "RunSpec"]
    """The runs that it reads, by the part that they play."""
    files: tuple[Path, ...] = ()
    """Raw files and folders, of a corpus."""

    @cached_property
    def id(self) -> str:
        """Equal specs have equal ids; where things lie does not count, what they hold does."""
        parts: dict[str, Any] = {
            "kind": self.kind,
            "version": STAGE_VERSION[self.kind],
            "settings": _resolved(self.kind, self.settings),
            "inputs": {name: spec.id for name, spec in self.inputs.items()},
            "files": [files_identity(path) for path in self.files],
        }
        if self.kind in ("pretrain", "vectors", "finetune"):  # sums in another order are another result
            parts["computed by"] = [".".join(version("torch").split(".")[:2]), machine()]
        return fingerprint(parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunSpec) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def all(self) -> list["RunSpec"]:
        """The run and all that it stands on, those first that others need."""
        found: dict[RunSpec, None] = {}
        for spec in self.inputs.values():
            found.update(dict.fromkeys(spec.all()))
        return [*found, self]


@lru_cache(maxsize=256)
def files_identity(path: Path) -> str:
    """A hash of what a file or folder holds, with all that a corpus reads of it."""
    return identity(path, nested=True)


def _without_later(settings: dict[str, Any]) -> dict[str, Any]:
    nothing = object()
    return {name: value for name, value in settings.items() if LATER.get(name, nothing) != value}


def _resolved(kind: Kind, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with the recipe's defaults, as JSON has them; paths that inputs give stay out."""
    if kind == "corpus":
        from headstart.corpus.recipe import CorpusRecipe

        recipe_of_corpus = CorpusRecipe.checked(dict(settings))
        return _without_later(recipe_of_corpus.model_dump(mode="json"))
    if kind == "tokenizer":
        from headstart.tokenizer.train import TokenizerRecipe

        return TokenizerRecipe.checked(_without_split(settings)).model_dump(mode="json") | {
            "split": settings.get("split", 0)
        }
    if kind == "pretrain":
        from headstart.training.recipe import PretrainRecipe

        recipe = PretrainRecipe.checked({**settings, "tokens": "."})
        dumped = recipe.model_dump(mode="json", exclude={"tokens", "sinks", "checkpoint_every", "device"})
        return _without_later(dumped)
    if kind == "vectors":
        from headstart.training.word_vectors_run import Word2VecRecipe

        recipe_of_vectors = Word2VecRecipe.checked({**settings, "corpus": "."})
        return recipe_of_vectors.model_dump(mode="json", exclude={"corpus"})
    return dict(settings)


def _without_split(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "split"}


def is_apart(document_id: str, split: int) -> bool:
    """Whether a document is set apart for measuring; each split sets other documents apart."""
    from headstart.tokenizer.shards import is_heldout

    return is_heldout(document_id if split == 0 else f"{split}:{document_id}", HELDOUT_SHARE)


class RunCache:
    """The runs of a laboratory, in a folder that several processes may share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, spec: RunSpec) -> Path:
        """Where a run lies, or will lie."""
        return self.folder / spec.id

    def facts(self, spec: RunSpec) -> RunFacts | None:
        """What is known of a finished run; None: it has to be made."""
        file = self.folder / f"{spec.id}.json"
        return read_json(file, RunFacts) if file.exists() else None

    def missing(self, specs: Iterable[RunSpec]) -> list[RunSpec]:
        """Those that have to be made, each once, and before what needs it."""
        needed = dict.fromkeys(one for spec in specs for one in spec.all())
        return [spec for spec in needed if self.facts(spec) is None]

    def make(self, spec: RunSpec, workers: int = 1) -> Path:
        """Make a run whose inputs are there; returns its folder. What another process makes is waited for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        while self.facts(spec) is None:
            try:
                with locked(self.folder / f".{spec.id}.lock", self.path(spec)):
                    if self.facts(spec) is None:
                        self._make(spec, workers)
            except InUse:
                time.sleep(WAIT)
        return self.path(spec)

    def _make(self, spec: RunSpec, workers: int) -> None:
        from headstart.training.machine import processor, source_commit

        begun, started, cores = (
            datetime.now(UTC).isoformat(timespec="microseconds"),
            time.monotonic(),
            core_seconds(),
        )
        elsewhere = _STAGES[spec.kind](spec, self, workers)
        facts: RunFacts = {
            "kind": spec.kind,
            "settings": dict(spec.settings),
            "inputs": {name: one.id for name, one in spec.inputs.items()},
            "begun": begun,
            "seconds": round(time.monotonic() - started, 2),
            "core_seconds": round(core_seconds() - cores + elsewhere, 2),
            "commit": source_commit(),
            "machine": processor(),
        }
        write_json(self.folder / f"{spec.id}.json", facts)


def core_seconds() -> float:
    """Processor time of this process and of the children that ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


# --- the stages: each returns core-seconds, at most, of processes that are no children of this one ------


def _corpus(spec: RunSpec, cache: RunCache, workers: int) -> float:
    from headstart.corpus import CorpusRecipe, build

    recipe = CorpusRecipe.checked(dict(spec.settings))
    started = time.monotonic()
    build(list(spec.files), cache.path(spec), recipe, workers)
    return (time.monotonic() - started) * workers


def _tokenizer(spec: RunSpec, cache: RunCache, workers: int) -> float:
    """Trained without the documents that are set apart."""
    from headstart.corpus_folder import corpus_documents
    from headstart.folder import MANIFEST
    from headstart.tokenizer.train import TokenizerRecipe, train

    out = cache.path(spec)
    if (out / MANIFEST).exists():
        return 0.0
    split = int(spec.settings.get("split", 0))
    documents = corpus_documents(cache.path(spec.inputs["corpus"]), ("id", "text"))
    texts = (document["text"] for document in documents if not is_apart(document["id"], split))
    train(texts, TokenizerRecipe.checked(_without_split(spec.settings)), out)
    return 0.0


def _tokens(spec: RunSpec, cache: RunCache, workers: int) -> float:
    """Held-out documents that repeat training text are left out by the encoder itself."""
    from headstart.folder import MANIFEST
    from headstart.tokenizer.folder import open_tokenizer
    from headstart.tokenizer.shards import ShardRecipe, encode_corpus

    out = cache.path(spec)
    if (out / MANIFEST).exists():
        return 0.0
    tokenizer = open_tokenizer(cache.path(spec.inputs["tokenizer"]))
    recipe = ShardRecipe.checked({"heldout_share": HELDOUT_SHARE, **spec.settings})
    encode_corpus(cache.path(spec.inputs["corpus"]), tokenizer, recipe, out)
    return 0.0


def _planted(spec: RunSpec, cache: RunCache, workers: int) -> float:
    from headstart.lab.planting import plant

    corpus, tokenizer = (cache.path(spec.inputs[name]) for name in ("corpus", "tokenizer"))
    repeats, each = spec.settings["repeats"], spec.settings["each"]
    plant(corpus, tokenizer, repeats, each, lambda name: is_apart(name, 0), HELDOUT_SHARE, cache.path(spec))
    return 0.0


def _pretrain(spec: RunSpec, cache: RunCache, workers: int) -> float:
    from headstart.training.loop import pretrain
    from headstart.training.recipe import PretrainRecipe

    places: dict[str, Any] = {"tokens": cache.path(spec.inputs["tokens"])}
    if "start" in spec.inputs:
        places["start"] = cache.path(spec.inputs["start"]) / "model"
    recipe = PretrainRecipe.checked({**spec.settings, **places})
    pretrain(recipe, cache.path(spec))
    return 0.0


def _part(spec: RunSpec, cache: RunCache, workers: int) -> float:
    """Documents up to a number of bytes of text that is trained on; what is held out stays whole."""
    from headstart.corpus_folder import corpus_documents
    from headstart.folder import MANIFEST
    from headstart.tokenizer.folder import open_tokenizer
    from headstart.tokenizer.shards import ShardRecipe, encode

    out = cache.path(spec)
    if (out / MANIFEST).exists():
        return 0.0
    documents = corpus_documents(cache.path(spec.inputs["corpus"]), ("id", "text", "domain"))
    tokenizer = open_tokenizer(cache.path(spec.inputs["tokenizer"]))
    recipe = ShardRecipe(heldout_share=HELDOUT_SHARE)
    encode(_first_bytes(documents, int(spec.settings["bytes"])), tokenizer, recipe, out)
    return 0.0


def _first_bytes(documents: Iterable[DocumentRow], most: int) -> Iterator[DocumentRow]:
    """The held-out documents, and of the others the first until they hold so many bytes."""
    seen = 0
    for document in documents:
        if is_apart(document["id"], 0):
            yield document
        elif seen < most:
            seen += len(document["text"].encode())
            yield document


def _vectors(spec: RunSpec, cache: RunCache, workers: int) -> float:
    from headstart.training.word_vectors_run import Word2VecRecipe, train_word2vec

    corpus = cache.path(spec.inputs["corpus"])
    train_word2vec(Word2VecRecipe.checked({**spec.settings, "corpus": corpus}), cache.path(spec))
    return 0.0


def _finetune(spec: RunSpec, cache: RunCache, workers: int) -> float:
    from headstart.lab.fitting import fit_and_score

    base = cache.path(spec.inputs["base"]) if "base" in spec.inputs else None
    fit_and_score(spec.settings, base, spec.files, cache.path(spec))
    return 0.0


_STAGES = {
    "corpus": _corpus,
    "tokenizer": _tokenizer,
    "tokens": _tokens,
    "planted": _planted,
    "part": _part,
    "pretrain": _pretrain,
    "vectors": _vectors,
    "finetune": _finetune,
}


# --- specs of the laboratory's usual runs ---------------------------------------------------------------


def corpus_of(files: Sequence[Path], **settings: Any) -> RunSpec:
    """A corpus of raw files; words of scripts without spaces are counted alike, with ICU and without."""
    return RunSpec("corpus", {"segmenter": "signs", **settings}, {}, tuple(files))


def tokenizer_of(corpus: RunSpec, vocabulary: int, split: int = 0) -> RunSpec:
    """A byte-level BPE of `vocabulary` entries, trained on a corpus without what `split` sets apart."""
    settings: dict[str, Any] = {"vocab_size": vocabulary, "sample_bytes": TOKENIZER_BYTES}
    return RunSpec("tokenizer", settings | ({"split": split} if split else {}), {"corpus": corpus})


def tokens_of(corpus: RunSpec, tokenizer: RunSpec) -> RunSpec:
    """A corpus in token shards, the documents that are set apart as its held-out split."""
    return RunSpec("tokens", {}, {"corpus": corpus, "tokenizer": tokenizer})


def planted_of(corpus: RunSpec, tokenizer: RunSpec, repeats: Sequence[int], each: int) -> RunSpec:
    """A corpus in token shards with `each` planted passages for every number of repeats."""
    settings = {"repeats": list(repeats), "each": each}
    return RunSpec("planted", settings, {"corpus": corpus, "tokenizer": tokenizer})


def part_of(corpus: RunSpec, tokenizer: RunSpec, size: int) -> RunSpec:
    """The first `size` bytes of a corpus's training text in token shards, with all that is held out."""
    return RunSpec("part", {"bytes": size}, {"corpus": corpus, "tokenizer": tokenizer})


def word2vec_of(corpus: RunSpec, seed: int, **settings: Any) -> RunSpec:
    """Static vectors of a corpus's words, by one thread."""
    return RunSpec("vectors", {"seed": seed, "workers": 1, **settings}, {"corpus": corpus})
