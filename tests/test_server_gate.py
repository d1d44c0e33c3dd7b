"""Who may ask for what: files and sessions of others, names and passwords, how much is sent, and what answers carry."""

import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from page import owners as module
from page.gate import LARGEST_JSON, LOGINS, Gate
from page.health import Health, resident_bytes
from page.jobs import DONE, Jobs
from page.live import LiveServer
from page.manners import Manners
from page.owners import COOKIE, Owners, address_of, client_of
from page.settings import DEFAULTS
from page.visits import Visits

JOIN, UPLOAD = "/gradio_api/queue/join", "/gradio_api/upload"


@pytest.fixture
def site(tmp_path):
    """Settings -> an application that answers as Gradio does, behind the gate; `site.owners`, `site.folder`."""
    folder = tmp_path / "kept"
    folder.mkdir()
    site = SimpleNamespace(folder=folder, owners=Owners(folder), calls=[])

    async def upload(request):
        path = folder / f"upload{len(list(folder.iterdir()))}" / "me.jpg"
        path.parent.mkdir()
        path.write_bytes(await request.body())
        return JSONResponse([str(path)])

    async def file(request):
        with open(request.path_params["path"]) as content:
            return PlainTextResponse(content.read())

    async def call(request):
        site.calls.append(await request.json())
        return JSONResponse({"event_id": "1"})

    async def live(socket):
        await socket.accept()
        await socket.close()

    async def broken(request):
        raise ClientDisconnect

    routes = [
        Route("/", lambda request: HTMLResponse("<gradio-app>")),
        Route("/login", lambda request: PlainTextResponse("no", 400), methods=["POST"]),
        Route("/healthz", lambda request: PlainTextResponse("ready")),
        Route(UPLOAD, upload, methods=["POST"]),
        Route("/gradio_api/broken", broken),
        Route("/gradio_api/file={path:path}", file),
        Route(JOIN, call, methods=["POST"]),
        Route("/gradio_api/{rest:path}", lambda request: PlainTextResponse("served")),
        WebSocketRoute("/live", live),
    ]

    def make(scheme="http", **settings):
        gate = Middleware(Gate, owners=site.owners, settings=replace(DEFAULTS, **settings))
        app = Starlette(routes=routes, middleware=[Middleware(Manners), gate])
        app.tokens, app.cookie_id = {"jo's": "jo"}, "x"
        site.app, site.address = app, f"{scheme}://testserver"
        return site

    site.make = make
    return site


def visitor(site, enters=True):
    client = TestClient(site.app, base_url=site.address)
    if enters:
        client.get("/")
    return client


def uploaded(client):
    return client.post(UPLOAD, content=b"a face").json()[0]


def test_a_file_is_read_by_whoever_uploaded_it_and_by_nobody_else(site):
    site.make()
    own, other, program = visitor(site), visitor(site), visitor(site, enters=False)
    path = uploaded(own)
    assert own.get(f"/gradio_api/file={path}").text == "a face"
    around = path.replace("upload0", "upload7/../upload0")
    for stranger in (other, program):
        for name in (path, around):
            answer = stranger.get(f"/gradio_api/file={name}")
            assert answer.status_code == 403 and "face" not in answer.text
            assert stranger.head(f"/gradio_api/file={name}").status_code == 403
    of_a_program = uploaded(program)
    assert program.get(f"/gradio_api/file={of_a_program}").status_code == 200
    assert own.get(f"/gradio_api/file={of_a_program}").status_code == 403


def test_a_link_into_anothers_folder_leads_nowhere(site):
    site.make()
    own, other = visitor(site), visitor(site)
    path = uploaded(own)
    link = site.folder / "link"
    link.symlink_to(path)
    assert other.get(f"/gradio_api/file={link}").status_code == 403


def test_another_visitors_file_cannot_be_named_in_a_call(site):
    site.make()
    own, other = visitor(site), visitor(site)
    path = uploaded(own)
    for data in ({"path": path}, [[{"path": path}, 0.5]], path, {"deep": [{"er": [path]}]}):
        call = {"data": [data], "fn_index": 1, "session_hash": "others"}
        answer = other.post(JOIN, json=call)
        assert answer.status_code == 403 and answer.text.endswith("not there any more.")
        assert own.post(JOIN, json=call | {"session_hash": "own"}).status_code == 200
    assert len(site.calls) == 4


def test_a_session_is_the_browsers_that_used_it_first(site):
    site.make()
    own, other = visitor(site), visitor(site)
    assert own.get("/gradio_api/heartbeat/abc").text == "served"
    for ask in ("/gradio_api/queue/data?session_hash=abc", "/gradio_api/heartbeat/abc"):
        assert other.get(ask).status_code == 404 and own.get(ask).status_code == 200
    assert other.post(JOIN, json={"session_hash": "abc", "data": []}).status_code == 404


def test_results_are_the_sessions_that_asked_for_them(site):
    site.make()
    own, other = visitor(site), visitor(site)
    visits = Visits(site.folder, site.owners)
    own.get("/gradio_api/heartbeat/abc")
    folder = visits.new_folder("abc")
    folder.mkdir()
    (folder / "reaction.mp4").write_text("a film")
    assert len(folder.name) >= 32 + len("run-"), "and it cannot be guessed"
    assert own.get(f"/gradio_api/file={folder}/reaction.mp4").text == "a film"
    assert other.get(f"/gradio_api/file={folder}/reaction.mp4").status_code == 403


def test_nobody_has_anothers_files_deleted(site, monkeypatch):
    """What a session remembers goes when it ends: it may be neither the folder of all nor a file of another."""
    monkeypatch.setattr("page.visits.GRACE_SECONDS", 0.05)
    site.make()
    own, thief = visitor(site), visitor(site)
    path = uploaded(own)
    thief.get("/gradio_api/heartbeat/thief")
    visits = Visits(site.folder, site.owners)
    visits.keep("thief", path, site.folder, str(site.folder / "upload0"), "/", "")
    visits.forget(SimpleNamespace(session_hash="thief"))
    time.sleep(0.4)
    assert own.get(f"/gradio_api/file={path}").text == "a face"


def test_the_same_file_of_two_is_not_deleted_before_the_second_can_use_it(site, monkeypatch):
    monkeypatch.setattr("page.visits.GRACE_SECONDS", 0.05)
    monkeypatch.setattr("page.owners.AGAIN_SECONDS", 1.0)
    site.make()
    visits = Visits(site.folder, site.owners)
    path = site.folder / "upload0" / "face.jpg"
    path.parent.mkdir()
    path.write_text("a face")
    for browser in ("first", "second"):  # Gradio names an upload by its contents
        site.owners.claim(path, browser)
    site.owners.bind("one", "first")
    visits.keep("one", path)
    visits.forget(SimpleNamespace(session_hash="one"))
    time.sleep(0.4)
    assert path.exists(), "the second has sent it, and is about to ask for a run"
    time.sleep(1.2)
    assert not path.exists(), "and did not"


def test_what_the_page_does_not_need_is_closed(site):
    site.make()
    client = visitor(site)
    for path in (
        "file=http://127.0.0.1/", "file=https://127.0.0.1/", "file=HTTP://127.0.0.1/", "proxy=http://127.0.0.1/",
        "deep_link", "vibe-edit", "runs", "process_recording", "component_server", "token",
    ):  # fmt: skip
        assert client.get(f"/gradio_api/{path}").status_code == 404, path
    assert client.get("/gradio_api/info").status_code == 200


def test_an_upload_is_measured_before_it_is_taken(site):
    site.make(upload_mb=1, client_mb=2)
    client = TestClient(site.app, client=("192.0.2.5", 1234))
    answer = client.post(UPLOAD, content=b"x" * 1_200_000)
    assert answer.status_code == 413 and answer.text == "The file is larger than 1 MB, the most that is taken here."
    assert client.post(UPLOAD, content=iter([b"x"])).status_code == 411
    for _ in range(2):
        assert client.post(UPLOAD, content=b"x" * 990_000).status_code == 200
    answer = client.post(UPLOAD, content=b"x" * 990_000)
    assert answer.status_code == 429 and answer.text.startswith("This server takes 2 MB of one address in 60 minutes")
    assert TestClient(site.app, client=("192.0.2.6", 1234)).post(UPLOAD, content=b"x").status_code == 200


def test_a_call_is_no_place_for_megabytes(site):
    site.make()
    assert visitor(site).post(JOIN, content=b"[" + b" " * LARGEST_JSON + b"]").status_code == 413
    assert site.calls == []


def test_with_names_nobody_else_comes_in_and_the_socket_is_no_way_round(site, tmp_path):
    site.make(auth=tmp_path / "users")
    stranger, jo = visitor(site), visitor(site)
    jo.cookies.set("access-token-unsecure-x", "jo's")
    for path in ("/gradio_api/heartbeat/a", "/gradio_api/file=/x", "/live-head/Alex.json", "/web/1/three.js"):
        assert stranger.get(path).status_code == 401, path
    assert stranger.get("/").status_code == stranger.get("/healthz").status_code == 200
    with pytest.raises(WebSocketDisconnect), stranger.websocket_connect("/live"):
        pass
    with jo.websocket_connect("/live"):
        pass
    path = uploaded(jo)
    mia = visitor(site)
    site.app.tokens["mia's"] = "mia"
    mia.cookies = dict(jo.cookies) | {"access-token-unsecure-x": "mia's"}
    assert jo.get(f"/gradio_api/file={path}").status_code == 200
    assert mia.get(f"/gradio_api/file={path}").status_code == 403, "even on one machine"


def test_passwords_cannot_be_tried_without_end(site):
    site.make()
    client = visitor(site)
    codes = [client.post("/login").status_code for _ in range(LOGINS + 1)]
    assert codes == [400] * LOGINS + [429]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_every_answer_carries_the_headers(site, scheme):
    site.make(scheme)
    client = TestClient(site.app, base_url=f"{scheme}://testserver")
    for path in ("/", "/gradio_api/info", "/gradio_api/token", "/nothing", "/alive"):
        headers = client.get(path).headers
        if path == "/alive":
            continue
        assert "frame-ancestors 'self'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["permissions-policy"].startswith("camera=(self), microphone=(self), ")
        assert ("strict-transport-security" in headers) == (scheme == "https")
    cookie = TestClient(site.app, base_url=f"{scheme}://testserver").get("/").headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=") and "HttpOnly" in cookie
    assert ("Secure" in cookie) == (scheme == "https")
    assert "set-cookie" not in client.get("/").headers, "once"


def test_a_cookie_of_ones_own_making_is_none(site):
    site.make()
    client = TestClient(site.app, cookies={COOKIE: "short"})
    assert "set-cookie" in client.get("/").headers


def test_what_a_broken_upload_left_is_removed(site, monkeypatch):
    monkeypatch.setattr(module, "STALE_SECONDS", 0.1)
    site.make()
    (site.folder / "tmp123").write_bytes(b"half a face")
    kept = uploaded(visitor(site))
    with pytest.raises(AssertionError, match="did not receive any response"):  # there is nobody to answer
        visitor(site).get("/gradio_api/broken")
    end = time.monotonic() + 5
    while (site.folder / "tmp123").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not (site.folder / "tmp123").exists()
    with open(kept) as file:
        assert file.read() == "a face"


def caller(host, user=None):
    return SimpleNamespace(client=SimpleNamespace(host=host), username=user, session_hash="s")


def test_who_is_meant_by_a_client():
    assert [address_of(caller(host)) for host in ("127.0.0.1", "::1", None, "testclient")] == [""] * 4
    assert address_of(caller("2001:db8:1:2:3:4:5:6")) == address_of(caller("2001:db8:1:2::9")) == "2001:db8:1:2::/64"
    assert client_of(caller("127.0.0.1")) == "session s"
    assert client_of(caller("192.0.2.1")) == "address 192.0.2.1"
    assert client_of(caller("192.0.2.1", "jo")) == "user jo"


@pytest.fixture
def health(tmp_path):
    live = LiveServer(lambda: None)
    return Health(Jobs(), live, tmp_path, has_metrics=True)


def asked(health, path, has_metrics=True):
    health._has_metrics = has_metrics
    return TestClient(Starlette(routes=health.routes())).get(path)


def test_health_says_what_is_wrong(health, monkeypatch):
    assert asked(health, "/healthz").json() == {"state": "ready"}
    health._live.loaded.clear()
    assert asked(health, "/healthz").json() == {"state": "loading"}
    monkeypatch.setattr(Jobs, "is_stuck", True)
    answer = asked(health, "/healthz")
    assert answer.status_code == 503 and answer.json()["state"].endswith("only a new start helps.")


def test_a_full_disk_is_unhealthy(health, monkeypatch):
    monkeypatch.setattr("page.health.shutil.disk_usage", lambda folder: SimpleNamespace(free=1000))
    assert asked(health, "/healthz").status_code == 503


def test_metrics_are_prometheus_text_and_off_unless_asked_for(health):
    for seconds in (0.5, 4.0, 4000.0):
        health._jobs.tally.count(DONE, 0.0, seconds)
    health._jobs.tally.count("cancelled", 7.0, None)
    answer = asked(health, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#"))
    assert values['perfrdiff_runs_total{end="done"}'] == "3"
    assert [values[f'perfrdiff_run_seconds_bucket{{le="{end}"}}'] for end in (1, 2, 5, 3600, "+Inf")] == list("11223")
    assert values["perfrdiff_run_seconds_count"] == "3" and values["perfrdiff_run_wait_seconds_count"] == "4"
    assert float(values["perfrdiff_memory_bytes"]) == pytest.approx(resident_bytes(), rel=0.2)
    for line in answer.text.splitlines():
        assert line.startswith("# ") or line.startswith("perfrdiff_")
    assert asked(health, "/metrics", has_metrics=False).status_code == 404
