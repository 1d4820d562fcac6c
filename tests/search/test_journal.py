"""The journal: whole lines and unique numbers whoever writes, and nothing lost by a crash."""

import contextlib
import errno
import json
import math
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas import NasError
from nas.search import journal as journal_module
from nas.search.journal import DAMAGED, STATES, Journal
from nas.search.lines import dump
from nas.search.record import Record

WRITERS, TRIALS = 4, 25

WRITER = """
import sys
from pathlib import Path
from nas.search.journal import Journal
journal, me = Journal(Path(sys.argv[1])), int(sys.argv[2])
won = journal.told(0, "complete", accuracy=me / 10, reward=me / 10)
numbers = []
for index in range(int(sys.argv[3])):
    numbers.append(journal.asked({"writer": me, "index": index, "filler": "x" * 5000}, key=f"{me}/{index}"))
    journal.told(numbers[-1], "complete", accuracy=0.5, reward=0.5)
print(int(won), *numbers)
"""


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "run" / "journal.jsonl")


def reread(journal: Journal) -> Journal:
    """What a process that starts now would read."""
    other = Journal(journal.path)
    other.refresh()
    return other


def lines(journal: Journal) -> list[dict]:
    return [json.loads(line) for line in journal.path.read_text().splitlines()]


@contextlib.contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Inside, `folder` cannot be written, not even by root."""
    folder.chmod(0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)


# Writing


def test_writers_at_once_keep_lines_whole_and_numbers_unique(journal: Journal):
    journal.asked({}, key="first")
    command = [sys.executable, "-c", WRITER, str(journal.path)]
    writers = [
        subprocess.Popen([*command, str(me), str(TRIALS)], stdout=subprocess.PIPE, text=True)
        for me in range(WRITERS)
    ]
    printed = [[int(word) for word in writer.communicate()[0].split()] for writer in writers]

    assert all(writer.returncode == 0 for writer in writers)
    assert sum(won for won, *_ in printed) == 1  # of all that told the first trial, one did
    assert sorted(number for _, *numbers in printed for number in numbers) == [
        *range(1, WRITERS * TRIALS + 1)
    ]
    after = reread(journal)
    assert after.unreadable == 0
    assert [trial.state for trial in after.ended()] == ["complete"] * (WRITERS * TRIALS + 1)
    for me, (_, *numbers) in enumerate(printed):
        assert [after.trials[number].sample["writer"] for number in numbers] == [me] * TRIALS
    assert len(lines(journal)) == 2 * (WRITERS * TRIALS + 1)


def test_a_journal_sees_what_another_appends(journal: Journal):
    other = Journal(journal.path)
    assert journal.asked({"a": 1}, key="one") == 0
    assert other.asked({"a": 2}, key="two") == 1
    other.told(0, "complete", accuracy=0.5, reward=0.5)
    assert [event["event"] for event in journal.refresh()] == ["asked", "told"]
    assert journal.refresh() == []
    assert journal.trials[0].scored
    assert journal.trials[1].state == "running"


def test_told_once(journal: Journal):
    number = journal.asked({"a": 1}, key="one")
    assert journal.told(number, "complete", accuracy=0.5, reward=0.4)
    before = journal.path.read_bytes()
    for state in STATES:
        assert not journal.told(number, state, accuracy=0.9, reward=0.9)
    assert journal.path.read_bytes() == before
    assert (journal.trials[number].accuracy, journal.trials[number].reward) == (0.5, 0.4)


def test_a_complete_result_replaces_a_stopped_one(journal: Journal):
    number = journal.asked({"a": 1}, key="one")
    journal.told(number, "stopped", accuracy=0.3, reward=0.3)
    assert not journal.told(number, "failed", reason="too late")
    assert not journal.told(number, "stopped", accuracy=0.4, reward=0.4)
    assert journal.told(number, "complete", accuracy=0.5, reward=0.5)
    assert not journal.told(number, "stopped", accuracy=0.6, reward=0.6)
    trial = reread(journal).trials[number]
    assert (trial.state, trial.accuracy) == ("complete", 0.5)


@pytest.mark.parametrize("state", ["failed", "rejected", "duplicate"])
def test_no_result_replaces_another(journal: Journal, state: str):
    number = journal.asked({"a": 1}, key="one")
    journal.told(number, state, reason="why")
    assert not journal.told(number, "complete", accuracy=0.5, reward=0.5)
    assert journal.trials[number].state == state


def test_a_result_needs_its_proposal(journal: Journal):
    with pytest.raises(NasError, match=r"no proposal has number 3"):
        journal.told(3, "complete", accuracy=0.5, reward=0.5)
    assert not journal.exists


def test_the_run_is_described_once(journal: Journal):
    assert journal.start(space="tiny")
    assert not Journal(journal.path).start(space="other")
    assert reread(journal).run["space"] == "tiny"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_is_never_written(journal: Journal, value: float):
    number = journal.asked({"a": 1}, key="one")
    journal.told(number, "complete", accuracy=value, reward=value, seconds=value)
    with pytest.raises(ValueError, match="JSON"):
        journal.asked({"a": value}, key="two")
    told = lines(journal)[1]
    assert told["accuracy"] is None
    assert told["reward"] is None
    assert not {"NaN", "Infinity"} & set(journal.path.read_text().replace(",", " ").split())
    assert journal.best() is None


# Crashes


@pytest.mark.parametrize("kept", [1, 20, -2], ids=["first byte", "half", "all but the last brace"])
def test_a_line_cut_short_is_passed_over_and_mended(journal: Journal, kept: int):
    journal.asked({"a": 1}, key="one")
    with journal.path.open("ab") as file:
        file.write(dump({"event": "asked", "number": 1, "sample": {"a": 2}, "key": "two"})[:kept])

    after = reread(journal)
    assert list(after.trials) == [0]
    assert after.unreadable == 0  # it may still grow
    assert after.asked({"a": 3}, key="three") == 1
    assert after.told(0, "complete", accuracy=0.5, reward=0.5)
    assert after.unreadable == 1

    last = reread(journal)
    assert last.unreadable == 0  # it was moved out of the way
    assert journal.path.with_name(DAMAGED).stat().st_size > 0
    assert {n: t.key for n, t in last.trials.items()} == {0: "one", 1: "three"}
    assert last.trials[0].scored


def test_a_line_that_lacks_its_end_alone_counts(journal: Journal):
    journal.asked({"a": 1}, key="one")
    with journal.path.open("ab") as file:
        file.write(dump({"event": "asked", "number": 1, "sample": {"a": 2}, "key": "two"})[:-1])
    assert reread(journal).asked({"a": 3}, key="three") == 2
    assert [trial.key for trial in reread(journal).trials.values()] == ["one", "two", "three"]


def test_a_line_is_read_once_it_is_whole(journal: Journal):
    journal.asked({"a": 1}, key="one")
    line = dump({"event": "told", "number": 0, "state": "complete", "accuracy": 0.5, "reward": 0.5})
    with journal.path.open("ab") as file:
        file.write(line[:30])
        file.flush()
        assert journal.refresh() == []
        file.write(line[30:])
    assert [event["accuracy"] for event in journal.refresh()] == [0.5]
    assert journal.trials[0].scored


BROKEN: list[Any] = [
    [1, 2],
    5,
    {},
    {"event": "asked", "number": "x", "sample": {}, "key": "k"},
    {"event": "asked", "number": 9, "key": "k"},
    {"event": "asked", "number": 9, "sample": "abc", "key": "k"},
    {"event": "told", "number": 9, "state": "over"},
    {"event": "told", "number": 0, "state": "finished"},
    {"event": "told", "number": 0, "state": "complete", "reward": "a"},
    {"event": "told", "number": 0, "state": "complete", "reward": True},
    {"event": "told", "number": 0, "state": "complete", "macs": 0.5},
    {"event": "began", "number": 0},
]


@pytest.mark.parametrize(
    "line", [b"garbage", b"\xff\xfe", b"[" * 100_000, *(json.dumps(one).encode() for one in BROKEN)]
)
@pytest.mark.parametrize("checked", [True, False])
def test_what_is_damaged_is_counted_and_moved_out_of_the_way(journal: Journal, line: bytes, checked: bool):
    journal.asked({"a": 1}, key="one")
    body = line[:-1]
    line = body + b', "crc": "%08x"}' % zlib.crc32(body) if checked else line
    with journal.path.open("ab") as file:
        file.write(line + b"\n\n")
    before = reread(journal)
    assert before.unreadable == 1
    assert before.told(0, "complete", accuracy=0.5, reward=0.5)
    after = reread(journal)
    assert after.unreadable == 0
    assert list(after.trials) == [0]
    assert after.trials[0].scored
    assert journal.path.with_name(DAMAGED).read_bytes() == line + b"\n"


def test_a_pipe_is_no_journal(tmp_path: Path):
    os.mkfifo(tmp_path / "journal.jsonl")
    with pytest.raises(NasError, match=r"journal\.jsonl: cannot be read \(a pipe"):
        Journal(tmp_path / "journal.jsonl").refresh()


def test_every_flipped_bit_is_noticed(journal: Journal):
    journal.asked({"a": 1}, key="one")
    journal.told(0, "complete", accuracy=0.5, reward=0.5)
    whole = journal.path.read_bytes()
    begin = whole.index(b"\n") + 1
    for bit in range(8 * begin, 8 * (len(whole) - 1)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        journal.path.write_bytes(flipped)
        assert reread(journal).trials[0].state == "running", (bit, bytes(flipped))


def test_a_journal_without_checksums_is_read(journal: Journal):
    """As versions before 0.2 wrote them; what is added has its checksum."""
    journal.path.parent.mkdir(parents=True, exist_ok=True)
    journal.path.write_text('{"event": "asked", "number": 0, "sample": {"a": 1}, "key": "one"}\n')
    old = reread(journal)
    assert old.told(0, "complete", accuracy=0.5, reward=0.5)
    assert reread(journal).trials[0].scored
    assert old.unreadable == 0


def test_a_result_whose_proposal_is_lost_is_kept_until_that_is_written_again(journal: Journal):
    for number in range(3):
        journal.asked({"a": number}, key=f"k{number}")
        journal.told(number, "complete", accuracy=0.5, reward=0.5 + number / 10)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"asked", b"asced")
    journal.path.write_bytes(b"".join(lines))
    found = reread(journal)
    assert (list(found.trials), found.next_number, found.unreadable) == ([0, 2], 3, 1)
    assert [event["number"] for event in found.results()] == [0, 2]
    assert found.asked({"a": 1}, key="k1", number=1) == 1
    found = reread(journal)
    assert found.trials[1].reward == 0.6
    assert [event["number"] for event in found.results()] == [0, 1, 2]
    assert found.asked({"a": 9}, key="k9", number=1) == 1  # there already: nothing is written
    assert found.trials[1].sample == {"a": 1}


def test_a_result_that_is_told_again_takes_the_place_of_the_lost_one(journal: Journal):
    for number in range(3):
        journal.asked({"a": number}, key=f"k{number}")
        journal.told(number, "complete", accuracy=0.5, reward=0.5)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    lines[3] = lines[3][:20] + b"\n"
    journal.path.write_bytes(b"".join(lines))
    found = reread(journal)
    assert found.trials[1].state == "running"
    assert found.told(1, "complete", accuracy=0.5, reward=0.5)
    assert [(event["number"], event["nth"]) for event in reread(journal).results()] == [
        (0, 0),
        (1, 1),
        (2, 2),
    ]


def test_one_that_was_cut_is_read_anew(journal: Journal):
    journal.asked({"a": 0}, key="k0")
    journal.asked({"a": 1}, key="k1")
    journal.path.write_bytes(journal.path.read_bytes().splitlines(keepends=True)[0])
    journal.refresh()
    assert list(journal.trials) == [0]
    assert journal.asked({"a": 2}, key="k2") == 1


@pytest.mark.parametrize("block", [1, 70, 1000])
def test_it_is_read_in_parts_as_at_once(journal: Journal, monkeypatch: pytest.MonkeyPatch, block: int):
    for number in range(5):
        journal.asked({"a": number}, key=f"k{number}")
    with journal.path.open("ab") as file:
        file.write(
            b'{"event": "ask\n' + dump({"event": "told", "number": 3, "state": "failed"}) + b'{"event": "to'
        )
    whole = reread(journal)
    monkeypatch.setattr(journal_module, "BLOCK", block)
    parts = reread(journal)
    assert parts.events == whole.events
    assert len(parts.events) == 6
    assert (parts._offset, parts._damaged) == (whole._offset, whole._damaged)
    assert parts.unreadable == 1


@pytest.mark.parametrize("seed", range(20))
def test_what_is_counted_as_events_come_is_what_they_say_together(seed: int):
    """In any order: results of lost proposals and lost results, processes that begin another's, repeats."""
    rng = np.random.default_rng(seed)
    events: list[dict[str, Any]] = [
        {"event": "asked", "number": n, "sample": {"a": "conv"}, "key": str(n)} for n in range(8)
    ]
    places = rng.permutation(12)
    for n in range(8):
        state = "stopped" if rng.random() < 0.3 else "complete"
        events.append({"event": "told", "number": n, "nth": int(places[n]), "state": state, "reward": 0.5})
        events.append({"event": "began", "number": n, "job": f"j{n}"})
    for n in range(8, 11):
        events.append(
            {"event": "told", "number": n - 8, "nth": int(places[n]), "state": "complete", "reward": 0.6}
        )
        events.append({"event": "began", "number": n - 8, "job": f"again{n}"})
        events.append({"event": "again", "number": n - 8, "job": f"j{n - 8}"})
    record, seen = Record(), []
    for number in rng.permutation(len(events))[: rng.integers(5, len(events))]:
        record.apply(dict(events[number]))
        seen.append(events[number])
        asked = {e["number"] for e in seen if e["event"] == "asked"}
        told = [e for e in seen if e["event"] == "told"]
        known = sorted(e["nth"] for e in told if e["number"] in asked)
        assert [event["nth"] for event in record.results()] == sorted(event["nth"] for event in record.heard)
        if len({e["number"] for e in told}) == len(told):  # of two results of a lost proposal one is kept
            assert [event["nth"] for event in record.results()] == known
        assert set(record.running) == asked - {e["number"] for e in told}
        assert all(record.trials[number] is trial for number, trial in record.running.items())
        assert record.next_number == max([*asked, *(e["number"] for e in told)], default=-1) + 1
        assert record.next_nth == min(set(range(20)) - {e["nth"] for e in told})
        assert record.owners == {job: number for number, job in record.jobs.items()}
        assert record.repeated == sum(map(len, record.repeats.values()))


def test_the_number_of_trials_is_the_one_that_was_changed_last(journal: Journal):
    journal.start(max_trials=10)
    assert journal.max_trials == 10
    journal.change("exhausted")
    journal.change("trials", trials=20)
    found = reread(journal)
    assert (found.max_trials, found.exhausted) == (20, False)


def test_a_trial_is_repeated_once_for_each_job_that_ended(journal: Journal):
    journal.asked({"a": 1}, key="one")
    journal.began(0, "job0", pid=1)
    assert journal.again(0, "job0", "killed")
    assert not journal.again(0, "job0", "killed")
    journal.began(0, "job1", pid=2, since=1_700_000_000.5)
    after = reread(journal)
    assert after.jobs == {0: "job1"}
    assert after.began_at == {0: "2023-11-14T22:13:20.500000+00:00"}
    assert after.repeats == {0: ["job0"]}
    assert after.told(0, "complete", accuracy=0.5, reward=0.5)
    assert not after.again(0, "job1", "killed")


def test_a_full_disk_is_one_sentence(journal: Journal, monkeypatch: pytest.MonkeyPatch):
    journal.asked({"a": 1}, key="one")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NasError, match=r"journal\.jsonl: cannot be written \(No space left on device\)"):
            journal.told(0, "complete", accuracy=0.5, reward=0.5)
    number = journal.asked({"a": 2}, key="two")
    assert reread(journal).trials[number].key == "two"


def test_a_read_only_folder_is_one_sentence(journal: Journal):
    journal.asked({"a": 1}, key="one")
    fresh = Journal(journal.path.parent / "sub" / "journal.jsonl")
    with unprivileged(journal.path.parent):
        with pytest.raises(NasError, match=r"^\S+journal\.jsonl: cannot be written \(Permission denied\)$"):
            fresh.start(space="tiny")
        with pytest.raises(NasError, match=r"cannot be (read|written) \(Permission denied\)"):
            reread(journal).told(0, "failed", reason="why")
    assert journal.told(0, "complete", accuracy=0.5, reward=0.5)


def test_a_folder_in_its_place_is_one_sentence_and_leaves_the_lock(journal: Journal):
    journal.path.mkdir(parents=True)
    for _ in range(2):  # the second would wait for ever for a lock that the first had kept
        with pytest.raises(NasError, match=r"cannot be read \(Is a directory\)"):
            Journal(journal.path).start(space="tiny")


def test_no_journal_yet(journal: Journal):
    assert journal.refresh() == []
    assert not journal.exists
    assert journal.best() is None
    assert journal.ended() == []


# Reading


def results(journal: Journal, *told: tuple[str, float | None]) -> None:
    for state, reward in told:
        number = journal.asked({"a": len(journal.trials)}, key=str(len(journal.trials)))
        if state != "running":
            journal.told(number, state, accuracy=reward, reward=reward)


def test_best_is_the_complete_trial_of_highest_reward(journal: Journal):
    results(
        journal, ("complete", 0.5), ("stopped", 0.9), ("duplicate", 0.8), ("complete", 0.6), ("failed", None)
    )
    best = journal.best()
    assert best is not None
    assert best.number == 3


def test_of_equals_the_earliest_is_best(journal: Journal):
    results(journal, ("complete", 0.4), ("complete", 0.6), ("complete", 0.6), ("complete", 0.5))
    best = journal.best()
    assert best is not None
    assert best.number == 1


def test_ended_is_in_order_of_number(journal: Journal):
    results(journal, ("running", None), ("complete", 0.5), ("running", None), ("failed", None))
    journal.told(2, "rejected", reason="over a limit")
    assert [(t.number, t.state) for t in journal.ended()] == [(1, "complete"), (2, "rejected"), (3, "failed")]


def test_facts_of_both_lines_make_the_trial(journal: Journal):
    number = journal.asked({"a": 1}, key="one", macs=10, params=5, seen=0)
    journal.told(number, "complete", accuracy=0.5, reward=0.4, seconds=1.5, job="xyz", reason=None, other=1)
    trial = reread(journal).trials[number]
    assert (trial.macs, trial.params, trial.accuracy, trial.reward, trial.seconds, trial.job, trial.reason) == (
        10, 5, 0.5, 0.4, 1.5, "xyz", None,
    )  # fmt: skip
