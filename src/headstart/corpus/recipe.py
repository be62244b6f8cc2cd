"""The settings of a corpus, with their defaults. `recipes/corpus.yaml` explains each of them."""

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from headstart.corpus.extensions import load
from headstart.corpus.extract.page import EXTRACTORS, NO_MARKDOWN, unavailable
from headstart.corpus.extract.page_lines import Lines
from headstart.corpus.extract.page_metadata import Wanted
from headstart.corpus.filters.classifiers import Classifier, check
from headstart.corpus.filters.personal_data import Kind
from headstart.corpus.filters.published_thresholds import Published, fineweb2
from headstart.corpus.filters.rules import Rule, Rules, parse_rules
from headstart.corpus.filters.signals import SIGNALS
from headstart.corpus.readers.records import FIELDS
from headstart.corpus.text.segments import LANGUAGES, Segmenter, installed
from headstart.errors import nearest
from headstart.folder import JSONObject
from headstart.recipe import Recipe

# A rule is `name: signal op threshold`, and removes the documents for which it is true.
# Gopher: Rae 2021, table A1. C4: Raffel 2020, section 2.2. FineWeb: Penedo 2024, section 3.5.
RULES: dict[str, str | None] = {
    # Gopher, quality
    "too_few_words": "words < 50",
    "too_many_words": "words > 100000",
    "short_words": "mean_word_length < 3",
    "long_words": "mean_word_length > 10",
    "hash_signs": "hashes_per_word > 0.1",
    "ellipses": "ellipses_per_word > 0.1",
    "words_without_letters": "alphabetic_words < 0.8",
    "no_stop_words": "stop_words < 2",
    # Gopher, repetition
    "repeated_lines": "duplicate_lines > 0.3",
    "repeated_paragraphs": "duplicate_paragraphs > 0.3",
    "repeated_line_characters": "duplicate_line_characters > 0.2",
    "repeated_paragraph_characters": "duplicate_paragraph_characters > 0.2",
    "top_2_gram": "top_2_gram > 0.20",
    "top_3_gram": "top_3_gram > 0.18",
    "top_4_gram": "top_4_gram > 0.16",
    "repeated_5_grams": "duplicate_5_grams > 0.15",
    "repeated_6_grams": "duplicate_6_grams > 0.14",
    "repeated_7_grams": "duplicate_7_grams > 0.13",
    "repeated_8_grams": "duplicate_8_grams > 0.12",
    "repeated_9_grams": "duplicate_9_grams > 0.11",
    "repeated_10_grams": "duplicate_10_grams > 0.10",
    # C4, also useful outside the web
    "lorem_ipsum": "lorem_ipsum > 0",
}

# Only for web pages: books break lines at a fixed width or in verse, and reviews are one line long.
PAGE_RULES: dict[str, str | None] = {
    # Gopher
    "bullet_lines": "bullet_lines > 0.9",
    "ellipsis_lines": "ellipsis_lines > 0.3",
    # C4, without its terminal-punctuation rule, which FineWeb found to cost 30 % of the tokens
    "curly_brackets": "curly_brackets > 0",
    "too_few_sentences": "sentences < 5",
    # FineWeb
    "few_punctuated_lines": "punctuated_lines <= 0.12",
    "short_lines": "short_lines >= 0.67",
    "page_line_characters": "duplicate_characters_of_lines > 0.1",
    "many_newlines": "newlines_per_word > 0.3",
}

# Gopher's bounds for the length of words are those of scripts with spaces.
OF_SPACED_WORDS: dict[str, Rule | None] = {"short_words": None, "long_words": None}

DEFAULTS = "defaults"  # as a rule's name: all that stand above


class Addresses(Recipe):
    """Which addresses are kept out, and how many pages one address and one host may have.

    The lists are text files with one entry a line, also packed (.gz, .zst).
    """

    domains: list[Path] = Field(default=[])
    """Hosts to remove, with all hosts below them."""
    addresses: list[Path] = Field(default=[])
    """Whole URLs, without scheme, `www.` and the last slash."""
    words: list[Path] = Field(default=[])
    """Words between the punctuation of a URL; one is enough."""
    soft_words: list[Path] = Field(default=[])
    """Words of which a URL needs two."""
    parts: list[Path] = Field(default=[])
    """Letters anywhere in a URL."""
    same: Literal["earliest", "latest"] | None = None
    """Which page of each URL is kept, by its date; None: all pages."""
    per_host: int | None = Field(default=None, ge=1)
    """Largest number of pages of one host, drawn at random."""

    def lists(self) -> list[Path]:
        """The files of all block lists."""
        return [*self.domains, *self.addresses, *self.words, *self.soft_words, *self.parts]


class LanguageRules(Recipe):
    """Different thresholds for the documents of one language."""

    score: float | None = Field(default=None, ge=0, le=1)
    stop_words: str | None = None
    """With spaces between them."""
    rules: dict[str, str | None] = Field(default={})

    @field_validator("rules", mode="before")
    @classmethod
    def _off(cls, given: Any) -> Any:
        return _switched(given) if isinstance(given, dict) else given


class NearDuplicates(Recipe):
    """MinHash with locality-sensitive hashing: P(match) = 1 - (1 - s^rows)^bands at Jaccard similarity s."""

    enabled: bool = True
    """Whether near duplicates are removed."""
    words: int = Field(default=5, ge=1, le=32)
    """Words of a shingle."""
    bands: int = Field(default=14, ge=1, le=256)
    """Bands of hashes; near duplicates share at least one band."""
    rows: int = Field(default=8, ge=1, le=64)
    """Hashes in a band; with more hashes, only closer copies match."""
    keep: Literal["longest", "newest"] = "longest"
    """Which document of a group is kept; among equals, the first."""
    check: float | None = Field(default=None, gt=0, le=1)
    """Exact Jaccard similarity of shingles that a pair needs; None: a shared band is enough."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "words": "n_grams ngram ngram_size shingle_size",
        "bands": "num_buckets num_bands",
        "rows": "hashes_per_bucket",
        "check": "jaccard_threshold",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "threshold": (
            "give {}check, the exact similarity of a pair that shares a band; how similar pairs share "
            "one is bands and rows"
        ),
        "num_perm": "give {}bands and {}rows: num_perm = bands x rows",
    }


class Mix(Recipe):
    """How much of each domain goes into the corpus. Without shares, everything once."""

    by: Literal["domain", "language"] = "domain"
    """What the groups of the mix are."""
    shares: dict[str, float] = Field(default={})
    """Weight of every group by its name; a group that is left out is dropped."""
    temperature: float | None = Field(default=None, ge=0, le=1)
    """Shares in proportion to `bytes ** temperature`, as for languages: 1 keeps the proportions, 0 makes all
    shares equal."""
    bytes: int | None = Field(default=None, gt=0)
    """The budget in bytes; give this or `tokens`."""
    tokens: float | None = Field(default=None, gt=0)
    """The budget, in bytes or in tokens; None: what the groups with a share hold."""
    bytes_per_token: float = Field(default=4.0, gt=0)
    """Bytes of a token of your tokenizer; its report says it. 4 is common for English."""
    max_repeats: float = Field(default=4.0, ge=1)
    """How often a document may occur: up to 4 times repeats are as good as new text (Muennighoff 2023)."""
    short: Literal["rebalance", "refuse"] = "rebalance"
    """If a group has less than its share: the other groups give more, or the run ends with a sentence."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "shares": "weights domain_weights sampling_weights",
        "max_repeats": "max_epochs",
    }

    @property
    def budget(self) -> float | None:
        """The size that is asked for, in bytes."""
        return self.bytes if self.tokens is None else self.tokens * self.bytes_per_token

    @model_validator(mode="after")
    def _one_budget(self) -> "Mix":
        if self.bytes is not None and self.tokens is not None:
            raise ValueError("mix.bytes and mix.tokens are two budgets; give one of them")
        return self

    @field_validator("shares")
    @classmethod
    def _positive(cls, shares: dict[str, float]) -> dict[str, float]:
        if any(share <= 0 for share in shares.values()):
            raise ValueError("every share must be above 0; leave a domain out to drop it")
        return shares


class CorpusRecipe(Recipe):
    """Everything that decides which documents a corpus holds, and in which order."""

    seed: int = Field(default=0, ge=0)
    """Random seed of the final order and of all sampling."""
    stages: list[str] | None = None
    """Names of the stages that run, beside `extract` and `mix`; None: all that the settings below ask for."""
    domains: dict[str, str] = Field(default={})
    """Domains of web pages: a pattern of the host (`docs.*`) and the domain's name; the first match
    counts."""
    fields: dict[str, str] = Field(default={})
    """Names of the fields text, html, id, url, language, date and domain in your rows, if they differ."""
    extractor: str = "headstart"
    """The extractor of the main text of HTML pages: see `extract.EXTRACTORS`; or a trained classifier's
    file."""
    markdown: bool = False
    """Whether the text of HTML pages is Markdown; headstart's own extractor writes it."""
    page_metadata: list[Wanted] = Field(default=[])
    """Fields about the page that are written into `metadata`."""
    piece_characters: int = Field(default=20_000, ge=1_000)
    """Longer texts, such as books, are cut into pieces of about this many characters."""
    languages: Literal["auto", "any"] | list[str] = "auto"
    """Languages that are kept; auto: the language with the most bytes; any: all languages."""
    language_score: float = Field(default=0.65, ge=0, le=1)
    """Smallest probability of a document's language."""
    language_model: Path | None = None
    """A fastText model of languages, such as GlotLID's or OpenLID's .bin; None: lid.176, which comes with
    headstart."""
    segmenter: Segmenter = Field(default="auto", validate_default=True)
    """What counts as a word in scripts without spaces: a word of ICU's dictionaries, or a character (signs);
    auto: ICU if it is installed."""
    mojibake: bool = False
    """Whether ftfy repairs text that was decoded with the wrong character set (`cafÃ©`)."""
    lines: Lines = Lines()
    extensions: list[Path] = Field(default=[])
    """Python files with your own signals and filters: see `extensions`."""
    quality_models: dict[str, Path] = Field(default={})
    """Folders of `headstart corpus train-quality`; each gives the signal of its name."""
    word_lists: dict[str, Path] = Field(default={})
    """Files with a word or phrase a line; each gives the signal of its name: the share of words in it."""
    classifiers: dict[str, Classifier] = Field(default={})
    """Models of fastText or Hugging Face; each gives the signal of its name."""
    urls: Addresses = Addresses()
    personal_data: list[Kind] = Field(default=[])
    """Kinds of personal data that are replaced by a placeholder."""
    rules: dict[str, str | None] = RULES
    """Rules over signals that remove a document, by name."""
    page_rules: dict[str, str | None] = PAGE_RULES
    """Further rules, only for web pages."""
    thresholds: Literal["fineweb2"] | None = None
    """Published thresholds by language, for languages that `by_language` does not give: FineWeb-2's."""
    by_language: dict[str, LanguageRules] = Field(default={})
    """Different thresholds for the documents of one language."""
    against: list[Path] = Field(default=[])
    """Finished corpora whose documents must not occur again; only their index is read."""
    exact_duplicates: bool = True
    """Whether only the first of several documents with equal words is kept."""
    near_duplicates: NearDuplicates = NearDuplicates()
    repeated_lines: int | None = Field(default=None, ge=1)
    """Lines that occur in more documents than this are dropped; None: no lines."""
    repeated_paragraphs: int | None = Field(default=None, ge=1)
    """Paragraphs (between blank lines) that occur in more documents than this are dropped; None: no
    paragraphs."""
    repeated_substrings: int | None = Field(default=None, ge=8, le=10_000)
    """If a run of at least this many words occurs more than once in the corpus, only the first is kept; None:
    all are kept. Most runs that the corpora in `against` have are removed: see `substrings`."""
    decontaminate: list[Path] = Field(default=[])
    """Files of evaluations whose text must not be in the corpus."""
    mix: Mix = Mix()
    shard_bytes: int = Field(default=64_000_000, ge=1_000)
    """Size at which a file of the corpus is closed."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "language_score": "language_threshold lang_threshold",
        "near_duplicates": "minhash fuzzy_dedup",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "text_key text_field text_column": "give {}fields.text=NAME",
        "id_key": "give {}fields.id=NAME",
    }

    @field_validator("fields")
    @classmethod
    def _known_fields(cls, fields: dict[str, str]) -> dict[str, str]:
        for name in fields:
            if name not in FIELDS:
                raise ValueError(f"there is no field {name!r}{nearest(name, FIELDS)}")
        return fields

    @field_validator("extensions")
    @classmethod
    def _loadable(cls, given: list[Path]) -> list[Path]:
        """Where they lie whatever the folder that a worker starts in; and they can be run."""
        paths = [path.resolve() for path in given]
        for own in load(paths)[0]:
            if own.name in SIGNALS:
                raise ValueError(f"{own.name!r} is a signal of headstart; rename the function in {own.file}")
        return paths

    @field_validator("language_model")
    @classmethod
    def _there(cls, path: Path | None) -> Path | None:
        if path is not None and not path.is_file():
            raise ValueError(f"there is no language model {path}; check the path")
        return path and path.resolve()

    @field_validator("segmenter")
    @classmethod
    def _settled(cls, given: Segmenter) -> Segmenter:
        if given == "icu" and not installed():
            raise ValueError("segmenter=icu needs ICU: pip install 'headstart[segmenter]'")
        return ("icu" if installed() else "signs") if given == "auto" else given

    @field_validator("mojibake")
    @classmethod
    def _repairable(cls, wanted: bool) -> bool:
        if wanted and find_spec("ftfy") is None:
            raise ValueError("mojibake needs ftfy: pip install 'headstart[mojibake]'")
        return wanted

    @field_validator("classifiers")
    @classmethod
    def _askable(cls, given: dict[str, Classifier], info: ValidationInfo) -> dict[str, Classifier]:
        for one in given.values():
            check(one)
        return {name: one.model_copy(update={"model": one.model.resolve()}) for name, one in given.items()}

    @field_validator("quality_models", "word_lists", "classifiers")
    @classmethod
    def _new_names(cls, given: dict[str, Path], info: ValidationInfo) -> dict[str, Path]:
        for name in given:
            if not name.isidentifier() or name in _signals(info.data):
                raise ValueError(
                    f"{name!r} cannot name a signal: it must be a new word of letters, digits and _"
                )
        return given

    @field_validator("extractor")
    @classmethod
    def _installed(cls, extractor: str) -> str:
        if missing := unavailable(extractor):
            raise ValueError(missing)
        return extractor

    @field_validator("markdown")
    @classmethod
    def _written(cls, wanted: bool, info: ValidationInfo) -> bool:
        extractor = info.data.get("extractor", "headstart")
        if wanted and extractor in EXTRACTORS and extractor != "headstart":
            raise ValueError(NO_MARKDOWN.format(extractor))
        return wanted

    @field_validator("rules", "page_rules", mode="before")
    @classmethod
    def _over_defaults(cls, given: Any, info: ValidationInfo) -> Any:
        """Given rules add to the default ones or replace them by name; `off` switches one off.

        `defaults: off` switches off all that were not given, and `off` in place of the rules all of them.
        """
        defaults = dict(RULES if info.field_name == "rules" else PAGE_RULES)
        if given in (False, "off"):
            return dict.fromkeys(defaults)
        if not isinstance(given, dict):
            return given
        switched = _switched(given)
        _known(name for name in switched if switched[name] is None and name not in (*defaults, DEFAULTS))
        if switched.pop(DEFAULTS, "") is None:
            defaults = dict.fromkeys(defaults)
        return defaults | switched

    @field_validator("rules", "page_rules")
    @classmethod
    def _parsable(cls, rules: dict[str, str | None], info: ValidationInfo) -> dict[str, str | None]:
        parse_rules(rules, {}, _signals(info.data))
        return rules

    @field_validator("by_language")
    @classmethod
    def _own_parsable(
        cls, by_language: dict[str, LanguageRules], info: ValidationInfo
    ) -> dict[str, LanguageRules]:
        known = {**info.data.get("rules", {}), **info.data.get("page_rules", {})}
        for own in by_language.values():
            _known(name for name, rule in own.rules.items() if rule is None and name not in known)
        parse_rules({}, {code: own.rules for code, own in by_language.items()}, _signals(info.data))
        return by_language

    @property
    def signals(self) -> dict[str, str]:
        """The numbers that are measured of a document, by which rules may decide, and what they mean."""
        return _signals(vars(self))

    def quality_rules(self) -> tuple[Rules, Rules]:
        """The rules for all documents, and those for web pages."""
        given = parse_rules({}, {code: one.rules for code, one in self.by_language.items()}, self.signals).own
        own: dict[str, Mapping[str, Rule | None]] = dict.fromkeys(LANGUAGES, OF_SPACED_WORDS)
        own |= {code: one.rules for code, one in self._published().items()}
        for code, rules in given.items():
            own[code] = {**own.get(code, {}), **rules}

        def those(pages: bool) -> dict[str, dict[str, Rule | None]]:
            return {
                code: {name: rule for name, rule in rules.items() if (name in self.page_rules) == pages}
                for code, rules in own.items()
            }

        return (
            Rules(parse_rules(self.rules, {}, self.signals).general, those(pages=False)),
            Rules(parse_rules(self.page_rules, {}, self.signals).general, those(pages=True)),
        )

    def least_score(self, code: str) -> float:
        """How sure the language of a document has to be."""
        own, published = self.by_language.get(code), self._published().get(code)
        if own is not None and own.score is not None:
            return own.score
        return self.language_score if published is None else published.score

    def stop_words(self, code: str) -> str | None:
        """The stop words of a language that the recipe gives, with spaces between them."""
        own, published = self.by_language.get(code), self._published().get(code)
        if own is not None and own.stop_words is not None:
            return own.stop_words
        return None if published is None else published.stop_words

    def _published(self) -> Mapping[str, Published]:
        """Published thresholds of the languages that may stay."""
        if self.thresholds is None:
            return {}
        every = fineweb2(self.segmenter == "icu")
        if isinstance(self.languages, list):
            return {code: every[code] for code in self.languages if code in every}
        return every


def _known(switched_off: Iterable[str]) -> None:
    """Refuse to switch off rules that there are not: they are mistyped."""
    for name in switched_off:
        raise ValueError(f"there is no rule {name!r} to switch off{nearest(name, [*RULES, *PAGE_RULES])}")


def _switched(rules: JSONObject) -> JSONObject:
    return {name: None if rule in (False, "off") else rule for name, rule in rules.items()}


def _signals(fields: JSONObject) -> dict[str, str]:
    """The built-in signals and those that the recipe adds, with their meanings."""
    meanings = {name: signal.meaning for name, signal in SIGNALS.items()}
    added = (
        name for kind in ("quality_models", "word_lists", "classifiers") for name in fields.get(kind, ())
    )
    meanings |= dict.fromkeys(added, "")
    return meanings | {own.name: own.meaning for own in load(fields.get("extensions", ()))[0]}
