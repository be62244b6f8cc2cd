"""Settings of fine-tuning."""

import math

from pydantic import Field

from headstart.recipe import Recipe


class FinetuneRecipe(Recipe):
    """Settings of `headstart finetune`."""

    learning_rate: float = Field(2e-3, gt=0)
    """Peak of AdamW, for pre-trained weights."""
    scratch_learning_rate: float = Field(1e-3, gt=0)
    """The same for random weights, which want another one."""
    epochs: float = Field(10.0, gt=0)
    """Passes over the examples, within `min_steps` and `max_steps`."""
    min_steps: int = Field(60, ge=1)
    """Few examples are gone over more often: Mosbach et al. 2020 found too few steps to be what makes
    fine-tuning unstable."""
    max_steps: int = Field(600, ge=1)
    batch_examples: int = Field(8, ge=1)
    max_tokens: int = Field(128, ge=8)
    """Tokens that are read at once, special tokens included; a longer text is read in windows."""
    warmup_share: float = Field(0.1, ge=0, lt=1)
    """Share of the steps over which the rate rises; then it falls linearly to 0."""
    weight_decay: float = Field(0.01, ge=0)
    """On matrices and the embedding."""
    layer_decay: float = Field(0.8, gt=0, le=1)
    """The rate of every layer, as a share of the next higher one's (Howard & Ruder 2018); 1: all alike."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """On what the classifier reads."""
    hidden_tokens: float = Field(0.15, ge=0, lt=1)
    """Share of the tokens that training replaces by the mask, where the tokenizer has one, new ones every
    time: the encoder knows how to read around them, and few examples go further."""
    clip: float = Field(1.0, gt=0)
    """Largest gradient norm."""

    def steps(self, examples: int) -> int:
        """How many updates a training set of that size gets."""
        epochs = math.ceil(self.epochs * examples / min(self.batch_examples, examples))
        return max(self.min_steps, min(self.max_steps, epochs))
