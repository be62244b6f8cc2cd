"""The objectives: the settings of each, which models can learn by it, and the batch that it makes of rows.

A new objective is a class here, and in a file of its own the function that makes its batches. That file is
imported when the first batch is made: settings are read without torch.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, field_validator, model_validator

from headstart.errors import HeadstartError
from headstart.models.config import Architecture, TransformerConfig
from headstart.models.family import HeadKind
from headstart.models.registry import family_named
from headstart.recipe import Recipe

if TYPE_CHECKING:
    import numpy as np

    from headstart.objectives.batch import Batch
    from headstart.objectives.vocabulary import Vocabulary

Kind = Literal["causal", "prefix", "masked", "next-sentence", "span-corruption", "denoising"]


class ObjectiveRecipe(Recipe):
    """What is learned from the rows: validated, it is one of the classes below, the one that `kind` names."""

    kind: Kind = "masked"
    """What the model predicts: the next token, hidden tokens, hidden spans."""

    architecture: ClassVar[Architecture]
    head: ClassVar[HeadKind]
    """What a model that learned by it is saved as."""
    roles: ClassVar[tuple[str, ...]] = ()
    """Special tokens that it cannot do without."""

    USUAL_NAMES: ClassVar[dict[str, str]] = {
        "mask_rate": (
            "mlm_probability mask_prob mask_ratio masking_ratio masked_lm_prob noise_density corruption_rate"
        ),
        "whole_words": "whole_word_mask wwm",
        "static": "static_masking",
        "mean_span": "mean_noise_span_length mean_span_length poisson_lambda",
        "delete_rate": "delete_ratio",
    }
    ANSWERS: ClassVar[dict[str, str]] = {
        "objective_type": "give {}kind, such as causal or masked",
        "mlm": "give {}kind, masked instead of true, causal instead of false",
        "permute_sentence_ratio": "give {}permute_sentences, true or false: all sentences or none",
    }

    @model_validator(mode="wrap")
    @classmethod
    def _of_its_kind(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Any:
        if not isinstance(values, dict):
            return handler(values)
        if cls is ObjectiveRecipe:
            kind = values.get("kind", "masked")
            chosen = OBJECTIVES.get(kind) if isinstance(kind, str) else None
            return handler(values) if chosen is None else chosen.model_validate(values)
        return handler({name: value for name, value in values.items() if not cls._is_idle(name, value)})

    @classmethod
    def _is_idle(cls, name: str, value: Any) -> bool:
        """Whether a setting of other kinds has their default: recipes of earlier versions hold all settings.

        Raises:
            ValueError: it has another value.
        """
        others = [one.model_fields[name] for one in OBJECTIVES.values() if name in one.model_fields]
        if name in cls.model_fields or not others:
            return False
        if value != others[0].default:
            kind = cls.model_fields["kind"].default
            raise ValueError(f"{name} means nothing to the {kind} objective; leave it out")
        return True

    @property
    def belongs_to_row(self) -> bool:
        """Whether a row is always damaged in the same way, instead of anew in every pass."""
        return False

    @property
    def scored_share(self) -> float:
        """Share of the tokens of a row that are predicted."""
        return 1.0

    def row_length(self, context: int) -> int:
        """How many tokens of the stream make a row for a model that reads `context`."""
        return context

    @abstractmethod
    def batch(
        self,
        ids: "np.ndarray",
        segments: "np.ndarray",
        vocabulary: "Vocabulary",
        random: "np.random.Generator",
    ) -> "Batch":
        """A batch of ids and document numbers `[B, T]`, T as `row_length` says."""

    def fits(self, config: TransformerConfig) -> bool:
        """Whether a model's architecture is one that learns by the objective."""
        return config.architecture == self.architecture

    def check_fit(self, config: TransformerConfig, vocabulary: "Vocabulary") -> None:
        """Whether a model and a tokenizer can learn by the objective.

        Raises:
            HeadstartError: the architecture, a head or special tokens that it needs are missing.
        """
        if not self.fits(config):
            fitting = [name for name, one in OBJECTIVES.items() if one.architecture == config.architecture]
            raise HeadstartError(
                f"objective.kind={self.kind} is for {self.architecture}s, and {config.family} is one of the "
                f"{config.architecture}s; change model.family, or objective.kind to {' or '.join(fitting)}"
            )
        for role in self.roles:
            vocabulary.id(role)


class Causal(ObjectiveRecipe):
    """Predict each token from those before it."""

    kind: Literal["causal"] = "causal"
    architecture = "decoder"
    head = "causal"

    def row_length(self, context: int) -> int:
        """One token more, which is only a target."""
        return context + 1

    def batch(
        self,
        ids: "np.ndarray",
        segments: "np.ndarray",
        vocabulary: "Vocabulary",
        random: "np.random.Generator",
    ) -> "Batch":
        """Targets one token further."""
        from headstart.objectives.causal import causal_batch

        return causal_batch(ids, segments)


class Prefix(ObjectiveRecipe):
    """Read the beginning of a document at once, and predict the rest token by token."""

    kind: Literal["prefix"] = "prefix"
    architecture = "decoder"
    head = "causal"

    def row_length(self, context: int) -> int:
        """One token more, which is only a target."""
        return context + 1

    def batch(
        self,
        ids: "np.ndarray",
        segments: "np.ndarray",
        vocabulary: "Vocabulary",
        random: "np.random.Generator",
    ) -> "Batch":
        """Targets one token further, behind a prefix of each document."""
        from headstart.objectives.prefix import prefix_batch

        return prefix_batch(ids, segments, random)


class Masked(ObjectiveRecipe):
    """Predict hidden tokens from both sides."""

    kind: Literal["masked"] = "masked"
    mask_rate: float = Field(0.4, gt=0, lt=1)
    """Share of the tokens that are hidden: 40 % (Wettig et al. 2023)."""
    whole_words: bool = False
    """Hide all tokens of a word, or none."""
    fixed_count: bool = False
    """Hide the same number of tokens in every step: `mask_rate` of all positions, special tokens included."""
    static: bool = False
    """Hide the same tokens of a row whenever it is read."""
    fates: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Shares of the chosen tokens that become the mask, become a random token, and remain unchanged."""

    architecture = "encoder"
    head = "masked"
    roles = ("mask",)

    @property
    def belongs_to_row(self) -> bool:
        """As `static` says."""
        return self.static

    @property
    def scored_share(self) -> float:
        """The hidden tokens alone."""
        return self.mask_rate

    def batch(
        self,
        ids: "np.ndarray",
        segments: "np.ndarray",
        vocabulary: "Vocabulary",
        random: "np.random.Generator",
    ) -> "Batch":
        """Rows with some tokens hidden."""
        from headstart.objectives.masked import masked_batch

        count = round(self.mask_rate * ids.size) if self.fixed_count else None
        return masked_batch(
            ids,
            segments,
            self.mask_rate,
            vocabulary,
            random,
            whole_words=self.whole_words,
            count=count,
            fates=self.fates,
        )

    @field_validator("fates")
    @classmethod
    def _shares(cls, fates: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(fates) < 0 or abs(sum(fates) - 1) > 1e-9:
            raise ValueError("the three shares have to add up to 1")
        return fates

    def fits(self, config: TransformerConfig) -> bool:
        """An encoder; or a decoder whose family has a head for it, which then fills gaps from the left
        alone."""
        left = config.architecture == "decoder" and "masked" in family_named(config.family).heads
        return left or super().fits(config)


class NextSentence(ObjectiveRecipe):
    """Predict hidden tokens in pairs of texts, and whether the second text follows the first."""

    kind: Literal["next-sentence"] = "next-sentence"
    mask_rate: float = Field(0.15, gt=0, lt=1)
    """Share of the tokens that are hidden, as BERT's paper has it."""
    whole_words: bool = False
    """Hide all tokens of a word, or none."""

    architecture = "encoder"
    head = "pretraining"
    roles = ("start", "end", "pad", "mask")

    @property
    def scored_share(self) -> float:
        """The hidden tokens alone."""
        return self.mask_rate

    def row_length(self, context: int) -> int:
        """Some tokens less, for those that a pair takes."""
        from headstart.objectives.next_sentence import ROOM

        return max(context - ROOM, context // 2)

    def batch(
        self,
        ids: "np.ndarray",
        segments: "np.ndarray",
        vocabulary: "Vocabulary",
        random: "np.random.Generator",
    ) -> "Batch":
        """Pairs with some tokens hidden."""
        from headstart.objectives.next_sentence import next_sentence_batch

        return next_sentence_batch(
            ids, segments, self.mask_rate, vocabulary, random, whole_words=self.whole_words
        )

    def check_fit(self, config: TransformerConfig, vocabulary: "Vocabulary") -> None:
        """The model must also tell first and second texts apart; see `ObjectiveRecipe.check_fit`."""
        super().check_fit(config, vocabulary)
        if not (config.next_sentence and config.token_types == 2):
            raise HeadstartError(
                f"objective.kind=next-sentence needs a model that tells first and second texts apart, which "
                f"{config.family} does not; change model.family to bert, or objective.kind to masked"
            )


class SpanCorruption(ObjectiveRecipe):
    """Write out the spans that are hidden behind sentinels."""

    kind: Literal["span-corruption"] = "span-corruption"
    mask_rate: float = Field(0.15, gt=0, lt=1)
    """Share of the tokens that are hidden, as T5's paper has it."""
    mean_span: float = Field(3.0, ge=1)
    """Mean number of tokens in a hidden span."""

    architecture = "encoder-decoder"
    head = "text-to-text"
    roles = ("end", "pad")

    def row_length(self, context: int) -> int:
        """More tokens than the encoder reads, for spans become sentinels."""
        from headstart.objectives.span_corruption import row_length

        return row_length(context, self.mask_rate, self.mean_span)

    def batch(
        self,
        ids: "np.ndarray",
        segments: "np.ndarray",
        vocabulary: "Vocabulary",
        random: "np.random.Generator",
    ) -> "Batch":
        """Sources with sentinels, targets with the spans."""
        from headstart.objectives.span_corruption import span_corruption_batch

        return span_corruption_batch(ids, segments, self.mask_rate, self.mean_span, vocabulary, random)

    def check_fit(self, config: TransformerConfig, vocabulary: "Vocabulary") -> None:
        """The tokenizer must also have a sentinel for each span; see `ObjectiveRecipe.check_fit`."""
        from headstart.objectives.span_corruption import noise_counts

        super().check_fit(config, vocabulary)
        length = self.row_length(config.context)
        spans = noise_counts(length, self.mask_rate, self.mean_span)[1]
        sentinels = len(vocabulary.special.sentinels)
        if spans > sentinels:
            raise HeadstartError(
                f"objective.kind=span-corruption hides {spans} spans in rows of {length} tokens, but the "
                f"tokenizer has {sentinels} sentinels; lower context or objective.mask_rate, "
                "raise objective.mean_span, or encode the corpus with a tokenizer that has more"
            )


class Denoising(ObjectiveRecipe):
    """Write the text from a damaged one."""

    kind: Literal["denoising"] = "denoising"
    mask_rate: float = Field(0.3, gt=0, lt=1)
    """Share of the tokens that are hidden, as BART's paper has it."""
    mean_span: float = Field(3.0, ge=1)
    """Mean number of tokens in a hidden span."""
    permute_sentences: bool = True
    """Show the sentences of a document in random order."""
    delete_rate: float = Field(0.0, ge=0, lt=1)
    """Share of the tokens left visible that are deleted without a trace."""

    architecture = "encoder-decoder"
    head = "text-to-text"
    roles = ("end", "pad", "mask")

    def batch(
        self,
        ids: "np.ndarray",
        segments: "np.ndarray",
        vocabulary: "Vocabulary",
        random: "np.random.Generator",
    ) -> "Batch":
        """Damaged sources, whole texts as targets."""
        from headstart.objectives.denoising import denoising_batch

        return denoising_batch(
            ids,
            segments,
            self.mask_rate,
            self.mean_span,
            vocabulary,
            random,
            permute_sentences=self.permute_sentences,
            delete_rate=self.delete_rate,
        )


# In the order in which settings that several have get the default that earlier versions wrote for all.
OBJECTIVES: dict[str, type[ObjectiveRecipe]] = {
    "causal": Causal,
    "prefix": Prefix,
    "masked": Masked,
    "next-sentence": NextSentence,
    "span-corruption": SpanCorruption,
    "denoising": Denoising,
}
