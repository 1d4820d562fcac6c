"""search.yml: NNI's configuration file, checked before NNI sees it.

NNI answers most mistakes with a traceback, or with an experiment that fails ten seconds later;
`SearchConfig.read` says what is wrong, where, and what is allowed, first.
"""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.errors import NasError, short
from nas.files import at_home, is_dir
from nas.search.finding import TABLE, baseline_file, find_subject, with_latency
from nas.search.gpus import check_active, for_hosts
from nas.search.hosts import check_machines, command_for, is_local, with_key_files
from nas.search.measuring import measuring
from nas.search.nni_schema import (
    ASSESSORS,
    BUILTIN_TUNERS,
    TUNER,
    canonical,
    check_algorithms,
    check_keys,
    check_nni,
    check_plain_space,
    check_services,
)
from nas.search.options import options_of
from nas.search.runs import find_run
from nas.search.scaling_grid import SCALE, default_strategy, is_scaling
from nas.search.scaling_subject import ScalingSubject
from nas.search.settings import TunerSettings, fitted
from nas.search.subject import Subject
from nas.search.task import task_of
from nas.strict_yaml import load_yaml, read_text

__all__ = ["ASSESSORS", "BUILTIN_TUNERS", "TUNER", "SearchConfig"]


@dataclass(frozen=True)
class SearchConfig:
    """A checked search.yml.

    Attributes:
        path: the file, absolute.
        data: NNI's configuration as plain data, paths absolute.
        subject: what is searched, None where NNI's own tuner draws from an exported space.
        tuner: our tuner's settings, None where it is one of NNI's own, or the user's.
        trial: the options of our trial in trialCommand, None for another command.
    """

    path: Path
    data: dict[str, Any]
    subject: Subject | None
    tuner: TunerSettings | None
    trial: Any

    @property
    def code(self) -> Path:
        """The folder that trials run in, and under which `runs/` lies."""
        tuner = self.data.get("tuner") or {}
        return Path(self.data.get("trialCodeDirectory") or tuner.get("codeDirectory") or self.path.parent)

    @property
    def proposer(self) -> str:
        """Who proposes, where our tuner does not."""
        tuner = self.data["tuner"]
        return f"NNI's {tuner['name']}" if tuner.get("name") else tuner["className"]

    @property
    def trials(self) -> int:
        return int(self.data["maxTrialNumber"])

    @classmethod
    def read(
        cls,
        path: Path,
        data: bool = True,
        searched: str | None = None,
        allow_import: bool = False,
        resumed: str | None = None,
    ) -> "SearchConfig":
        """Reads and checks a search.yml; with `data`, also that the trials' data is there.

        A file that names no search space gets `searched` for one. With `allow_import`, tuner and assessor may be
        classes of the user's, which NNI imports. Of the run that is `resumed`, the run's own copies are read.

        Raises:
            NasError: for the first mistake, with its line where there is one.
        """
        text = read_text(path)
        content, lines = load_yaml(text, str(path))

        def at(*keys: str) -> str:
            return f"{path}, line {lines[keys]}" if keys in lines else str(path)

        check_keys(content, at)
        content = canonical(content, at)
        if searched is not None and not content.get("searchSpace") and not content.get("searchSpaceFile"):
            content["searchSpace"] = searched
        required = ["trialCommand", "tuner", "trainingService"]
        if content.get("searchSpaceFile") or not is_scaling(content.get("searchSpace", SCALE)):
            required.append("maxTrialNumber")  # a grid is tried as a whole
        for key in required:
            if content.get(key) in (None, "", [], {}):
                raise NasError(f"{path}: {key} is missing; see search.yml's example in README")
        for key in ("maxTrialNumber", "trialConcurrency"):
            value = content.get(key, 1)
            if type(value) is not int or value < 1:
                raise NasError(f"{at(key)}: {key} is {value!r}; give a whole number of 1 or more")
        check_algorithms(content, at, allow_import)
        content = _absolute(content, path.resolve().parent, at)
        check_services(content, at)
        content = with_key_files(content, path.resolve().parent)
        check_machines(content, at)
        tuner = _tuner(content, at)
        if tuner is None and content["tuner"].get("name") and not is_local(content):
            raise NasError(
                f"{at('tuner')}: tuner is NNI's {content['tuner']['name']}, under which trials keep the journal, as "
                f"they can on this machine alone; give className: {TUNER}, or platform: local"
            )
        options = _options(content, at("trialCommand"))
        subject = _subject(content, tuner, options, at, resumed)
        if tuner is not None and subject is not None:
            fitted(
                tuner.strategy,
                content.get("maxTrialNumber") or 100,
                content.get("trialConcurrency", 1),
                len(subject.choices),
                f"{at('tuner', 'classArgs')}: classArgs",
            )
        if subject is None and "maxTrialNumber" not in content:
            raise NasError(f"{path}: maxTrialNumber is missing; see search.yml's example in README")
        check_active(content, at("trainingService"))
        check_nni({"nniManagerIp": "127.0.0.1"} | content, path)  # else it asks the network for one
        config = cls(path.resolve(), content, subject, tuner, options)
        subject = _check_trial(config, at("trialCommand"), data)
        if isinstance(subject, ScalingSubject):
            every = {"maxTrialNumber": subject.networks(tuner.limits if tuner else None)}
            config = replace(config, data=every | content, subject=subject)
        return config

    def prepared(self, trials: int | None = None, address: str | None = None) -> dict[str, Any]:
        """The configuration for NNI: the right interpreter as trialCommand's first word, trials replaced, and for
        trials on other machines the address at which they reach this one, and GPUs as NNI hands them out there."""
        data = for_hosts(self.data) | {"trialCommand": command_for(self.data)}
        if address is not None:
            data["nniManagerIp"] = address
        if trials is not None:
            data["maxTrialNumber"] = trials
        return data


def _absolute(data: dict[str, Any], folder: Path, at: Any) -> dict[str, Any]:
    """Paths against the file's folder, as NNI reads them."""

    def resolved(path: Any, *keys: str) -> str:
        try:
            return str((folder / path).resolve())
        except (TypeError, ValueError, RuntimeError):  # no text, a NUL, links in a circle
            raise NasError(f"{at(*keys)}: {'.'.join(keys)} is {short(path)}; give a path") from None

    data = {"trialCodeDirectory": ".", **data}
    for key in ("searchSpaceFile", "trialCodeDirectory"):
        if data.get(key) is not None:
            data[key] = resolved(data[key], key)
    searched = data.get("searchSpace")
    if isinstance(searched, str) and searched.startswith(TABLE):
        data["searchSpace"] = TABLE + resolved(searched.removeprefix(TABLE).strip(), "searchSpace")
    elif is_scaling(searched):
        try:
            data["searchSpace"] = SCALE + str(baseline_file(searched, folder))
        except NasError as error:
            raise NasError(f"{at('searchSpace')}: searchSpace is {searched}, but {error}") from None
    tuner = data["tuner"]
    if isinstance(tuner, dict) and "codeDirectory" in tuner:
        code = resolved(tuner["codeDirectory"], "tuner", "codeDirectory")
        tuner = data["tuner"] = {**tuner, "codeDirectory": code}
    args = tuner.get("classArgs") if isinstance(tuner, dict) else None
    reward = args.get("reward") if isinstance(args, dict) else None
    if isinstance(args, dict) and isinstance(reward, dict) and isinstance(reward.get("latency"), str):
        file = resolved(at_home(reward["latency"]), "tuner", "classArgs", "reward", "latency")
        data["tuner"] = {**tuner, "classArgs": {**args, "reward": {**reward, "latency": file}}}
    if not is_dir(Path(data["trialCodeDirectory"])):
        raise NasError(
            f"{at('trialCodeDirectory')}: there is no folder {data['trialCodeDirectory']}; check the path"
        )
    return data


def _tuner(data: dict[str, Any], at: Any) -> TunerSettings | None:
    tuner = data["tuner"]
    if tuner.get("className") != TUNER:
        return None
    default = default_strategy(data.get("searchSpace"))
    return TunerSettings.read(tuner.get("classArgs"), f"{at('tuner', 'classArgs')}: classArgs", default)


def _options(data: dict[str, Any], where: str) -> Any:
    """The options of our trial, None of another command, and of what NNI will refuse."""
    command = data["trialCommand"]
    if isinstance(command, str) and not command.strip():
        raise NasError(f"{where}: trialCommand is {short(command)}; give the command of a trial")
    try:
        return options_of(command, strict=True) if isinstance(command, str) else None
    except NasError as error:
        raise NasError(f"{where}: {error}") from None


def _subject(
    data: dict[str, Any], tuner: TunerSettings | None, options: Any, at: Any, resumed: str | None
) -> Subject | None:
    written, inline = data.get("searchSpaceFile"), data.get("searchSpace")
    if written and inline:
        raise NasError(f"{at('searchSpace')}: both searchSpace and searchSpaceFile are given; keep one")
    if tuner is None and is_scaling(inline):
        raise NasError(
            f"{at('tuner')}: {SCALE} is a search space of our tuner alone; give className: {TUNER}"
        )
    if tuner is None:
        check_plain_space(data, at)
        return None
    if not written and not inline:
        raise NasError(
            f"{at()}: searchSpaceFile is missing; give a document such as search_spaces/digits.yml, or for the "
            "coefficients of a baseline nas scale BASELINE --search"
        )
    table = None if options is None else options.table
    if isinstance(inline, str) and inline.startswith(TABLE) and options is not None and table is None:
        raise NasError(
            f"{at('trialCommand')}: searchSpace is a table, which trials look up: give --table, not --data"
        )
    folder = Path(data["trialCodeDirectory"])
    found = find_subject(written or inline, table, folder, at("searchSpace"), tuner.scaling)
    run = None if resumed is None else find_run(resumed, folder)
    try:
        return with_latency(found, tuner.reward, folder, run)
    except NasError as error:
        raise NasError(f"{at('tuner', 'classArgs', 'reward', 'latency')}: {error}") from None


def _check_trial(config: SearchConfig, where: str, check_data: bool) -> Subject | None:
    """Checks what is measured as far as it can be without a trial; the subject, fitted to the data where it can be."""
    data, tuner, subject, options = config.data, config.tuner, config.subject, config.trial
    if options is None:
        return subject
    try:
        way = measuring(options)
        way.check()
        if tuner is None and options.space is None and options.table is None:
            raise NasError("trial: --space is missing; NNI's own tuners do not say what they draw from")
        if tuner is not None and subject is not None:
            target = tuner.reward.target or subject.default_target(tuner.reward.cost)
            reward = tuner.reward.model_dump() | {"target": target}
            task_of(
                options, {"run": {"reward": reward, "limits": tuner.limits.model_dump(), "seed": tuner.seed}}
            )
        if check_data and is_local(data):
            with contextlib.chdir(data["trialCodeDirectory"]):  # for paths written in the command
                subject = way.fitted(subject)
    except NasError as error:
        raise NasError(f"{where}: {error}") from None
    if tuner is not None and subject is not None:
        subject.check(tuner.limits, f"{config.path}: classArgs")
    return subject
