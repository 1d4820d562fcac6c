"""search.yml: the shipped ones are right, and every mistake is one sentence with its place."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nas import NasError
from nas.search.config import SearchConfig
from nas.search.scaling_grid import default_strategy
from nas.search.settings import TunerSettings

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(ROOT.glob("search*.yml"))
SEARCHED = "scale:mobilenet-v2"
"""For search.scale.yml, which leaves it to `nas scale BASELINE`."""
LINES = """\
experimentName: test
searchSpaceFile: tiny.yml
trialCommand: .venv/bin/python -m nas.search.trial --data digits --epochs 3
trialConcurrency: 2
maxTrialNumber: 40
tuner:
  codeDirectory: .
  className: nas.search.tuner.StrategyTuner
  classArgs:
    strategy: {name: evolution}
    reward: {form: soft, w: -0.07}
    seed: 0
trainingService:
  platform: local
"""
TUNER = yaml.safe_load(LINES)["tuner"]

Read = Callable[..., SearchConfig]


@pytest.fixture
def read(tmp_path: Path, document: dict[str, Any]) -> Read:
    """Reads a search.yml of the given text, or of `LINES` with keys changed (None: left out)."""
    (tmp_path / "tiny.yml").write_text(yaml.safe_dump(document))

    def reading(text: str | None = None, data: bool = True, **changes: Any) -> SearchConfig:
        content = {
            key: value for key, value in (yaml.safe_load(LINES) | changes).items() if value is not None
        }
        path = tmp_path / "search.yml"
        path.write_text(
            "".join(_one_line(key, value) for key, value in content.items()) if text is None else text
        )
        return SearchConfig.read(path, data=data)

    return reading


def _one_line(key: str, value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return f"{key}: {text.removesuffix('...' + chr(10)).strip()}\n"


# The shipped ones


@pytest.fixture
def key(tmp_path, monkeypatch):
    """A home with the key that the shipped files for other machines name."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".ssh" / "id_rsa"
    path.parent.mkdir()
    path.write_text("a key")
    path.chmod(0o600)


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_shipped_configurations_are_right(path):
    config = SearchConfig.read(
        path, data="digits" in path.read_text() and "--supernet" not in path.read_text(), searched=SEARCHED
    )  # others' data is large, and a supernet has to be trained first
    assert config.tuner is not None
    assert config.subject is not None
    assert config.trial.data
    assert config.trials >= 40


@pytest.mark.usefixtures("key")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_nni_itself_takes_the_shipped_configurations(path, monkeypatch):
    """As nnictl create reads them: YAML 1.1, paths against the file's folder."""
    from nni.experiment.config import ExperimentConfig, utils

    monkeypatch.setattr(utils, "get_ipv4_address", lambda: "127.0.0.1")  # which takes a network
    config = ExperimentConfig.load(str(path))
    if path.name == "search.scale.yml":
        assert config.search_space is config.search_space_file is None
        config.search_space = SEARCHED
    config.validate()
    settings = TunerSettings.read(config.tuner.class_args, default=default_strategy(config.search_space))
    assert settings == SearchConfig.read(path, data=False, searched=SEARCHED).tuner


def test_search_yml_is_the_main_job():
    config = SearchConfig.read(ROOT / "search.yml")
    assert config.subject is not None
    assert config.subject.name == "digits"
    assert (config.trials, config.data["trialConcurrency"]) == (40, 2)
    assert (config.trial.data, config.code) == ("digits", ROOT)


# Reading


def test_paths_are_against_the_files_folder(read, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    config = read()
    assert config.data["searchSpaceFile"] == str(tmp_path / "tiny.yml")
    assert config.data["tuner"]["codeDirectory"] == str(tmp_path)
    assert config.data["trialCodeDirectory"] == str(tmp_path)
    assert config.code == tmp_path
    assert config.subject is not None
    assert config.subject.name == "tiny"


def test_the_trials_folder_may_be_another(read, tmp_path):
    (tmp_path / "code").mkdir()
    assert read(trialCodeDirectory="code").code == tmp_path / "code"


def test_a_space_may_be_a_catalogue_name_or_written_in_place(read, document):
    assert read(searchSpaceFile=None, searchSpace="digits").subject.name == "digits"
    assert read(searchSpaceFile=None, searchSpace=document).subject.name == "tiny"


def test_data_paths_are_against_the_trials_folder(read, tmp_path, images, monkeypatch):
    monkeypatch.chdir("/")
    (tmp_path / "data.npz").write_bytes(images.read_bytes())
    read(trialCommand="python -m nas.search.trial --data npz:data.npz")
    assert Path.cwd() == Path("/")


def test_data_of_another_machine_is_not_looked_for(read, tmp_path):
    (tmp_path / "key").write_text("PRIVATE KEY")
    (tmp_path / "key").chmod(0o600)
    command = "python3 -m nas.search.trial --data folder:data/imagenet"
    machine = {"host": "gpu1", "user": "me", "sshKeyFile": str(tmp_path / "key")}
    remote = {"platform": "remote", "machineList": [machine]}
    assert read(trialCommand=command, trainingService=remote, nniManagerIp="127.0.0.1").trial.data
    assert read(trialCommand=command, data=False).trial.data


@pytest.mark.parametrize("name", ["Random", "TPE", "GridSearch", "Evolution", "PBT"])
def test_nnis_own_tuners_may_be_named(read, tmp_path, name):
    (tmp_path / "exported.json").write_text('{"stage1.kernel": {"_type": "choice", "_value": [3, 5]}}')
    config = read(tuner={"name": name}, searchSpaceFile="exported.json", trialCommand=command(OWN))
    assert config.tuner is None
    assert config.subject is None


def test_another_command_is_the_users_own(read):
    assert read(trialCommand="./evaluate.sh --fast").trial is None


# For NNI


def test_prepared_puts_this_interpreter_in(read):
    words = "-m nas.search.trial --data digits --epochs 3"
    assert read().prepared()["trialCommand"] == f"{sys.executable} {words}"
    for python in ("python", "python3", "python3.11", "/usr/bin/python3"):
        assert (
            read(trialCommand=f"{python} {words}").prepared()["trialCommand"] == f"{sys.executable} {words}"
        )
    assert read(trialCommand="./python-like.sh x").prepared()["trialCommand"] == "./python-like.sh x"


def test_prepared_keeps_quoted_words_whole(read, tmp_path, images):
    (tmp_path / "my data.npz").write_bytes(images.read_bytes())
    config = read(trialCommand="python -m nas.search.trial --data 'npz:my data.npz'")
    assert (
        config.prepared()["trialCommand"] == f"{sys.executable} -m nas.search.trial --data 'npz:my data.npz'"
    )


def test_prepared_replaces_the_number_of_trials(read):
    config = read()
    assert config.prepared()["maxTrialNumber"] == config.trials == 40
    assert config.prepared(7)["maxTrialNumber"] == 7
    assert config.trials == 40


# Mistakes


OWN = "--data digits --space digits"


def tuner(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (TUNER | changes).items() if value is not None}


def command(options: str) -> str:
    return f"python -m nas.search.trial {options}"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"trialComand": "x"},
            "search.yml, line 8: unknown key 'trialComand' (did you mean 'trialCommand'?); allowed:",
        ),
        ({"trialCommand": None}, "search.yml: trialCommand is missing"),
        ({"tuner": None}, "search.yml: tuner is missing"),
        ({"trainingService": None}, "search.yml: trainingService is missing"),
        ({"maxTrialNumber": None}, "search.yml: maxTrialNumber is missing"),
        ({"maxTrialNumber": 0}, "search.yml, line 5: maxTrialNumber is 0; give a whole number of 1 or more"),
        (
            {"maxTrialNumber": "40"},
            "search.yml, line 5: maxTrialNumber is '40'; give a whole number of 1 or more",
        ),
        (
            {"trialConcurrency": 0},
            "search.yml, line 4: trialConcurrency is 0; give a whole number of 1 or more",
        ),
        ({"trialConcurrency": True}, "search.yml, line 4: trialConcurrency is True; give a whole number"),
        ({"experimentName": 5}, "search.yml: NNI refuses it: ExperimentConfig: type of experiment_name (5)"),
        ({"maxExperimentDuration": "soon"}, 'search.yml: NNI refuses it: Bad unit in "soon"'),
        # the tuner
        (
            {"tuner": "TPE"},
            "search.yml, line 6: tuner is 'TPE'; give a mapping with className: nas.search.tuner.Str",
        ),
        (
            {"tuner": {"name": "TEP"}},
            "search.yml, line 6: tuner.name is 'TEP' (did you mean 'TPE'?); of NNI's own",
        ),
        (
            {"tuner": {"name": "Hyperband"}},
            "search.yml, line 6: tuner.name is 'Hyperband'; of NNI's own tuners Random",
        ),
        (
            {"tuner": tuner(name="TPE")},
            "search.yml, line 6: both tuner.name and tuner.className are given; keep one",
        ),
        (
            {"tuner": tuner(className="my.Tuner")},
            "search.yml, line 6: tuner.className is 'my.Tuner'; give nas.search.",
        ),
        (
            {"tuner": tuner(codeDirectory=None)},
            "search.yml, line 6: codeDirectory is missing in tuner; NNI wants it",
        ),
        ({"tuner": tuner(codeDirectory=5)}, "search.yml, line 6: tuner.codeDirectory is 5; give a path"),
        (
            {"tuner": tuner(codeDirectory="nowhere")},
            "search.yml: NNI refuses it: CustomAlgorithmConfig: code_directory",
        ),
        (
            {"tuner": tuner(classArg={})},
            "search.yml, line 6: unknown key 'classArg' in tuner (did you mean 'classArgs'?)",
        ),
        ({"tuner": tuner(classArgs="abc")}, "search.yml, line 6: classArgs is 'abc'; give a mapping"),
        ({"tuner": tuner(classArgs=[1])}, "search.yml, line 6: classArgs is [1]; give a mapping"),
        (
            {"tuner": tuner(classArgs={"strategy": {"name": "evolutoin"}})},
            "search.yml, line 6: classArgs: strategy.name is 'evolutoin' (did you mean 'evolution'?); allowed: ",
        ),
        (
            {"tuner": tuner(classArgs={"strategy": {"name": "evolution", "population_size": 2}})},
            "search.yml, line 6: classArgs: strategy.population_size is 2; it must be over trialConcurrency (2)",
        ),
        (
            {"tuner": tuner(classArgs={"reward": {"target": 0}})},
            "search.yml, line 6: classArgs: reward.target is 0; give multiply-adds over 0, such as 400M",
        ),
        # the space
        (
            {"searchSpaceFile": None},
            "search.yml, line 1: searchSpaceFile is missing; give a document such as search_",
        ),
        (
            {"searchSpace": {"a": 1}},
            "search.yml, line 8: both searchSpace and searchSpaceFile are given; keep one",
        ),
        (
            {"tuner": {"name": "TPE"}, "searchSpace": {"a": 1}},
            "search.yml, line 8: both searchSpace and searchSpaceFile are given; keep one",
        ),
        (
            {"searchSpaceFile": "nowhere.yml"},
            "nowhere.yml: there is no such file; give the path of a search space's",
        ),
        ({"searchSpaceFile": 5}, "search.yml, line 2: searchSpaceFile is 5; give a path"),
        (
            {"searchSpaceFile": None, "searchSpace": "digit"},
            "there is no search space 'digit' (did you mean 'digits'?); known: ",
        ),
        (
            {"searchSpaceFile": None, "searchSpace": {"name": "x"}},
            "search.yml, line 7: 'resolution' is missing (and 3 more mistakes)",
        ),
        # the trials
        (
            {"trialCommand": command("--data digits --epoch 3")},
            "search.yml, line 3: trial: unrecognized arguments: --epoch 3; see python -m nas.search.trial --help",
        ),
        (
            {"trialCommand": command("--data digits --epochs few")},
            "search.yml, line 3: trial: argument --epochs: invalid int value: 'few'",
        ),
        (
            {"trialCommand": command("--data digits --epochs 0")},
            "search.yml, line 3: trial: epochs is 0; give a number greater than or equal to 1",
        ),
        (
            {"trialCommand": command("--data digits --seed 3")},
            "search.yml, line 3: trial: --seed is 3, but 0 in the run; leave it out of trialCommand",
        ),
        (
            {"trialCommand": command("--data digits --target-macs 1M")},
            "search.yml, line 3: trial: target is 1000000 in the command, but 60000 in the run",
        ),
        (
            {"trialCommand": command("--epochs 3")},
            "search.yml, line 3: trial: one of the arguments --data --table is required; see",
        ),
        (
            {"trialCommand": command("--data digit")},
            "search.yml, line 3: data is 'digit', which is no data set (did you mean",
        ),
        (
            {"trialCommand": command("--data folder:nowhere")},
            "search.yml, line 3: folder:nowhere: there is no such folder",
        ),
        (
            {"trialCommand": command("--data 'digits")},
            "search.yml, line 3: trialCommand is no command (No closing quotation)",
        ),
        ({"trialCommand": 5}, "search.yml: NNI refuses it: ExperimentConfig: type of trial_command (5)"),
        ({"trialCodeDirectory": 5}, "search.yml, line 8: trialCodeDirectory is 5; give a path"),
        # where they run, and who stops them
        (
            {"trainingService": "local"},
            "search.yml, line 7: trainingService is 'local'; give {platform: NAME}",
        ),
        (
            {"trainingService": {"platform": "locl"}},
            "search.yml, line 7: trainingService.platform is 'locl' (did you mean",
        ),
        (
            {"trainingService": {"platform": "local", "useActiveGpus": True}},
            "search.yml: NNI refuses it: LocalConfig does not have field(s) useactivegpus",
        ),
        (
            {"tuner": {"name": "TPE"}, "trialCommand": command("--data digits")},
            "search.yml, line 3: trial: --space is missing; NNI's own tuners do not say what they draw from",
        ),
        (
            {"tuner": tuner(classArgs={"limits": {"macs": "1k"}})},
            "search.yml: classArgs: limits of macs 1,000 leave none of 20,000 random networks of tiny, whose least",
        ),
        (
            {"assessor": {"name": "Medianstopp"}},
            "search.yml, line 8: assessor.name is 'Medianstopp' (did you mean 'Medianstop'?); allowed: Medianstop",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_place(read, tmp_path, changes, sentence):
    ordered = dict(sorted(changes.items(), key=lambda item: item[1] is not None))
    with pytest.raises(NasError) as caught:
        read(**ordered)
    said = str(caught.value).replace(f"{tmp_path}/", "")
    assert said.startswith(sentence)
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            LINES.replace("reward: {form: soft", "reward: {forn: soft"),
            "search.yml, line 9: classArgs: unknown key 'forn'",
        ),
        (
            LINES.replace("codeDirectory: .", "codeDirectory: 5"),
            "search.yml, line 7: tuner.codeDirectory is 5",
        ),
        (LINES + "searchSpace: {}\ntrialComand: x\n", "search.yml, line 16: unknown key 'trialComand'"),
        ("", "search.yml: is empty"),
        ("a: [1", "search.yml, line 1: not YAML"),
        ("- a", "search.yml: found ['a']; a document is a mapping of keys to values"),
        (LINES + "trialConcurrency: 3\n", "search.yml, line 15: key 'trialConcurrency' is written twice"),
        (LINES.replace("seed: 0", "seed: *zero"), "search.yml, line 12: "),
        (LINES.replace("classArgs:", "classArgs: !!python/object:os.system"), "search.yml, line 9: the tag"),
    ],
)
def test_a_mistake_is_told_with_its_line(read, tmp_path, text, sentence):
    with pytest.raises(NasError) as caught:
        read(text)
    said = str(caught.value).replace(f"{tmp_path}/", "")
    assert said.startswith(sentence)
    assert "\n" not in said


def test_a_bad_space_document_is_told_with_its_own_line(read, tmp_path):
    read()
    document = (tmp_path / "tiny.yml").read_text().replace("resolution: 8", "resolution: eight")
    (tmp_path / "tiny.yml").write_text(document)
    with pytest.raises(NasError, match=r"tiny\.yml, line \d+: resolution is 'eight'; give a whole number"):
        SearchConfig.read(tmp_path / "search.yml")


@pytest.mark.parametrize("path", ["nowhere.yml", "."])
def test_a_missing_file_is_one_sentence(in_folder, path):
    with pytest.raises(NasError, match=r": cannot be read \((No such file|Is a directory)"):
        SearchConfig.read(Path(path))
