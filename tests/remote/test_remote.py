"""Searches whose trials run on two other machines, one of which is lost in the middle; each a real one, over SSH."""

import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.datasets import load_digits

from .harness import TRIALS, Search, Told, by_key, held, hold, remote, slowly, wait_for
from .machines import PASSWORD, PYTHON, Lan, Machine

pytestmark = pytest.mark.remote

Begin = Callable[..., tuple[Search, Machine, Machine]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Makes a search of one machine on two hosts, which end with the test."""
    with Lan(tmp_path / "lan") as lan:

        def made(
            service: Callable[[list[Machine]], Any] = remote, **changes: Any
        ) -> tuple[Search, Machine, Machine]:
            manager, *hosts = lan.machine("m"), lan.machine("a", sshd=True), lan.machine("b", sshd=True)
            return Search(manager, hosts, service(hosts), **changes), *hosts

        yield made


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """The same search with its trials on its own machine."""
    with Lan(tmp_path_factory.mktemp("undisturbed")) as lan:
        search = Search(lan.machine("m"), [], {"platform": "local"})
        search.nas()
        assert search.wait() == 0, search.out
        return search.result()


def assert_clean(*machines: Machine) -> None:
    """Nothing of the search runs there any more."""
    for machine in machines:
        wait_for(lambda: not machine.processes(), 30, must=False)  # noqa: B023
        assert machine.processes() == [], machine.name


def secrets_in(folder: Path) -> list[str]:
    """Files with the password in them."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and PASSWORD.encode() in path.read_bytes():
            found.append(path.relative_to(folder).as_posix())
    return sorted(found)


def by_password(hosts: list[Machine]) -> dict[str, Any]:
    first, second = hosts
    return {"platform": "remote", "machineList": [
        by_key(first), {"host": second.address, "user": "root", "password": PASSWORD, "pythonPath": PYTHON},
    ]}  # fmt: skip


def test_trials_run_on_all_hosts_with_the_result_of_a_search_at_home_and_passwords_stay_out(
    begin, undisturbed
):
    search, a, b = begin(by_password)
    (search.folder / ".nniignore").write_text("search.yml\nruns/\n")
    stranger = search.machine.lan.machine("x")
    search.nas()
    wait_for(lambda: search.told() >= 2 or search.process.poll() is not None, 120)
    listening = search.machine.run(["ss", "-tlnH"]).stdout.split("\n")
    assert {line.split()[3].rpartition(":")[0] for line in listening if line} == {
        "127.0.0.1",
        search.machine.address,
    }
    port = int(re.search(r"localhost:(\d+)", search.out)[1])
    door = f"exec 3<>/dev/tcp/{search.machine.address}/{port}"
    ask = ["bash", "-c", f"{door}; printf 'GET /api/v1/nni/experiment HTTP/1.0\r\n\r\n' >&3; cat <&3"]
    assert "trialConcurrency" in a.run(ask).stdout  # a host may
    assert "trialConcurrency" not in stranger.run(ask).stdout
    assert search.wait() == 0, search.out
    assert search.result() == undisturbed
    assert len(search.trials_on(a)) >= 3
    assert len(search.trials_on(b)) >= 3
    assert_clean(a, b, search.machine)
    assert secrets_in(a.own / "home") == secrets_in(b.own / "home") == []
    assert PASSWORD not in search.out
    mine = secrets_in(search.machine.own / "home")
    assert mine == [f"nni-experiments/{search.id}/db/nni.sqlite", "project/search.yml"]
    home = search.machine.own / "home" / "nni-experiments"
    assert stat.S_IMODE(home.stat().st_mode) == 0o700  # where NNI keeps what it was given


@pytest.mark.parametrize("how", ["cut_off", "kill"])
def test_a_host_that_is_lost_while_it_runs_a_trial_costs_nothing(begin, undisturbed, how):
    search, a, b = begin(slowly)
    search.nas()
    wait_for(lambda: search.told() >= 3 or search.process.poll() is not None, 180)
    assert search.process.poll() is None, search.out
    hold(a)
    wait_for(lambda: held(a) or search.process.poll() is not None, 60)
    running, lost = search.told(), held(a)
    getattr(a, how)()
    assert search.wait(240) == 0, search.out
    again = [event for event in search.journal().events if event["event"] == "again"]
    assert [(event["number"], event["job"]) for event in again] == [(running, lost)], again
    assert search.result() == undisturbed
    assert len(search.trials_on(b)) >= TRIALS // 2
    assert_clean(b, search.machine)
    if how == "cut_off":
        a.mend()
        assert_clean(a)


def test_what_was_killed_is_resumed_without_the_host_that_is_gone(begin, undisturbed):
    search, a, b = begin()
    search.nas()
    wait_for(lambda: search.told() >= 3 or search.process.poll() is not None, 180)
    a.kill()
    search.kill_all()
    search.nas("--resume", search.id)
    assert search.wait(300) == 0, search.out
    assert f"host {a.address} cannot be reached" in search.out
    assert "the search goes on without it" in search.out
    assert search.result() == undisturbed
    assert_clean(b, search.machine)


def test_code_data_and_space_reach_hosts_that_train(begin):
    """digits as the user's own file in the project, a space of theirs that is outside of it."""
    import numpy as np

    search, a, b = begin(
        searchSpace=None, searchSpaceFile="../mine.yml", maxTrialNumber=4, trialConcurrency=2,
        trialCommand=".venv/bin/python -m nas.search.trial --data npz:own.npz --epochs 1",
    )  # fmt: skip
    pixels, labels = load_digits(return_X_y=True)
    images = (pixels.reshape(-1, 8, 8) * 15).astype(np.uint8)
    np.savez(search.folder / "own.npz", x_train=images[:1500], y_train=labels[:1500], x_test=images[1500:],
             y_test=labels[1500:])  # fmt: skip
    space = yaml.safe_load((Path(__file__).parents[2] / "search_spaces" / "digits.yml").read_text()) | {
        "name": "mine"
    }
    (search.machine.own / "home" / "mine.yml").write_text(yaml.safe_dump(space))
    search.nas("--name", "found")
    assert search.wait(400) == 0, search.out
    trials = search.journal().ended()
    assert [trial.state for trial in trials] == ["complete"] * 4
    assert all(0.05 < trial.accuracy <= 1 for trial in trials)
    assert len(search.trials_on(a)) == len(search.trials_on(b)) == 2
    assert (search.folder / "found.yml").exists()
    assert_clean(a, b, search.machine)


def test_a_list_of_services_runs_trials_on_this_machine_and_on_a_host(begin, undisturbed):
    """NNI's hybrid service, of which `local` by itself fails."""
    search, a, _ = begin(
        lambda hosts: [{"platform": "local"}, remote(hosts[:1])], maxTrialNumber=4, trialConcurrency=2
    )
    search.nas()
    assert search.wait(240) == 0, search.out
    there, here = [
        [path.name for path in folder.glob("nni-experiments/*/trials/*") if (path / "parameter.cfg").exists()]
        for folder in (a.own / "tmp", search.machine.own / "home")
    ]
    assert there
    assert here
    assert [trial.state for trial in search.journal().ended()] == ["complete"] * 4
    assert {trial.number: trial.reward for trial in search.journal().ended()} == {
        number: reward for number, _, _, reward in undisturbed[:4]
    }  # the first population, whose samples follow from the seed
    assert_clean(a, search.machine)


def test_what_is_wrong_with_a_host_is_one_sentence_and_nothing_begins(begin):
    search, a, b = begin()
    (search.folder / ".nniignore").write_text("search.yml\n")  # which has a password in it, once

    def refused(sentence: str, **changes: Any) -> None:
        config = yaml.safe_load((search.folder / "search.yml").read_text())
        machine = by_key(a) | changes
        config["trainingService"]["machineList"] = [by_key(b), machine]
        (search.folder / "search.yml").write_text(yaml.safe_dump(config))
        before = len(search.out)
        search.nas()
        assert search.wait(120) == 2
        said = search.out[before:].strip().splitlines()[-1]
        assert sentence in said, said
        assert "Traceback" not in search.out

    other = search.machine.own / "home" / "other"
    shutil.copy(a.own / "host_key", other)
    other.chmod(0o600)
    refused("does not let root in with the key", sshKeyFile="~/other")
    refused("does not let root in with the password", password="wrong")
    refused("cannot be reached at port 2222", port=2222)
    refused("has no python that runs in its pythonPath /nowhere", pythonPath="/nowhere")
    refused("which cannot be read (No such file", sshKeyFile="~/missing")
    other.chmod(0o644)
    refused("which others than you may read (mode 644)", sshKeyFile="~/other")
    a.cut_off()
    refused("cannot be reached at port 22")
    assert search.journals() == []
