"""A search on other machines that is ended and resumed: with a name that is gone, with hosts that NNI does not have."""

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from nas.errors import NasError
from nas.search import experiment as experiment_module
from nas.search import knocking
from nas.search.config import SearchConfig
from nas.search.experiment import Experiment
from nas.search.guard import ADDRESS, PEERS
from nas.search.hosts import address_for, public
from nas.search.runs import CONFIG

GONE = "gone.invalid"
HERE = "127.0.0.1"


class FakeManager:
    def profile(self) -> dict[str, Any]:
        return {"params": {"maxTrialNumber": 40}}


@pytest.fixture
def remote(tmp_path, search_yml, monkeypatch):
    """Makes the Experiment abc123 of a search.yml of hosts; those whose names end in .invalid answer nothing.

    `said` are its lines, `calls` the first words and environments of nnictl.
    """
    key = tmp_path / "key"
    key.write_text("a key")
    key.chmod(0o600)
    upload = {"files": 1, "bytes": 1, "most": "", "names": [], "unreadable": "", "message": ""}

    def asked(known: list[dict[str, Any]], *_: Any) -> dict[str, Any]:
        there = json.dumps({"python": "/p", "nas": True, "source": "127.0.0.9"})
        lost = {"level": "client-socket", "message": "getaddrinfo ENOTFOUND"}
        return {
            "upload": upload,
            "hosts": [lost if one["host"].endswith(".invalid") else {"answer": there} for one in known],
        }

    monkeypatch.setattr(knocking, "_asked", asked)
    monkeypatch.setattr(Experiment, "manager", FakeManager())
    monkeypatch.setattr(Experiment, "_until", lambda *_: None)
    monkeypatch.setattr(experiment_module.runs, "processes_of", lambda _: {})
    monkeypatch.setattr(experiment_module.runs, "registered", lambda _: {})

    def make(*names: str, **changed: Any) -> Experiment:
        listed = [{"host": name, "user": "me", "sshKeyFile": str(key)} for name in names]
        service = {"platform": "remote", "machineList": listed} if names else {"platform": "local"}
        path = search_yml(trainingService=service, **changed)
        said: list[str] = []
        calls: list[tuple[str, dict[str, str]]] = []
        made = Experiment(SearchConfig.read(path, data=False), said.append)
        made.id, made.said, made.calls = "abc123", said, calls

        def nnictl(words: Any, environment: dict[str, str], mark: str) -> CompletedProcess[str]:
            calls.append((words[0], environment))
            return CompletedProcess(words, 0, "Experiment ID: abc123", "")

        monkeypatch.setattr(experiment_module, "nnictl", nnictl)
        return made

    return make


def begun(run: Path, experiment: Experiment, address: str | None = HERE) -> None:
    """What the tuner writes when a search begins."""
    (run / CONFIG).write_text(json.dumps(public(experiment.config.prepared(40, address))))


# A name that is gone


def test_a_search_is_ended_though_no_name_of_its_hosts_resolves(remote):
    experiment = remote(GONE)
    experiment.end()
    assert [word for word, _ in experiment.calls] == ["stop"]


@pytest.mark.parametrize("written", [True, False])
def test_it_is_resumed_without_the_host_whose_name_is_gone(remote, make_run, written):
    run = make_run(("running", {})).path.parent
    experiment = remote(GONE, HERE)
    if written:  # a search of before has not
        begun(run, experiment)
    assert experiment.resume("abc123")
    assert f"host {GONE} cannot be reached at port 22 (getaddrinfo ENOTFOUND)" in experiment.said[0]
    assert experiment.said[0].endswith("; the search goes on without it")
    ((word, environment),) = experiment.calls
    assert word == "resume"
    assert (environment[ADDRESS], set(environment[PEERS].split(","))) == (HERE, {HERE, "127.0.0.9"})


def test_this_machines_address_is_looked_for_once(remote, monkeypatch):
    looked: list[object] = []
    experiment = remote(HERE)
    monkeypatch.setattr("nas.search.door.address_for", lambda data, _: looked.append(data) or HERE)
    experiment.start()
    experiment.end()
    assert len(looked) == 1
    assert [word for word, _ in experiment.calls] == ["create", "stop"]
    assert experiment.config.prepared(3, HERE)["nniManagerIp"] == HERE


def test_of_hosts_the_first_that_has_an_address_tells_this_machines_own():
    listed = [{"host": name} for name in (GONE, "a..b", HERE)]
    service = {"platform": "remote", "machineList": listed}
    assert address_for({"trainingService": service}, Path("s.yml")) == HERE
    with pytest.raises(
        NasError, match=rf"^s.yml: host {GONE} \(machineList\) has no address .*; mend its name, or the net"
    ):
        address_for({"trainingService": service | {"machineList": listed[:2]}}, Path("s.yml"))


# Other hosts than NNI has


@pytest.mark.parametrize(
    ("then", "now", "sentence"),
    [
        (["127.0.0.1", "127.0.0.2"], ["127.0.0.1", "127.0.0.3"],
         "has me@127.0.0.1:22, me@127.0.0.3:22, and this search was begun with me@127.0.0.1:22, me@127.0.0.2:22, "),
        (["127.0.0.1"], ["127.0.0.3"], "has me@127.0.0.3:22, and this search was begun with me@127.0.0.1:22, which"),
        (["127.0.0.1"], [], "has local, and this search was begun with me@127.0.0.1:22, which NNI keeps; name them"),
        ([], ["127.0.0.1"], "has me@127.0.0.1:22, and this search was begun with local, which NNI keeps; name them"),
    ],
)  # fmt: skip
def test_other_hosts_than_it_was_begun_with_are_refused(remote, make_run, then, now, sentence):
    run = make_run(("running", {})).path.parent
    begun(run, remote(*then))
    with pytest.raises(NasError) as error:
        remote(*now).resume("abc123")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    again = remote(*reversed(then))
    assert again.resume("abc123")
    assert [word for word, _ in again.calls] == ["resume"]


def test_a_search_that_is_over_may_have_lost_its_hosts(remote, make_run):
    run = make_run(("complete", {"accuracy": 0.9, "reward": 0.9}), max_trials=1).path.parent
    begun(run, remote("127.0.0.1"))
    assert not remote("127.0.0.3").resume("abc123")


def test_an_address_that_is_this_machines_no_longer_is_told(remote, make_run):
    run = make_run(("running", {})).path.parent
    begun(run, remote(HERE), "192.0.2.7")
    for given in ({}, {"nniManagerIp": HERE}):
        with pytest.raises(NasError) as error:
            remote(HERE, **given).resume("abc123")
        assert (
            "report to 192.0.2.7, which NNI keeps, and which is no address of this machine; give it"
            in str(error.value)
        )
    behind = remote(HERE, nniManagerIp="192.0.2.7")
    assert behind.resume("abc123")
    assert "nniManagerIp 192.0.2.7 is no address of this machine" in behind.said[0]


def test_the_address_it_was_begun_at_is_kept_and_another_is_noted(remote, make_run):
    run = make_run(("running", {})).path.parent
    begun(run, remote(HERE), "127.0.0.5")
    experiment = remote(HERE, nniManagerIp="127.0.0.6")
    assert experiment.resume("abc123")
    assert experiment.said[0].startswith(
        "note: nniManagerIp of search.yml changed since this search began, which keeps"
    )
    assert experiment.calls[0][1][ADDRESS] == "127.0.0.5"
