"""A toy task of real words that can be learned in seconds, and encoders that have not been trained."""

import pytest

from headstart.interchange.model_folder import LoadedModel
from headstart.tasks.examples import Examples

SEA = ["captain", "ship", "harbour", "wave", "sailor", "anchor", "island", "storm", "deck", "voyage"]
HOME = ["kitchen", "garden", "window", "table", "chair", "carpet", "curtain", "cupboard", "parlour", "hearth"]
SPEECH = {"the": "DET", "a": "DET", "old": "ADJ", "quiet": "ADJ", "stands": "VERB", "waits": "VERB"}


@pytest.fixture(scope="session")
def encoder(tokenizer, tiny):
    """An encoder with random weights."""
    return LoadedModel(tiny("headstart-encoder"), tokenizer, "masked")


@pytest.fixture(scope="session")
def places() -> Examples:
    """120 sentences about the sea or the home."""
    inputs, targets = [], []
    for number in range(120):
        words, label = (SEA, "sea") if number % 2 else (HOME, "home")
        first, second = words[number % 10], words[(number // 10 + number) % 10]
        inputs.append(f"The {first} and the {second} of number {number}.")
        targets.append(label)
    return Examples("classification", inputs, targets)


@pytest.fixture(scope="session")
def speech() -> Examples:
    """80 sentences with parts of speech."""
    inputs, targets = [], []
    for number in range(80):
        noun = (SEA + HOME)[number % 20]
        words = ["the" if number % 3 else "a", "old" if number % 2 else "quiet", noun]
        words += ["stands" if number % 5 else "waits"] + ([f"#{number}"] if number % 4 == 0 else [])
        inputs.append(words)
        targets.append([SPEECH.get(word, "SIGN" if word.startswith("#") else "NOUN") for word in words])
    return Examples("tagging", inputs, targets)
