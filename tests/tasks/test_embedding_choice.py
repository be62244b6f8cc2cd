"""Whether the embedding learns: what labels say of pre-trained vectors beside counted tokens."""

import numpy as np
import pytest
import torch

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.examples import Examples
from headstart.tasks.finetuning.embedding_choice import can_leave, weigh_evidence
from headstart.tasks.finetuning.finetune import finetune
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tasks.kinds.packing import EncodedWindow

QUICK = FinetuneRecipe(min_steps=6, max_steps=6, max_tokens=32, learning_rate=1.0, counted_words="none")
NONE = np.zeros(0, dtype=np.int64)


def drawn(words: int, examples: int = 60, seed: int = 0) -> tuple[list[EncodedWindow], list[str]]:
    """Texts of six tokens, each of its class's `words` tokens, which begin at 0 and at 4,000."""
    random = np.random.default_rng(seed)
    targets = ["sea" if number % 2 else "home" for number in range(examples)]
    windows = [
        EncodedWindow(random.integers(0, words, 6) + (0 if target == "sea" else 4000), NONE, owner)
        for owner, target in enumerate(targets)
    ]
    return windows, targets


def table_that_knows(seed: int = 0) -> np.ndarray:
    """`[8000, 32]`: tokens below 4,000 point one way, the others another, beside much that says nothing."""
    random = np.random.default_rng(seed)
    table = random.normal(0, 1, (8000, 32))
    table[:4000, 0] += 2
    table[4000:, 0] -= 2
    return table.astype(np.float32)


def test_vectors_that_know_the_words_are_held():
    """4,000 words a class, met once or never: counts can hardly tell the classes, such vectors can."""
    windows, targets = drawn(4000)
    evidence = weigh_evidence(table_that_knows(), windows, targets, 0)
    assert evidence.vectors > 0.7 > 0.3 > evidence.counts
    assert evidence.hold
    assert evidence == weigh_evidence(table_that_knows(), windows, targets, 0)


def test_vectors_that_know_nothing_learn():
    """Five words a class: counts tell everything, vectors at random less or no more."""
    windows, targets = drawn(5)
    evidence = weigh_evidence(np.random.default_rng(1).normal(0, 1, (8000, 32)), windows, targets, 0)
    assert evidence.counts > 0.9
    assert not evidence.hold
    windows, targets = drawn(4000)
    mixed = np.random.default_rng(2).permutation(targets).tolist()
    evidence = weigh_evidence(table_that_knows(), windows, mixed, 0)
    assert max(evidence.vectors, evidence.counts) < 0.1  # labels at random: nothing tells them
    assert not evidence.hold


def test_labels_that_cannot_be_asked():
    windows, targets = drawn(5, examples=20)
    assert weigh_evidence(table_that_knows(), windows, targets, 0) is None
    windows, targets = drawn(5, examples=1002)
    assert weigh_evidence(table_that_knows(), windows, targets, 0) is None
    windows, targets = drawn(5)
    assert weigh_evidence(table_that_knows(), windows, ["sea"] * 60, 0) is None
    some = ["rare" if number < 3 else target for number, target in enumerate(targets)]
    assert (
        weigh_evidence(table_that_knows(), windows, some, 0) is not None
    )  # three are too few for four folds


def test_vectors_that_cannot_go_far_are_not_asked():
    """125 steps: an encoder 256 wide with entries of 0.03, and one of 384 with entries of 0.055."""
    small, published = (np.full((4, 2), size, np.float32) for size in (0.03, -0.055))
    assert can_leave(small, 1e-3 * 0.8**5 * 125)
    assert not can_leave(published, 0.1 / 384 * 0.8**7 * 125)


@pytest.fixture
def knowing(tiny, tokenizer):
    """An encoder whose vectors know two classes of words, and texts of such words."""
    words = [text for i in range(600) if (text := tokenizer.decode([i])).strip().isalpha()]
    alone = [word for word in words if word.startswith(" ") and len(tokenizer.encode(word)) == 1]
    assert len(alone) > 60
    model = tiny("headstart-encoder")
    sides = alone[: len(alone) // 2], alone[len(alone) // 2 :]
    random = np.random.default_rng(0)
    with torch.no_grad():
        for side, sign in zip(sides, (2.0, -2.0), strict=True):
            for word in side:
                model.embedding.weight[tokenizer.encode(word)[0], 0] += sign
    inputs = ["".join(random.choice(sides[number % 2], 2)) for number in range(32)]
    targets = ["one" if number % 2 else "other" for number in range(32)]
    return LoadedModel(model, tokenizer, "masked"), Examples("classification", inputs, targets)


def moved(loaded: LoadedModel, examples: Examples, **settings) -> tuple[bool, object]:
    """Whether fine-tuning moved the embedding, and the predictor."""
    predictor = finetune(loaded, examples, QUICK.model_copy(update=settings), 0)
    after = predictor.model.body.embedding.weight
    return not torch.equal(after, loaded.model.embedding.weight), predictor


def test_fine_tuning_follows_the_labels_and_says_so(knowing, places, speech, encoder):
    loaded, examples = knowing
    changed, predictor = moved(loaded, examples)
    made = predictor.training
    assert not changed
    assert made.embedding_held
    assert made.vectors_told > made.counts_told + 0.04
    assert "the embedding stayed as pre-training left it" in predictor.notes[0]
    table = predictor.model.body.embedding.weight.numel()
    changed, predictor = moved(loaded, examples, embedding="learn")
    assert changed
    assert predictor.training.vectors_told is None
    assert predictor.training.learning_weights == made.learning_weights + table
    assert not predictor.notes

    changed, predictor = moved(encoder, places)  # random vectors
    assert changed
    assert not predictor.training.embedding_held
    assert predictor.training.counts_told > predictor.training.vectors_told
    changed, predictor = moved(encoder, places, embedding="hold")
    assert not changed
    assert predictor.training.embedding_held
    changed, predictor = moved(loaded, examples, learning_rate=1e-3)  # too slow to go far
    assert changed
    assert predictor.training.vectors_told is None
    changed, predictor = moved(encoder, speech)  # tags are not asked
    assert changed
    assert predictor.training.vectors_told is None
    with pytest.raises(HeadstartError, match="random vectors know nothing to keep"):
        finetune(encoder, places, QUICK.model_copy(update={"embedding": "hold"}), 0, scratch=True)
