"""What NNI's own configuration may say, its complaints in one sentence.

>>> check_services({"trainingService": {"platform": "locl"}}, lambda key: "search.yml, line 9")  # doctest: +ELLIPSIS
Traceback (most recent call last):
...
nas.errors.NasError: search.yml, line 9: trainingService.platform is 'locl' (did you mean 'local'?); give ...
"""

import re
from pathlib import Path
from typing import Any

from nas.errors import NasError, listed, near, short

ASSESSORS = ("Medianstop", "Curvefitting")
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
    assessor = data.get("assessor")
    name = assessor.get("name") if isinstance(assessor, dict) else None
    if name is not None and name not in ASSESSORS:
        raise NasError(
            f"{at('assessor')}: assessor.name is {short(name)}{near(name, ASSESSORS)}; allowed: {listed(ASSESSORS)}"
        )


def check_nni(data: dict[str, Any], path: Path) -> None:
    """NNI's own schema, its complaint in one sentence."""
    from nni.experiment.config import ExperimentConfig

    try:
        config = ExperimentConfig(**data)
        config.validate()
    except Exception as error:  # NNI raises whatever it stumbles over
        last = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise NasError(f"{path}: NNI refuses it: {last}; see NNI's experiment config reference") from None
