"""Texts that have to be JSON: which tokens may come next, by llguidance.

A schema is compiled in a process that can be killed before the server compiles it itself, so that none can
hang the server; what is compiled is kept, and every text gets a copy of its own.
"""

import asyncio
import subprocess
import sys
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import orjson
import torch
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from torch import Tensor

from headstart.errors import HeadstartError
from headstart.generation.config import ModelIds
from headstart.interchange.model_folder import LoadedModel
from headstart.serving.request_error import RequestError
from headstart.serving.served_model import TransformerModel
from headstart.serving.service import Asked
from headstart.serving.texts.bodies import ResponseFormat
from headstart.serving.texts.json_schema import closed
from headstart.tokenizer.base import Tokenizer
from headstart.workers import environment_of_child

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

SCHEMA_BYTES, SCHEMA_DEPTH, COMPILE_SECONDS, KEPT = 64 << 10, 32, 2, 256
WRITTEN: "JsonCompileOptions" = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""How JSON is written: where blanks are free, small models write them until the text has to end."""
COMPILE = f"""
import resource, sys, time
from llguidance import LLMatcher
used = int(time.process_time()) + 1
resource.setrlimit(resource.RLIMIT_CPU, (used + {COMPILE_SECONDS}, used + {COMPILE_SECONDS}))
print(LLMatcher.validate_grammar(sys.stdin.read()))
"""
"""What the process does that is killed when it takes too long: so much processor time, however busy the
machine is."""


class JsonGrammar:
    """See `Grammar`: one text's own place in a compiled grammar."""

    def __init__(self, matcher: LLMatcher) -> None:
        self.matcher = matcher

    def mask(self, logits: Tensor) -> None:
        """See `Grammar`."""
        allowed = (
            np.frombuffer(self.matcher.compute_logit_bias(), dtype=np.uint8) != 0
        )  # [V of the tokenizer]
        if self.matcher.is_error() or not allowed.any():
            why = self.matcher.get_error().partition("\n")[0]  # behind it stands the state of the parser
            raise HeadstartError(f"the JSON schema leaves no token: {why[:200]}")
        logits[: len(allowed)][torch.from_numpy(~allowed)] = -torch.inf
        logits[len(allowed) :] = -torch.inf

    def advance(self, token: int) -> None:
        """See `Grammar`."""
        self.matcher.consume_token(token)


class GrammarTokenizer:
    """A tokenizer as llguidance asks it."""

    def __init__(self, tokenizer: Tokenizer, ends: list[int]) -> None:
        self.eos_token_id, self.bos_token_id = ends[0], tokenizer.special.start
        special = tokenizer.special.all
        # llguidance tells special tokens, and ids without text, by a byte that no text has.
        self.tokens = [
            b"\xff" + text.encode() if index in special or not piece else piece
            for index, (piece, text) in enumerate(zip(tokenizer.pieces, tokenizer.tokens, strict=True))
        ]
        self.special_token_ids = sorted(special)
        self.encode = tokenizer.encode

    def __call__(self, text: str) -> list[int]:
        return self.encode(text)


async def grammars_for(asked: Asked, wanted: ResponseFormat | None, count: int) -> list[JsonGrammar]:
    """A grammar for each text of a request; none where texts are free.

    Raises:
        RequestError: a schema that is too large, wrong, or takes too long.
    """
    if wanted is None or wanted.type == "text":
        return []
    schema: dict[str, Any] = {"type": "object"}
    if wanted.type == "json_schema":
        if wanted.json_schema is None or wanted.json_schema.schema_ is None:
            raise RequestError(
                400, "invalid_schema", "json_schema has no schema; give one", "response_format"
            )
        schema = wanted.json_schema.schema_
    return await json_grammars(asked, schema, count, "response_format")


async def json_grammars(asked: Asked, schema: dict[str, Any], count: int, field: str) -> list[JsonGrammar]:
    """The same for the schema of a field."""
    model = asked.resident.model
    assert isinstance(model, TransformerModel)
    compiler = _compilers.setdefault(model, Compiler(model.model.loaded))
    try:
        matcher = await asyncio.get_running_loop().run_in_executor(compiler.turn, compiler.compiled, schema)
    except RequestError as error:
        error.param = field
        raise
    return [JsonGrammar(matcher.deep_copy()) for _ in range(count)]


class Compiler:
    """The grammars of one model."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.kept: OrderedDict[bytes, LLMatcher] = OrderedDict()
        self.turn = ThreadPoolExecutor(1, "schemas")
        """One is compiled at a time, in a thread of its own, so that slow ones keep nothing else waiting."""

    @cached_property
    def tokenizer(self) -> LLTokenizer:
        """Made when the first schema comes: it takes up to a second."""
        ends = sorted(ModelIds.of(self.loaded).stop)
        if not ends:
            raise RequestError(
                400, "invalid_schema", "this model has no token that ends a text, so JSON cannot end"
            )
        return LLTokenizer(TokenizerWrapper(GrammarTokenizer(self.loaded.tokenizer, ends)), eos_token=ends)

    def compiled(self, schema: dict[str, Any]) -> LLMatcher:
        """The beginning of every text of a schema. For `turn`.

        Raises:
            RequestError: see `grammars_for`.
        """
        text = orjson.dumps(schema)  # properties are written in the order in which they are named
        if len(text) > SCHEMA_BYTES or depth_of(schema) > SCHEMA_DEPTH:
            limits = f"a schema is at most {SCHEMA_BYTES:,} bytes and {SCHEMA_DEPTH} deep"
            raise RequestError(400, "invalid_schema", limits)
        text = orjson.dumps(closed(schema))
        if text not in self.kept:
            self.kept[text] = self._compile(text.decode())
        self.kept.move_to_end(text)
        while len(self.kept) > KEPT:
            self.kept.popitem(last=False)
        return self.kept[text]

    def _compile(self, schema: str) -> LLMatcher:
        grammar = LLMatcher.grammar_from_json_schema(schema, defaults=WRITTEN)
        refuse_slow(grammar)
        matcher = LLMatcher(self.tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise RequestError(400, "invalid_schema", matcher.get_error()[:300])
        return matcher


_compilers: WeakKeyDictionary[TransformerModel, Compiler] = WeakKeyDictionary()


def refuse_slow(grammar: str) -> None:
    """Compile a grammar where it can do no harm.

    Raises:
        RequestError: it is wrong, or takes more than `COMPILE_SECONDS` of processor time.
    """
    done = subprocess.run(
        [sys.executable, "-P", "-c", COMPILE],
        env=environment_of_child(),
        input=grammar,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or done.stdout.strip():
        why = done.stdout.strip()[:300] or f"it takes more than {COMPILE_SECONDS} seconds to compile"
        raise RequestError(400, "invalid_schema", f"the schema cannot be kept to: {why}")


def depth_of(value: Any) -> int:
    """How deep lists and objects are nested."""
    depth, layer = 0, [value]
    while layer:
        depth += 1
        layer = [
            one
            for inner in layer
            if isinstance(inner, dict | list)
            for one in (inner.values() if isinstance(inner, dict) else inner)
        ]
    return depth
