"""Real clients against a real server: `make test-serve` has them; elsewhere there is nothing to ask with."""

import os
import subprocess
import sys
from copy import copy

import pytest

lm_eval = pytest.importorskip("lm_eval", reason="clients are installed by `make test-serve`")

from headstart.generation.chat import TEMPLATE  # noqa: E402
from headstart.interchange.model_folder import LoadedModel, save_model  # noqa: E402

KEY = "a-key-of-the-tests"
CONTEXTS = ["The old ship", "In the garden", "Nobody knew what", "A" * 30, "It was a"]
CONTINUATIONS = [" waits in the harbour", " the chairs stood", " was meant by it.", " 🌊", ""]


@pytest.fixture(scope="module")
def folder(tokenizer, tiny, tmp_path_factory):
    """A decoder that transformers reads, with a chat template."""
    made = tmp_path_factory.mktemp("clients") / "small"
    its = copy(tokenizer)
    its.config = tokenizer.config | {"chat_template": TEMPLATE}
    save_model(made, LoadedModel(tiny("headstart-decoder", seed=3, context=256), its, "causal"), "card")
    return made


@pytest.fixture(scope="module")
def address(folder):
    """Of a server in a process of its own."""
    environment = os.environ | {"HEADSTART_API_KEY": KEY}
    command = [sys.executable, "-m", "headstart", "serve", str(folder), "--port", "0", "--no-access-log"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        yield line.removeprefix("serving on ").strip()
        server.terminate()
        assert server.wait(60) == 0


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def requests_of(kind, arguments):
    from lm_eval.api.instance import Instance

    return [Instance(kind, {}, given, number) for number, given in enumerate(arguments)]


@pytest.mark.parametrize("batch", [1, 8])
def test_lm_eval_by_http_is_lm_eval_by_transformers(folder, address, batch):
    from lm_eval.models.huggingface import HFLM
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    usual = HFLM(
        pretrained=str(folder),
        device="cpu",
        batch_size=1,
        dtype="float32",
        max_length=256,
        add_bos_token=False,
    )
    ours = LocalCompletionsAPI(
        model="small",
        base_url=f"{address}/v1/completions",
        tokenizer=str(folder),
        tokenizer_backend="huggingface",
        tokenized_requests=True,
        batch_size=batch,
        max_length=256,
        num_concurrent=1,
        add_bos_token=False,
    )
    pairs = [(context, continuation) for context in CONTEXTS for continuation in CONTINUATIONS[:4]]
    expected = usual.loglikelihood(requests_of("loglikelihood", pairs))
    found = ours.loglikelihood(requests_of("loglikelihood", pairs))
    for pair, (right, greedy), (number, said) in zip(pairs, expected, found, strict=True):
        assert number == pytest.approx(right, abs=2e-3), pair
        assert said == greedy, pair
    asked = [(context, {"until": ["."], "max_gen_toks": 12, "temperature": 0.0}) for context in CONTEXTS]
    by_transformers = usual.generate_until(requests_of("generate_until", asked))
    assert ours.generate_until(requests_of("generate_until", asked)) == by_transformers


def test_langchain(address):
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    chat = ChatOpenAI(model="small", base_url=f"{address}/v1", max_tokens=8, temperature=0, seed=1)
    whole = chat.invoke("Where is the ship?")
    assert "".join(part.content for part in chat.stream("Where is the ship?")) == whole.content
    assert whole.usage_metadata["output_tokens"] > 0
    vectors = OpenAIEmbeddings(model="small", base_url=f"{address}/v1", check_embedding_ctx_length=False)
    assert len(vectors.embed_documents(["a", "b"])[1]) == 32


def test_litellm(address):
    import litellm

    said = {"messages": [{"role": "user", "content": "Where?"}], "api_base": f"{address}/v1", "max_tokens": 6}
    answer = litellm.completion(model="openai/small", temperature=0, seed=1, **said)
    parts = litellm.completion(model="openai/small", temperature=0, seed=1, stream=True, **said)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == answer.choices[0].message.content
    with pytest.raises(litellm.exceptions.NotFoundError):
        litellm.completion(model="openai/nobody", **said)
