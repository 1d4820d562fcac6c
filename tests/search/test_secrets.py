"""Passwords and keys of search.yml, and the keys that NNI takes in any spelling: none passes a check, none is told."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from nas import NasError
from nas.search import gpus, knocking
from nas.search.config import SearchConfig
from nas.search.gpus import GPUs
from nas.search.hosts import check_machines, given_address, machines, places, public, secrets_in
from nas.search.nni_schema import canonical, check_nni

SECRET = "Geheim-3"
ME = {"host": "127.0.0.9", "user": "me"}


def nowhere(*_: str) -> str:
    return "search.yml, line 9"


def remote(*listed: Any, **changes: Any) -> dict[str, Any]:
    return {"trainingService": {"platform": "remote", "machineList": [*listed]}, **changes}


def refused(content: dict[str, Any]) -> str:
    with pytest.raises(NasError) as error:
        check_machines(content, nowhere)
    assert "\n" not in str(error.value)
    return str(error.value)


# What is told


@pytest.mark.parametrize("name", ["password", "sshPassphrase"])
@pytest.mark.parametrize("value", [12345678, 8.5, True, ["x"]])
def test_a_secret_that_yaml_reads_as_no_text_is_not_quoted(name, value):
    said = refused(remote({**ME, name: value}))
    assert (
        f"{name} of host 127.0.0.9 is read as {type(value).__name__}, and is to be text; put a number into quotes"
        in said
    )
    assert str(value) not in said


@pytest.mark.parametrize("listed", [{**ME, "password": SECRET}, SECRET, [f"me:{SECRET}@a"], None])
def test_machines_that_are_no_list_are_not_quoted(listed):
    said = refused({"trainingService": {"platform": "remote", "machineList": listed}})
    assert said.endswith("machineList is no list of machines; give one or more, each with its host and user")


@pytest.mark.parametrize(
    ("changes", "secrets"),
    [
        ({"trainingService": {"platform": "openpai", "host": "a", "username": "me", "token": 12345678}}, ["12345678"]),
        ({"trainingService": {"platform": "dlc", "accessKeySecret": {"a": SECRET}, "image": 5}}, [SECRET]),
        ({"sharedStorage": {"storageType": "AzureBlob", "storageAccountKey": [f"{SECRET}'\\"]}}, [SECRET]),
        (remote({**ME, "password": 87654321}), ["87654321"]),
        ({"trainingService": {"platform": "remote", "machineList": {**ME, "password": f"a\n{SECRET}\\"}}}, [SECRET]),
    ],
)  # fmt: skip
def test_what_nni_says_of_a_secret_is_told_without_it(changes, secrets):
    common = {"trialCommand": "true", "trialConcurrency": 1, "searchSpace": {}, "tuner": {"name": "Random"},
              "nniManagerIp": "127.0.0.1", "trainingService": {"platform": "local"}}  # fmt: skip
    with pytest.raises(NasError, match=r"^search\.yml: NNI refuses it: ") as error:
        check_nni(common | changes, Path("search.yml"))
    assert not [secret for secret in secrets if secret in str(error.value)]


OTHERS = [
    {"trainingService": {"platform": "openpai", "token": SECRET}},
    {"trainingService": [{"platform": "local"}, {"platform": "dlc", "accessKeySecret": SECRET}]},
    remote({**ME, "sshKeyFile": "key"}, sharedStorage={"storageAccountKey": SECRET}),
    remote({**ME, "password": SECRET}),
]


@pytest.mark.parametrize("content", OTHERS)
def test_no_services_secret_gets_into_nnis_log_or_onto_a_host(content, tmp_path, monkeypatch):
    (tmp_path / "key").touch(0o600)
    monkeypatch.chdir(tmp_path)
    (name,) = secrets_in(content)
    assert f"with debug NNI writes {name} of this file into its log" in refused({**content, "debug": True})
    upload = {"files": 1, "bytes": 1, "most": "", "names": ["search.yml"], "unreadable": "", "message": ""}
    monkeypatch.setattr(knocking, "_asked", lambda *words: {"hosts": [], "upload": upload})
    with pytest.raises(
        NasError, match=rf"has {name} in it, and would be uploaded to every host \(search\.yml\)"
    ):
        knocking.knock(content, "127.0.0.1", Path("search.yml"), tmp_path, print)


@pytest.mark.parametrize("content", OTHERS)
def test_what_a_run_keeps_tells_where_its_trials_run_and_no_secret(content):
    kept = public({**content, "nniManagerIp": "10.0.0.1", "maxTrialNumber": 3})
    assert SECRET not in json.dumps(kept)
    assert places(kept) == places(content) != []
    assert given_address(kept) == "10.0.0.1"
    assert kept["maxTrialNumber"] == 3
    assert public({"maxTrialNumber": 3}) == {"maxTrialNumber": 3}  # of a manager that did not answer


# How keys are written

SPELLED = """
searchSpace: digits
trialCommand: python -m nas.search.trial --data digits
maxTrialNumber: 2
trialConcurrency: 1
tuner: {codeDirectory: ., className: nas.search.tuner.StrategyTuner}
trainingService:
  Platform: remote
  trial_gpu_number: 1
  machine_list:
    - {HOST: 127.0.0.9, user: me, ssh_key_file: work, gpu_indices: 1, ssh_passphrase: Geheim-3}
"""


@pytest.fixture
def spelled(tmp_path):
    """Reads SPELLED, with more lines."""
    (tmp_path / "work").touch(0o600)

    def read(more: str = "") -> SearchConfig:
        (tmp_path / "search.yml").write_text(SPELLED + more)
        return SearchConfig.read(tmp_path / "search.yml", data=False)

    return read


def test_keys_are_known_however_they_are_spelled(spelled, tmp_path):
    config = spelled()
    key = str(tmp_path / "work")
    assert machines(config.data) == [
        {"host": "127.0.0.9", "user": "me", "sshKeyFile": key, "gpuIndices": 1, "sshPassphrase": SECRET}
    ]
    assert secrets_in(config.data) == {"sshPassphrase": {SECRET}}
    assert gpus.asked(config.data, config.data["trainingService"]) == 1
    (machine,) = config.prepared()["trainingService"]["machineList"]  # for_hosts finds them, too
    assert (machine["sshKeyFile"], machine["maxTrialNumberPerGpu"]) == (key, 3)
    assert gpus.lacking(config.data, config.data["trainingService"], machine, GPUs(1)).startswith(
        "has 1 GPU, counted"
    )


def test_a_spelling_hides_nothing_from_the_checks(spelled, tmp_path):
    with pytest.raises(NasError, match="with debug NNI writes sshPassphrase of this file into its log"):
        spelled("debug: true\n")
    (tmp_path / "work").chmod(0o644)
    with pytest.raises(
        NasError, match=r"sshKeyFile of host 127\.0\.0\.9 is .*/work, which others than you may read"
    ):
        spelled()


def test_two_spellings_of_a_key_are_a_mistake_and_not_quoted():
    content = yaml.safe_load(
        f"trainingService: [{{platform: local}}, {{machineList: [{{password: {SECRET}, Password: {SECRET}2}}]}}]"
    )
    with pytest.raises(NasError) as error:
        canonical(content, nowhere)
    assert str(error.value) == "search.yml, line 9: password is written twice, once as Password; keep one"


def test_what_is_not_nnis_to_spell_stays_as_it_is():
    content = {
        "tuner": {"class_args": 1},
        "trainingService": {5: 6, "openpai_config": {"task_roles": 1}, "x_y": None},
    }
    assert canonical(content, nowhere) == {
        "tuner": {"class_args": 1},
        "trainingService": {5: 6, "openpaiConfig": {"task_roles": 1}, "x_y": None},
    }
