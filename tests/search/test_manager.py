"""NNI's REST interface as the tuner and `nas search` use it, against a small server of our own."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from nas.search.manager import Job, Manager


class Server(ThreadingHTTPServer):
    """Answers GET from `answers` and keeps what was PUT."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Any] = {}
        self.put: list[tuple[str, Any]] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        found = self.path in self.server.answers
        self._answer(200 if found else 500, json.dumps(self.server.answers.get(self.path)))

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.put.append((self.path, json.loads(body)))
        self._answer(200, "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def manager(server: Server) -> Manager:
    return Manager(server.server_port)


@pytest.mark.parametrize(
    ("url", "manager"),
    [
        ("ws://localhost:8080/tuner", Manager(8080)),
        ("ws://localhost:8123/my/prefix/tuner", Manager(8123, "my/prefix")),
    ],
)
def test_the_manager_is_found_from_the_tuners_channel(url, manager):
    assert Manager.of_channel(url) == manager


def test_status_and_errors(server, manager):
    server.answers["/api/v1/nni/check-status"] = {"status": "ERROR", "errors": ["the tuner ended"]}
    assert manager.status() == ("ERROR", ["the tuner ended"])
    server.answers["/api/v1/nni/check-status"] = {"status": "RUNNING"}
    assert manager.status() == ("RUNNING", [])


def test_a_prefix_comes_before_the_path(server):
    server.answers["/my/prefix/api/v1/nni/experiment"] = {"id": "abc123"}
    assert Manager(server.server_port, "my/prefix").profile() == {"id": "abc123"}


def test_jobs_have_their_parameters(server, manager):
    parameters = {"parameter_id": 0, "parameters": {"stage1.op": "conv", "run": {"number": 4}}}
    server.answers["/api/v1/nni/trial-jobs"] = [
        {"trialJobId": "a", "status": "WAITING"},
        {"trialJobId": "b", "status": "SUCCEEDED", "hyperParameters": [json.dumps(parameters)]},
    ]
    assert manager.jobs() == [Job("a", "WAITING", []), Job("b", "SUCCEEDED", [parameters])]
    server.answers["/api/v1/nni/trial-jobs/b"] = server.answers["/api/v1/nni/trial-jobs"][1]
    assert manager.job("b") == manager.jobs()[1]
    server.answers["/api/v1/nni/trial-jobs"] = None
    assert manager.jobs() == []


def metric(kind: str, sequence: int, data: Any) -> dict[str, Any]:
    return {"type": kind, "sequence": sequence, "data": data}


def test_the_last_intermediate_result_is_that_of_highest_sequence(server, manager):
    """NNI packs a trial's number as JSON, once or twice; not in order."""
    server.answers["/api/v1/nni/metric-data/a"] = [
        metric("PERIODICAL", 10, json.dumps(json.dumps(0.7))),
        metric("PERIODICAL", 2, json.dumps(0.9)),
        metric("FINAL", 11, json.dumps(0.1)),
    ]
    assert manager.last_intermediate("a") == 0.7
    server.answers["/api/v1/nni/metric-data/b"] = [metric("PERIODICAL", 0, json.dumps('{"default": 0.25}'))]
    assert manager.last_intermediate("b") == 0.25


@pytest.mark.parametrize("metrics", [None, [], [metric("FINAL", 0, "0.5")]])
def test_without_one_there_is_none(server, manager, metrics):
    server.answers["/api/v1/nni/metric-data/a"] = metrics
    assert manager.last_intermediate("a") is None


def test_the_number_of_trials_is_changed_and_all_else_kept(server, manager):
    server.answers["/api/v1/nni/experiment"] = {
        "id": "abc",
        "params": {"maxTrialNumber": 40, "trialConcurrency": 2},
    }
    manager.set_trials(6)
    assert server.put == [
        (
            "/api/v1/nni/experiment?update_type=MAX_TRIAL_NUM",
            {"id": "abc", "params": {"maxTrialNumber": 6, "trialConcurrency": 2}},
        )
    ]


def test_what_does_not_answer_is_an_os_error(server, manager):
    with pytest.raises(OSError, match="500"):
        manager.profile()
    with pytest.raises(OSError, match="refused"):
        Manager(1).status()


def test_a_proxy_is_for_other_machines(server, manager, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    server.answers["/api/v1/nni/check-status"] = {"status": "DONE"}
    assert manager.status() == ("DONE", [])
