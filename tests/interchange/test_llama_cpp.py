"""llama.cpp itself reads our GGUF files: the same ids of a text, log-probabilities and greedy tokens.

`make check-llama-cpp` runs it with the `llama-server` that `make bench-serve LLAMA_CPP=1` builds, or another.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
import torch

from headstart.interchange.gguf_file import write_gguf
from tests.interchange.test_gguf import LLAMAS, TODAY, stirred

SERVER = os.environ.get("HEADSTART_LLAMA_SERVER")
WRITTEN = 12
GREEDY = {"temperature": 0.0, "n_probs": 5, "ignore_eos": True, "return_tokens": True}
TEXTS = (
    "Emma Woodhouse, handsome, clever, and rich",
    "  two  blanks, a tab\tand\n\na line's end\n",
    "größer 2,500 — 🙂 'tis she'll 12345",
)


@contextmanager
def served(file: Path) -> Iterator[str]:
    """The address of a server of a file, with float32 caches."""
    command = [str(SERVER), "--model", str(file), "--port", "0", "--threads", "1", "--ctx-size", "64"]
    command += ["--parallel", "1", "--cache-type-k", "f32", "--cache-type-v", "f32", "--no-warmup"]
    command += ["--fit", "off", "--flash-attn", "off"]
    log = file.with_suffix(".log")
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
    try:
        while not (found := re.search(r"listening on (http://\S+:\d+)", log.read_text(errors="replace"))):
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            time.sleep(0.05)
        yield found[1]
    finally:
        process.terminate()
        process.wait()


def ask(address: str, route: str, **body: object) -> dict:
    request = Request(f"{address}/{route}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=600) as answer:
        return json.load(answer)


@pytest.mark.slow
@pytest.mark.skipif(SERVER is None, reason="HEADSTART_LLAMA_SERVER names no llama-server")
@pytest.mark.parametrize("family", [*LLAMAS, *TODAY])
@torch.no_grad()
def test_llama_cpp_computes_the_same(family, tokenizer, tmp_path) -> None:
    model = stirred(family, **(LLAMAS | TODAY)[family])
    write_gguf(tmp_path / "m.gguf", model, tokenizer, "f32", "small")
    ids = torch.randint(4, 600, (30,), generator=torch.Generator().manual_seed(0)).tolist()
    compared = 0
    with served(tmp_path / "m.gguf") as address:
        for text in TEXTS:
            assert ask(address, "tokenize", content=text)["tokens"] == list(tokenizer.encode(text))
        for _ in range(WRITTEN):
            right = model.logits(model(torch.tensor([ids])))[0, -1].log_softmax(-1)
            answer = ask(address, "completion", prompt=ids, n_predict=1, **GREEDY)
            for step in answer.get("completion_probabilities", ()):  # none where a character is not whole
                for one in step["top_logprobs"]:
                    assert one["logprob"] == pytest.approx(float(right[one["id"]]), abs=2e-3)
                    compared += 1
            right[tokenizer.special.end] = -torch.inf
            assert answer["tokens"] == [int(right.argmax())]
            ids += answer["tokens"]
    assert compared > WRITTEN
