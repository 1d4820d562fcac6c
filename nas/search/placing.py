"""Where an experiment runs, and what it searches there, from NNI's configuration alone; nothing heavy at import.

>>> run_directory({"trialCodeDirectory": "/project"})
PosixPath('/project/runs/local')
"""

import contextlib
import hashlib
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas.errors import NasError
from nas.files import at_home
from nas.search.data_file import fingerprint
from nas.search.hosts import is_local
from nas.search.settings import TunerSettings

log = logging.getLogger(__name__)

WEIGHTS = "supernet.safetensors"
"""Of a supernet's folder (`nas.supernet.folder`, which takes torch)."""


def images_of(profile: dict[str, Any]) -> str | None:
    """sha256 of the file that says which images the trials have, None where none does."""
    from nas.search.options import options_of

    try:
        options = options_of(profile.get("trialCommand") or "")
        return (
            None
            if options is None or options.data is None
            else fingerprint(options.data, code_directory(profile))
        )
    except (NasError, OSError, SystemExit):
        return None  # the trials say it


def supernet_of(profile: dict[str, Any]) -> str | None:
    """sha256 of the weights that the trials inherit, None where they do not."""
    from nas.search.options import options_of

    try:
        options = options_of(profile.get("trialCommand") or "")
        if options is None or options.supernet is None:
            return None
        with (code_directory(profile) / at_home(options.supernet) / WEIGHTS).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (NasError, OSError, SystemExit):
        return None  # the trials say it


def subject_of_trials(search_space: Any, profile: dict[str, Any], settings: TunerSettings) -> Any:
    """What is searched, with the classes and channels of the trials' data, where they can be told.

    Paths of data and tables are against the folder that trials run in; a tuner runs in its logs.
    """
    from nas.search.finding import find_subject, recorded_scaling, with_latency
    from nas.search.journal import FILE
    from nas.search.measuring import measuring
    from nas.search.options import options_of

    folder = code_directory(profile)
    try:
        options = options_of(profile.get("trialCommand") or "")
    except (NasError, SystemExit) as error:
        log.warning("the trials' options cannot be read: %s", error)
        options = None
    try:
        subject = find_subject(search_space, options and options.table, folder, scaling=settings.scaling)
    except NasError:
        subject = recorded_scaling(search_space, run_directory(profile) / FILE)
        if subject is None:
            raise
    subject = with_latency(subject, settings.reward, folder, run_directory(profile))
    if options is None:
        return subject
    try:
        with contextlib.chdir(folder):
            return measuring(options).fitted(subject)
    except (NasError, OSError, SystemExit) as error:
        log.warning("costs are counted with the document's classes: %s", error)
        return subject


def documents_for_others(run: Mapping[str, Any], profile: Mapping[str, Any]) -> dict[str, Any]:
    """What each trial's `run` entry carries besides where it runs on another machine: the space, or the baseline."""
    if is_local(profile):
        return {}
    found = run.get("document", run.get("baseline"))
    return {} if found is None else {"document": found}


def run_directory(profile: dict[str, Any]) -> Path:
    """`runs/EXPERIMENT_ID` where the trials run, NNI's folder for this tuner being .../ID/log."""
    logs = os.environ.get("NNI_LOG_DIRECTORY")
    return code_directory(profile) / "runs" / (Path(logs).parent.name if logs else "local")


def code_directory(profile: dict[str, Any]) -> Path:
    """The folder that trials run in; where the manager did not tell, NNI has put it into sys.path."""
    code = profile.get("trialCodeDirectory") or (profile.get("tuner") or {}).get("codeDirectory")
    return Path(code or (sys.path[-1] if os.environ.get("NNI_LOG_DIRECTORY") else "."))
