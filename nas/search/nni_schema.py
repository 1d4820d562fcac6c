"""What NNI's own configuration may say, its complaints in one sentence.

>>> check_services({"trainingService": {"platform": "locl"}}, lambda key: "search.yml, line 9")  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
nas.errors.NasError: search.yml, line 9: trainingService.platform is 'locl' (did you mean 'local'?); give ...
"""

import json
import re
import warnings
from pathlib import Path
from typing import Any

from nas.errors import NasError, listed, near, short
from nas.files import text_of
from nas.search.hosts import secrets_in
from nas.strict_json import load_json
from nas.strict_yaml import load_yaml

TUNER = "nas.search.tuner.StrategyTuner"
BUILTIN_TUNERS = ("Random", "TPE", "GridSearch", "Evolution", "PBT")
"""NNI's own tuners that still run (Hyperband, GP, Metis, SMAC, PPO, Anneal and BOHB do not)."""
ASSESSORS = ("Medianstop", "Curvefitting")
MAX_SPACE = 1 << 20
"""Bytes of a search space of NNI's own tuners, some hundred times what `nas export --to nni` writes."""
ALLOW = "--allow-import"
_KEYS = ("name", "className", "codeDirectory", "classArgs")
PLATFORMS = ("local", "remote", "openpai", "aml", "dlc", "frameworkcontroller", "kubeflow", "adl")


def check_keys(data: dict[str, Any], at: Any) -> None:
    """NNI refuses unknown keys with a traceback; ours has near matches."""
    from dataclasses import fields

    from nni.experiment.config import ExperimentConfig

    known = [re.sub(r"_(\w)", lambda m: m.group(1).upper(), field.name) for field in fields(ExperimentConfig)]
    known = [name for name in known if not name.startswith("_")]
    for key in data:
        if key not in known:
            raise NasError(f"{at(key)}: unknown key {key!r}{near(key, known)}; allowed: {listed(known)}")


def canonical(data: dict[str, Any], at: Any) -> dict[str, Any]:
    """The configuration with the keys of trainingService and sharedStorage as NNI's reference writes them: it takes
    ssh_key_file and SSHKeyFile for sshKeyFile, and who looks for that is not to miss them.

    Raises:
        NasError: where a key is there in two spellings.
    """
    from dataclasses import fields, is_dataclass

    import nni.experiment.config as config

    classes = [one for one in vars(config).values() if isinstance(one, type) and is_dataclass(one)]
    words = [field.name.split("_") for one in classes for field in fields(one)]
    known = {"".join(one): one[0] + "".join(map(str.title, one[1:])) for one in words}

    def written(value: Any, where: str) -> Any:
        if isinstance(value, list):
            return [written(one, where) for one in value]
        if not isinstance(value, dict):
            return value
        found: dict[Any, Any] = {}
        for key, one in value.items():
            name = known.get(key.lower().replace("_", ""), key) if isinstance(key, str) else key
            if name in found:
                raise NasError(f"{where}: {name} is written twice, once as {key}; keep one")
            found[name] = one if name == "openpaiConfig" else written(one, where)  # which is not NNI's
        return found

    return {
        key: written(value, at(key)) if key in ("trainingService", "sharedStorage") else value
        for key, value in data.items()
    }


def check_services(data: dict[str, Any], at: Any) -> None:
    """Raises NasError for a training service or assessor that NNI has not."""
    services, give = data["trainingService"], f"give {{platform: NAME}}, NAME one of {listed(PLATFORMS)}"
    for service in services if isinstance(services, list) else [services]:
        if not isinstance(service, dict):
            raise NasError(f"{at('trainingService')}: trainingService is {short(service)}; {give}")
        name = service.get("platform")
        if name not in PLATFORMS:
            raise NasError(
                f"{at('trainingService')}: trainingService.platform is {short(name)}{near(name, PLATFORMS)}; {give}"
            )


def check_algorithms(data: dict[str, Any], at: Any, allow_import: bool = False) -> None:
    """Raises NasError for a tuner or an assessor that NNI has not, or for a class other than our tuner, which NNI
    would import, unless that is allowed."""
    if data.get("advisor") is not None:
        raise NasError(
            f"{at('advisor')}: advisor is NNI's old word for a tuner; leave it out, and give tuner alone"
        )
    if data.get("experimentType", "hpo") != "hpo":
        raise NasError(
            f"{at('experimentType')}: experimentType is {short(data['experimentType'])}, for which NNI unpickles "
            "objects that the file names; leave it out"
        )
    for kind, builtin in (("tuner", BUILTIN_TUNERS), ("assessor", ASSESSORS)):
        if data.get(kind) is not None:
            _check_algorithm(kind, data[kind], builtin, at, allow_import)


def _check_algorithm(kind: str, found: Any, builtin: tuple[str, ...], at: Any, allow_import: bool) -> None:
    ours = f"className: {TUNER}" if kind == "tuner" else f"name: {builtin[0]}"
    if not isinstance(found, dict):
        raise NasError(f"{at(kind)}: {kind} is {short(found)}; give a mapping with {ours}")
    for key in found:
        if key not in _KEYS:
            raise NasError(
                f"{at(kind, key)}: unknown key {key!r} in {kind}{near(key, _KEYS)}; allowed: {listed(_KEYS)}"
            )
    name, written = found.get("name"), found.get("className")
    if name and written:
        raise NasError(f"{at(kind)}: both {kind}.name and {kind}.className are given; keep one")
    if name or not written:
        if name not in builtin:
            allowed = (
                f"allowed: {listed(builtin)}"
                if kind == "assessor"
                else (f"of NNI's own tuners {listed(builtin)} run; or give {ours}")
            )
            raise NasError(f"{at(kind)}: {kind}.name is {short(name)}{near(name, builtin)}; {allowed}")
        return
    if not isinstance(written, str) or not re.fullmatch(r"\w+(\.\w+)+", written):
        raise NasError(
            f"{at(kind)}: {kind}.className is {short(written)}; give MODULE.CLASS, such as {TUNER}"
        )
    if not (kind == "tuner" and written == TUNER) and not allow_import:
        raise NasError(
            f"{at(kind)}: {kind}.className is {short(written)}; give {ours.removeprefix('className: ')}, or let NNI "
            f"import and run this class with nas search {ALLOW}"
        )
    if "codeDirectory" not in found:
        raise NasError(f"{at(kind)}: codeDirectory is missing in {kind}; NNI wants it, and . will do")


def check_plain_space(data: dict[str, Any], at: Any) -> None:
    """Raises NasError for a search space of NNI's own tuners that is no plain data: NNI makes objects of mappings with
    keys such as `__nni_obj__` and `__symbol__`, by unpickling and by calling what they name."""
    where, found, file = at("searchSpace"), data.get("searchSpace"), data.get("searchSpaceFile")
    if file:
        where, text = str(file), text_of(Path(file), MAX_SPACE, "which no search space is")
        try:  # as NNI reads it
            json.loads(text)
        except (ValueError, RecursionError):
            found = load_yaml(text, where)[0]
        else:
            found = load_json(text, where)
    left = [found]
    while left:
        value = left.pop()
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for name in value if isinstance(value, dict) else ():
            if str(name).startswith("__"):
                raise NasError(
                    f"{where}: key {short(name)} in the search space, of which NNI may make an object by running "
                    "code; give plain data, whose keys do not begin with __"
                )


def check_nni(data: dict[str, Any], path: Path) -> None:
    """NNI's own schema, its complaint in one sentence."""
    from nni.experiment.config import ExperimentConfig

    try:
        with warnings.catch_warnings(action="ignore"):  # such as one on passwords, which docs/scale.md has
            config = ExperimentConfig(**data)
            config.validate()
    except Exception as error:  # NNI raises whatever it stumbles over
        text = str(error).strip() or type(error).__name__
        for secret in sorted(set().union(*secrets_in(data).values()), key=len, reverse=True):
            text = text.replace(secret, "***").replace(repr(secret)[1:-1], "***")
        last = text.splitlines()[-1]
        raise NasError(f"{path}: NNI refuses it: {last}; see NNI's experiment config reference") from None
