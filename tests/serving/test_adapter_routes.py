"""Adapters that come and go while the server answers."""

import asyncio

import pytest

import headstart as hs
from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig
from headstart.generation.text import generate
from headstart.serving.settings import ServeSettings

PROMPT = "The old ship"
BODY = {"prompt": PROMPT, "max_tokens": 8, "temperature": 0}


def test_adapters_come_and_go(serving, adapters, local):
    client = serving("causal", adapters=adapters)
    config = GenerationConfig(max_new_tokens=8, temperature=0.0, top_k=0)
    models = {"causal": local["causal"]} | {name: hs.load(adapters / name) for name in ("cook", "pirate")}
    expected = {name: generate(one.loaded, [PROMPT], config)[0].text for name, one in models.items()}
    assert len(set(expected.values())) == 3

    def written(name):
        return client.post("/v1/completions", BODY | {"model": name}).json()["choices"][0]["text"]

    def served():
        return {one["id"]: one["served"] for one in client.get("/v1/adapters").json()["data"]}

    assert served() == {"cook": False, "pirate": False}
    for name in ("pirate", "cook"):
        answer = client.post("/v1/adapters", {"model": name}).json()
        assert (answer["id"], answer["headstart"]["state"]) == (name, "loaded")
    assert served() == {"cook": True, "pirate": True}
    assert {name: written(name) for name in expected} == expected
    gone = client.run(client.http.delete("/v1/adapters/pirate"))
    assert gone.json() == {"id": "pirate", "object": "model", "deleted": True}
    assert client.problem("/v1/completions", BODY | {"model": "pirate"}, 404)["code"] == "model_not_found"
    assert (written("causal"), written("cook")) == (expected["causal"], expected["cook"])
    assert client.post("/v1/adapters", {"model": "pirate"}).status_code in (
        200,
        409,
    )  # it may still be closing


def test_an_adapter_in_use_answers_to_the_end(serving, adapters):
    client = serving("causal", adapters=adapters)
    store = client.application.service.store
    assert client.post("/v1/adapters", {"model": "pirate"}).status_code == 200

    async def hold():
        async with store.use("pirate") as resident:
            assert (await client.http.delete("/v1/adapters/pirate")).status_code == 200
            again = await client.http.post("/v1/adapters", json={"model": "pirate"})
            assert (again.status_code, again.json()["error"]["code"]) == (409, "already_served")
            assert store.residents["pirate"] is resident
        while "pirate" in store.residents:
            await asyncio.sleep(0.01)
        return await client.http.post("/v1/adapters", json={"model": "pirate"})

    assert client.run(hold()).status_code == 200


def test_nobody_takes_up_an_adapter_that_has_been_removed(serving, adapters):
    """Also who waited for it to be loaded, and goes on before its threads have ended."""
    client = serving("causal", adapters=adapters)
    store = client.application.service.store
    assert client.post("/v1/adapters", {"model": "pirate"}).status_code == 200

    async def race():
        await store._one_load.acquire()
        resident = store.residents.pop("pirate")  # as while it is being loaded
        waiting = asyncio.create_task(client.http.post("/v1/completions", json=BODY | {"model": "pirate"}))
        while not store.loading:
            await asyncio.sleep(0)
        store.residents["pirate"] = resident
        store._one_load.release()
        store.remove("pirate")
        return (await waiting).json()

    assert client.run(race())["error"]["code"] == "model_not_found"


def test_adapters_make_room_for_each_other(serving, adapters):
    size = serving("causal").application.service.store.descriptions["causal"].bytes
    client = serving("causal", adapters=adapters, model_bytes=int(1.5 * size))
    store = client.application.service.store
    for name in ("pirate", "cook"):
        assert client.post("/v1/adapters", {"model": name}).status_code == 200
        assert set(store.residents) == {name}
    store.settings = ServeSettings(model_bytes=size // 2)
    client.run(client.http.delete("/v1/adapters/cook"))
    assert "--model-bytes" in client.problem("/v1/adapters", {"model": "cook"})["message"]
    assert "cook" not in store.descriptions


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "pirat"}, 404, "adapter_not_found"),
        ({"model": "notes"}, 404, "adapter_not_found"),
        ({"model": "../pirate"}, 404, "adapter_not_found"),
        ({"model": ""}, 404, "adapter_not_found"),
        ({}, 400, "missing_field"),
        ({"model": "pirate", "path": "/x"}, 400, "unknown_field"),
    ],
)
def test_only_names_below_the_folder(serving, adapters, body, status, code):
    assert serving("causal", adapters=adapters).problem("/v1/adapters", body, status)["code"] == code


def test_models_of_the_start_stay(serving, adapters, tmp_path):
    client = serving("causal", adapters=adapters)
    refused = client.run(client.http.delete("/v1/adapters/causal"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported_value")
    missing = client.run(client.http.delete("/v1/adapters/pirate"))
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    closed = serving("causal")
    assert closed.problem("/v1/adapters", {"model": "pirate"}, 403)["code"] == "adapters_not_allowed"
    with pytest.raises(HeadstartError, match="--adapters"):
        ServeSettings(adapters=tmp_path / "none")
