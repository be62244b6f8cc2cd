"""Settings of the objectives."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from headstart.recipe import Recipe

Kind = Literal["causal", "prefix", "masked", "next-sentence", "span-corruption", "denoising"]

# What is hidden unless the recipe says otherwise: for masking alone 40 % (Wettig et al. 2023), else as in the
# papers of BERT, T5 and BART.
RATES = {"masked": 0.4, "next-sentence": 0.15, "span-corruption": 0.15, "denoising": 0.3}
USED = {
    "causal": (),
    "prefix": (),
    "masked": ("mask_rate", "whole_words", "fixed_count", "static"),
    "next-sentence": ("mask_rate", "whole_words"),
    "span-corruption": ("mask_rate", "mean_span"),
    "denoising": ("mask_rate", "mean_span", "permute_sentences", "delete_rate"),
}


class ObjectiveRecipe(Recipe):
    """What is learned from the rows."""

    kind: Kind = "masked"
    """What has to be predicted: the next token, hidden tokens, hidden spans."""
    mask_rate: float = Field(0.4, gt=0, lt=1)
    """Share of the tokens that are hidden; left out: 0.4 for masked, 0.15 for next-sentence and
    span-corruption, 0.3 for denoising."""
    whole_words: bool = False
    """Hide all tokens of a word, or none."""
    fixed_count: bool = False
    """Hide the same number of tokens in every step: `mask_rate` of all places, special tokens included."""
    static: bool = False
    """Hide the same tokens of a row whenever it is read."""
    mean_span: float = Field(3.0, ge=1)
    """Mean number of tokens in a hidden span."""
    permute_sentences: bool = True
    """Show the sentences of a document in random order."""
    delete_rate: float = Field(0.0, ge=0, lt=1)
    """Share of the tokens left visible that are deleted without a trace."""

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
        "objective_type": "give {}kind, causal, masked, ...",
        "mlm": "give {}kind, masked instead of true, causal instead of false",
        "permute_sentence_ratio": "give {}permute_sentences, true or false: all sentences or none",
    }

    @model_validator(mode="before")
    @classmethod
    def _fill_rate(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("kind") in RATES:
            return {"mask_rate": RATES[values["kind"]]} | values
        return values

    @model_validator(mode="after")
    def _all_used(self) -> Self:
        for name, setting in type(self).model_fields.items():
            unused = name != "kind" and name not in USED[self.kind]
            if unused and getattr(self, name) != setting.default:
                raise ValueError(f"{name} means nothing to the {self.kind} objective; leave it out")
        return self
