"""Known answers: published networks in a space, by the run's own proxy, ranked among their peers."""

import json
import sys
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import nas
from nas import NasError, SearchSpace
from nas.known_report import check_answerable, known_lines
from nas.search.config import SearchConfig
from nas.search.known import ENOUGH, REFERENCES, Known, brought, evaluated, judged, read, references
from nas.search.settings import RewardSettings
from nas.search.trials import Trial

QUIET = Console(quiet=True)


@pytest.mark.parametrize(("name", "target"), [("cifar", 5.5e6), ("digits", 7e5), ("mnasnet", 3.14e8)])
def test_references_are_brought_to_the_target_and_keep_their_shape(name, target):
    space = SearchSpace.load(name)
    for known in references(space, target):
        assert known.off is None
        assert known.macs == space.decode(known.sample).macs
        assert abs(known.macs / target - 1) < 0.1
        own, found = nas.load(known.name).architecture, space.decode(known.sample)
        assert found.stages[-1].op == own.stages[-1].op
        assert found.stages[-1].kernel == own.stages[-1].kernel
        assert found.stages[-1].se == own.stages[-1].se


def test_the_network_itself_is_taken_where_it_is_about_the_target():
    space = SearchSpace.load("efficientnet")
    b0 = nas.load("efficientnet-b0").architecture
    assert space.decode(brought(b0, space, 400e6)).key == b0.key
    assert space.decode(brought(b0, space, 800e6)).macs > 1.5 * b0.macs


def test_a_shape_that_the_space_lacks_is_told(tiny):
    found = {known.name: known for known in references(tiny, 60_000)}
    assert set(found) == set(REFERENCES)
    lacking = [known for known in found.values() if known.off]
    assert all("is not in the space" in known.off for known in lacking)
    assert all(known.accuracy is None for known in lacking)


def trial(number: int, accuracy: float, macs: int, reward: float) -> Trial:
    return Trial(number, {}, f"k{number}", "complete", accuracy, reward, macs)


def test_ranks_are_among_networks_of_its_cost_with_ties_by_halves():
    settings = RewardSettings(form="soft", w=-0.07)
    peers = [trial(n, 0.80 + n / 100, 1_000_000 + 1000 * n, 0.5 + n / 100) for n in range(10)]
    others = [trial(100 + n, 0.99, 2_000_000, 0.99) for n in range(30)]
    own = Known("x", {}, 1_000_000, accuracy=0.80 + 5 / 100)
    found = judged(own, peers + others, settings, 1_000_000)
    assert (found.peers, found.by_accuracy, found.by_reward) == (10, 55.0, 100.0)
    assert found.reward == pytest.approx(0.85)
    assert not found.low
    assert judged(Known("x", {}, 1_000_000, accuracy=0.83), peers, settings, 1_000_000).low
    assert (
        judged(
            own, [*peers[4:], *(trial(20 + n, 0.5, 1_000_000, 0.5) for n in range(6))], settings, 10**6
        ).early
        == 6
    )
    few = judged(own, peers[: ENOUGH - 1] + others, settings, 1_000_000)
    assert (few.peers, few.by_accuracy, few.by_reward, few.low) == (9, None, None, False)
    failed = Known("x", {}, 1_000_000, failed="diverged")
    assert judged(failed, peers, settings, 1_000_000) == failed


STUB = """
import json, sys
sample = json.loads(sys.argv[sys.argv.index("--sample") + 1])
print("note", file=sys.stderr)
if "--fail" in sys.argv:
    sys.exit("out of memory")
print(json.dumps({"accuracy": 0.25, "seed": sys.argv[sys.argv.index("--seed") + 1]}))
"""


def test_they_are_evaluated_once_by_the_runs_command_and_written_down(make_run, tmp_path):
    space = SearchSpace.load("digits")
    journal = make_run(("complete", {"accuracy": 0.9, "reward": 0.9}))
    (tmp_path / "stub.py").write_text(STUB)
    command, told = f"{sys.executable} stub.py", []
    found = evaluated(journal, space, 700_000, command, tmp_path, told.append)
    assert [known.name for known in told] == list(REFERENCES)
    assert [known.accuracy for known in found] == [0.25] * 3
    path = journal.path.with_name("known.json")
    assert read(path) == found
    assert len(json.loads(path.read_text())) == 3
    again = evaluated(journal, space, 700_000, f"{sys.executable} stub.py --fail", tmp_path, told.append)
    assert again == found
    path.unlink()
    failed = evaluated(journal, space, 700_000, f"{sys.executable} stub.py --fail", tmp_path, told.append)
    assert [known.failed for known in failed] == ["out of memory"] * 3
    path.unlink()
    (tmp_path / "hang.py").write_text("import time; time.sleep(60)")
    hung = evaluated(journal, space, 700_000, f"{sys.executable} hang.py", tmp_path, told.append, 0.3)
    assert [known.failed for known in hung] == ["it took longer than maxTrialDuration (0.3 s)"] * 3
    lines = known_lines(
        [
            *failed,
            Known("y", off="stage1.se 0.25 is not in the space"),
            Known("z", {}, 1, by_accuracy=12, peers=11, early=2),
        ]
    )
    assert "efficientnet-b0: its trial failed: out of memory" in lines
    assert "y: the space has no network of its shape (stage1.se 0.25 is not in the space)" in lines
    assert any(line.startswith("warning: the proxy puts z into the lower half") for line in lines)
    assert any("the search did well (of its 11 peers 2 are of the first 10 trials" in line for line in lines)


def test_without_a_proxy_of_ours_it_is_refused(search_yml):
    config = SearchConfig.read(search_yml(trialCommand="python mine.py"))
    with pytest.raises(
        NasError, match=r"--known-answers evaluates published networks of a search space by nas\.search"
    ):
        check_answerable(config)


def test_a_real_trial_by_hand_is_the_proxy(tmp_path, make_run):
    """The command of a run, with space, sample and seed, on real images."""
    space: Any = SearchSpace.load("digits")
    journal = make_run(("complete", {"accuracy": 0.9, "reward": 0.9}))
    (journal.path.parent / "space.json").write_text(space.document.model_dump_json(exclude_defaults=True))
    command = f"{sys.executable} -m nas.search.trial --data digits --epochs 1"
    found = evaluated(journal, space, 300_000, command, tmp_path, lambda _: None)
    assert all(known.failed is None for known in found), found
    assert np.mean([known.accuracy for known in found]) > 0.1
