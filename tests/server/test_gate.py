"""Programs and pages of others at the speech API, which the settings can let in."""

import httpx
import pytest
from fastapi import FastAPI

from agent.settings import Settings, SettingsError
from tts_service.serving.gate import Gate

WEBUI = "http://localhost:3000"


def client(*, host="localhost:7860", **gate):
    app = FastAPI()

    @app.get("/v1/models")
    async def models():
        return {"data": ["tone"]}

    @app.get("/health")
    async def health():
        return {"status": "ready"}

    guarded = Gate(app, **{"host": "127.0.0.1", "token": None, "open_paths": ("/health",), **gate})
    return httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url=f"http://{host}")


async def test_a_page_named_in_the_settings_may_ask_and_read():
    async with client(origins=[WEBUI], token="secret") as http:
        ahead = await http.options("/v1/models", headers={"Origin": WEBUI, "Access-Control-Request-Method": "GET"})
        assert ahead.status_code == 204  # asked without the token: browsers send none with it
        assert ahead.headers["access-control-allow-origin"] == WEBUI
        assert "authorization" in ahead.headers["access-control-allow-headers"].lower()
        refused = await http.get("/v1/models", headers={"Origin": WEBUI})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == WEBUI  # else the page could not read why
        allowed = await http.get("/v1/models", headers={"Origin": WEBUI, "Authorization": "Bearer secret"})
        assert allowed.json() == {"data": ["tone"]}


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:3000.evil.example"])
async def test_other_pages_stay_outside_and_learn_which_setting_it_is(origin):
    async with client(origins=[WEBUI]) as http:
        for response in [
            await http.get("/v1/models", headers={"Origin": origin}),
            await http.options("/v1/models", headers={"Origin": origin}),
        ]:
            assert response.status_code == 403
            assert "access-control-allow-origin" not in response.headers
            assert f"api.origins=[{origin}]" in response.json()["error"]["message"]


async def test_pages_let_into_the_api_are_not_let_into_the_rest():
    async with client(origins=["*"]) as http:
        assert (await http.get("/v1/models", headers={"Origin": "app://obsidian.md"})).status_code == 200
        assert (await http.get("/health", headers={"Origin": "app://obsidian.md"})).status_code == 403


async def test_names_of_this_computer_inside_containers():
    async with client(host="host.docker.internal:7860", hosts=Settings().api.hosts) as http:
        assert (await http.get("/v1/models")).status_code == 200
    async with client(host="gateway.lan:7860") as http:
        refused = await http.get("/v1/models")
        assert refused.status_code == 421
        assert "api.hosts=[gateway.lan]" in refused.json()["error"]["message"]


async def test_head_is_get_without_the_body():
    async with client() as http:
        for path in ("/health", "/v1/models"):
            head, whole = await http.head(path), await http.get(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == whole.headers["content-length"]


@pytest.mark.parametrize("origin", ["localhost", "http://localhost/page", "http://"])
def test_an_origin_that_is_none_is_refused_at_the_start(origin):
    with pytest.raises(SettingsError, match=r"api\.origins.*no origin"):
        Settings.load(overrides=[f"api.origins=[{origin}]"])
