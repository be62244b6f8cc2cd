"""Models by name: loaded when asked, put away for room, never while in use; older models have vectors too."""

import asyncio

import numpy as np
import pytest
from served_client import SETTINGS, Client

import headstart as hs
from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig
from headstart.generation.text import generate
from headstart.models.vectors.elmo import CharacterOptions, ElmoOptions, LstmOptions, build
from headstart.models.vectors.word_vectors import WordVectors
from headstart.serving.app import Application
from headstart.serving.model_store import named_folders
from headstart.serving.self_check import self_check
from headstart.serving.served_model import text_vector
from headstart.serving.settings import ServeSettings
from headstart.tasks.baselines.word_vectors import read_baseline

BODY = {"input": "The captain waits."}


def test_the_longest_unused_makes_room(serving):
    names = ("sea", "topics", "stars")
    size = serving("sea").application.service.store.descriptions["sea"].bytes
    client = serving(*names, model_bytes=int(2.5 * size))
    store = client.application.service.store
    for name in (*names, "sea", "stars"):
        assert client.post("/v1/classify", {"model": name, **BODY}).status_code == 200
        assert store.bytes <= 2.5 * size
    assert set(store.residents) == {"sea", "stars"}
    states = {one["id"]: one["headstart"]["state"] for one in client.get("/v1/models").json()["data"]}
    assert states == {"sea": "loaded", "topics": "cold", "stars": "loaded"}


def test_a_model_in_use_stays(serving):
    size = serving("sea").application.service.store.descriptions["sea"].bytes
    client = serving("sea", "topics", model_bytes=int(1.5 * size))
    store = client.application.service.store

    async def hold():
        async with store.use("sea"):
            other = asyncio.ensure_future(client.http.post("/v1/classify", json={"model": "topics", **BODY}))
            await asyncio.sleep(0.05)
            assert set(store.residents) == {"sea"}
            assert not other.done()
        return await other

    assert client.run(hold()).status_code == 200
    assert set(store.residents) == {"topics"}


def test_a_model_that_can_never_fit_is_refused_at_the_start(folders):
    with pytest.raises(HeadstartError, match="--model-bytes"):
        Application(folders, ServeSettings(model_bytes=10_000))


def test_a_folder_without_a_model_is_refused_at_the_start(tmp_path):
    with pytest.raises(HeadstartError, match="not a model folder"):
        Application({"nothing": tmp_path}, ServeSettings())


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """Folders of word vectors and of a tiny ELMo."""
    root = tmp_path_factory.mktemp("older")
    words = ["the", "ship", "harbour", "garden"]
    WordVectors(words, np.arange(4, 0, -1), np.random.default_rng(0).normal(size=(4, 6))).save(root / "glove")
    options = ElmoOptions(CharacterOptions(((1, 8), (3, 16)), 1), LstmOptions(32, 16))
    build(options, dict.fromkeys(words, 1), seed=0).save(root / "elmo")
    return root


def test_word_vectors_embed(older):
    client = Client(Application({"glove": older / "glove"}, SETTINGS))
    texts = ["The ship, the harbour!", "garden"]
    found = client.post("/v1/embeddings", {"input": texts}).json()["data"]
    vectors = read_baseline(older / "glove")[1]
    expected = np.stack([text_vector(vectors, text) for text in texts])
    assert np.array_equal(np.array([one["embedding"] for one in found], np.float32), expected)
    mean = vectors.vectors.matrix[[0, 1, 0, 2]].mean(0)
    assert np.allclose(expected[0], mean / np.linalg.norm(mean))
    assert "no word" in client.problem("/v1/embeddings", {"input": "xyzzy"})["message"]
    assert client.problem("/v1/classify", BODY)["code"] == "wrong_task"
    ranked = client.post("/v1/rerank", {"query": "ship", "documents": ["garden", "the ship"]}).json()
    assert ranked["results"][0]["index"] == 1
    client.close()


def test_elmo_embeds(older):
    client = Client(Application({"elmo": older / "elmo"}, SETTINGS))
    texts = ["The ship waits. A garden too.", "harbour"]
    answer = client.post("/v1/embeddings", {"input": texts}).json()
    vectors = read_baseline(older / "elmo")[1]
    states = vectors.of_text(texts[0])  # [words, layers, D]
    assert states.shape[:2] == (8, 3)
    mean = states.mean(1).mean(0)
    found = np.array(answer["data"][0]["embedding"])
    assert np.allclose(found, mean / np.linalg.norm(mean), atol=1e-6)
    assert client.get("/v1/models/elmo").json()["headstart"]["family"] == "elmo"
    client.close()


def test_check_asks_every_model(folders):
    said = []
    application = Application(folders, SETTINGS)
    asyncio.run(self_check(application, said.append))
    asked = {tuple(line.split()[:2]) for line in said}
    expected = {
        (one.name, route) for one in application.service.store.descriptions.values() for route in one.routes
    }
    assert asked == expected


def test_an_adapter_is_served_beside_its_base(folders, adapters, local):
    """Under any name, such as BASE:ADAPTER; requests to the one leave the other as it is."""
    named = named_folders([folders["causal"]], [f"causal:sea={adapters / 'pirate'}"])
    client = Client(Application(named, SETTINGS))
    config = GenerationConfig(max_new_tokens=8, temperature=0.0, top_k=0)
    models = {"causal": local["causal"], "causal:sea": hs.load(adapters / "pirate")}
    expected = {name: generate(one.loaded, ["The old ship"], config)[0].text for name, one in models.items()}
    body = {"prompt": "The old ship", "max_tokens": 8, "temperature": 0}
    for name in ("causal", "causal:sea", "causal"):
        answer = client.post("/v1/completions", body | {"model": name}).json()
        assert (answer["model"], answer["choices"][0]["text"]) == (name, expected[name])
    assert expected["causal"] != expected["causal:sea"]
    assert client.problem("/v1/completions", body | {"model": "causal:see"}, 404)["code"] == "model_not_found"
    client.close()
