"""Each way in that has to stay closed, once as an attack."""

import subprocess
import sys

import pytest

API = "/api/v1"


def test_the_server_has_no_torch() -> None:
    """It is ready in a blink and small; models are another process's."""
    code = (
        "import sys, headstart.studio.app, headstart.cli.studio;"
        "print([name for name in ('torch', 'transformers', 'scipy') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_without_the_token_there_is_nothing(plain) -> None:
    for path in ("/", f"{API}/folders", f"{API}/openapi.json", "/index.html"):
        assert plain.get(path).status_code == 401, path
    assert plain.get(f"{API}/folders", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert plain.get("/?token=wrong").status_code == 401


def test_the_token_leaves_the_address_for_a_cookie(plain, studio) -> None:
    answer = plain.get(f"/?token={studio.guard.token}")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert str(studio.guard.port) in cookie.split("=")[0]
    assert plain.get(f"{API}/status").status_code == 200  # the client kept it


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "studio.localhost:8123", ""])
def test_another_host_is_refused_before_anything_else(studio, host) -> None:
    """Under DNS rebinding the page of another site is of our origin, so that the host's name has to tell."""
    answer = studio.get(f"{API}/status", headers={"host": host, "origin": f"http://{host}"})
    assert answer.status_code == 403
    assert answer.json()["error"]["type"] == "host"


def test_another_site_is_refused(studio, plain) -> None:
    given = {"at": "run", "action": "pause"}
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert studio.post(f"{API}/control", json=given, headers=headers).status_code == 403, headers
        assert studio.get(f"{API}/status", headers=headers).status_code == 403, headers
    plain.get(f"/?token={studio.guard.token}")
    assert plain.post(f"{API}/control", json=given).status_code == 403, (
        "a cookie alone does not change anything"
    )
    form = {"content-type": "text/plain", "origin": f"http://127.0.0.1:{studio.guard.port}"}
    assert studio.post(f"{API}/control", content=b"{}", headers=form).status_code == 415
    assert "access-control-allow-origin" not in studio.get(f"{API}/status").headers


def test_large_requests_are_refused(studio) -> None:
    answer = studio.post(f"{API}/tokenize", json={"at": "run", "text": "x" * 1_000_001})
    assert answer.status_code == 413
    answer = studio.post(f"{API}/tokenize", json={"at": "run", "text": "x" * 20_001})
    assert answer.status_code == 422


def test_every_answer_is_locked_down(studio) -> None:
    headers = studio.get(f"{API}/status").headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "at",
    ["/etc", "../", "run/../../", "link", "link/passwd", "9:run", "run\0", "..\\..", "nowhere", "~", "0:../"],
)
def test_nothing_outside_of_the_roots_can_be_addressed(studio, studio_root, at) -> None:
    """And the answer does not tell whether it is there."""
    link = studio_root / "link"
    if not link.exists():
        link.symlink_to("/etc")
    answer = studio.get(f"{API}/folder", params={"at": at})
    assert answer.status_code == 404
    assert answer.json()["error"]["message"].startswith("there is nothing at")


def test_a_hostile_folder_is_a_sentence(studio, studio_root) -> None:
    """A configuration far larger than its file of weights, one with markup, one that is no JSON."""
    import json

    from safetensors.numpy import save_file

    hostile = studio_root / "hostile"
    hostile.mkdir(exist_ok=True)
    save_file({}, hostile / "model.safetensors")
    huge = {"model_type": "llama", "hidden_size": 10**6, "num_hidden_layers": 10**6, "num_attention_heads": 8,
            "intermediate_size": 10**7, "vocab_size": 10**6}  # fmt: skip
    for config in (json.dumps(huge), '{"model_type": "<img src=x onerror=alert(1)>"}', "{", "[]"):
        (hostile / "config.json").write_text(config)
        answer = studio.get(f"{API}/model", params={"at": "hostile"})
        assert answer.status_code == 400, config
        assert "Traceback" not in answer.text
        assert studio.get(f"{API}/folders").status_code == 200
