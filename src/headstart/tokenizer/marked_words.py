"""Learning the pieces of words whose first (WordPiece) or last piece (GPT-1) is told from all others.

`tokenizers` learns these too, but its result changes from run to run: characters inside a word get their
ids, which break ties, in the random order of a hash map. Here each character that carries the family's
mark becomes a character of its own, plain BPE learns from that, and the marks are written back.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import orjson
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from headstart.folder import JSONObject

PRIVATE = 0xF0000  # the private planes of Unicode: 131,000 characters that no text has


def learn_wordpieces(engine: Tokenizer, sample: list[str], room: int) -> JSONObject:
    """At most `room` pieces of words, those that do not begin a word written `##ing`; `vocab` of a model."""
    inside = _Marked(engine, sample, lambda word: range(1, len(word)))
    tokens, _ = inside.learn(room)
    return {"vocab": {_continued(token, inside): index for index, token in enumerate(tokens)}}


def learn_word_ends(engine: Tokenizer, sample: list[str], room: int) -> JSONObject:
    """At most `room` pieces of words, those that end a word written `ing</w>`; `vocab` and `merges`."""
    last = _Marked(engine, sample, lambda word: (len(word) - 1,))
    tokens, merges = last.learn(room)
    return {
        "vocab": {_ended(token, last): index for index, token in enumerate(tokens)},
        "merges": [[_ended(left, last), _ended(right, last)] for left, right in merges],
    }


class _Marked:
    """The words of a sample with some characters exchanged for marked ones."""

    def __init__(self, engine: Tokenizer, sample: list[str], places: Callable[[str], Any]) -> None:
        counts: Counter[str] = Counter()
        for line in sample:
            words = engine.pre_tokenizer.pre_tokenize_str(engine.normalizer.normalize_str(line))
            counts.update(word for word, _ in words)
        self.characters = sorted(set().union(*counts))
        self._mark = {character: chr(PRIVATE + index) for index, character in enumerate(self.characters)}
        self._plain = {ord(marked): character for character, marked in self._mark.items()}
        self.counts = {self._marked(word, set(places(word))): count for word, count in counts.items()}

    def _marked(self, word: str, places: set[int]) -> str:
        return "".join(
            self._mark[character] if index in places else character for index, character in enumerate(word)
        )

    def is_marked(self, character: str) -> bool:
        return ord(character) >= PRIVATE

    def plain(self, token: str) -> str:
        return token.translate(self._plain)

    def learn(self, room: int) -> tuple[list[str], list[list[str]]]:
        """Tokens in their order, every character plain and marked among them, and merges."""
        engine = Tokenizer(models.BPE())
        engine.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        alphabet = [*self.characters, *self._mark.values()]
        trainer = trainers.BpeTrainer(vocab_size=room, initial_alphabet=alphabet, show_progress=False)
        # a line of many copies tells how often a word occurs
        engine.train_from_iterator((f"{word} " * count for word, count in self.counts.items()), trainer)
        model = orjson.loads(engine.to_str())["model"]
        return sorted(model["vocab"], key=model["vocab"].__getitem__), model["merges"]


def _continued(token: str, words: _Marked) -> str:
    return f"##{words.plain(token)}" if words.is_marked(token[0]) else words.plain(token)


def _ended(token: str, words: _Marked) -> str:
    return f"{words.plain(token)}</w>" if words.is_marked(token[-1]) else token
