"""How many trials NNI may start: as many as were asked for, and one more for each that is repeated.

NNI asks for a proposal whenever a trial ends, and for none any more once maxTrialNumber trials have begun; where
that rises afterwards, one more trial at a time (trialConcurrency) makes it ask for one, until it has.
"""

import contextlib
import logging
import threading
from pathlib import Path

from nas.files import write_whole
from nas.search.journal import Journal
from nas.search.manager import Manager

log = logging.getLogger(__name__)

RAISED = ".concurrency"
"""The file of a run that has its trialConcurrency while NNI's own is raised."""


class Allowance:
    """NNI's maxTrialNumber and trialConcurrency, kept in step with the journal.

    Args:
        journal: of the run; its `max_trials` is what was asked for, without repeats.
        manager: NNI's, None outside of NNI.

    Every method raises OSError where NNI's manager does not answer, ValueError or KeyError where it says what it
    should not; the next call makes up for it.
    """

    def __init__(self, journal: Journal, manager: Manager | None) -> None:
        self._journal, self._manager = journal, manager
        self._file: Path = journal.path.with_name(RAISED)
        self._known: int | None = None
        self._owed = self._raised = 0
        self._concurrency = 1

    @property
    def trials(self) -> int | None:
        """NNI's maxTrialNumber as it should be; None where there is no limit."""
        wanted = len(self._journal.trials) if self._journal.exhausted else self._journal.max_trials
        return None if wanted is None else wanted + self._repeats

    @property
    def _repeats(self) -> int:
        return self._journal.repeated

    def begin(self) -> None:
        """At the tuner's start: what a crash left half done is done."""
        if self._manager is None:
            return
        self._journal.refresh()
        params = self._manager.profile()["params"]
        trials, wanted = params.get("maxTrialNumber"), self.trials
        if trials is not None and wanted is not None:
            self._known = int(trials)
            if self._known < wanted:
                self._set(wanted)
        with contextlib.suppress(FileNotFoundError, ValueError):
            concurrency = int(self._file.read_text())
            if int(params["trialConcurrency"]) > concurrency:
                self._manager.set_concurrency(concurrency)
            self._file.unlink()

    def look(self) -> None:
        """Hears whether the user changed the number of trials (`nnictl update trialnum`), and writes it down; makes
        up for what NNI could not be told."""
        if self._manager is None:
            return
        params = self._manager.profile()["params"]
        self._concurrency = int(params.get("trialConcurrency") or 1)
        if self.trials is None:
            return
        trials = int(params["maxTrialNumber"])
        if self._known not in (None, trials) and trials != self.trials and not self._journal.exhausted:
            log.info("maxTrialNumber was changed to %s", trials)
            self._journal.change("trials", trials=max(0, trials - self._repeats))
        self._known = trials
        if trials < self.trials:
            self._set(self.trials)
        while self._owed:
            if not self._raised:
                write_whole(self._file, str(self._concurrency), "mend it and resume the search")
            self._raise(1)
            self._owed -= 1

    def one_more(self, begun: int) -> None:
        """For a trial that is repeated, which the journal has; `begun` trials NNI has started so far."""
        if self.trials is not None:
            self._owed += begun >= self.trials - 1  # else NNI asks for the next proposal by itself
            self.look()

    def answered(self) -> None:
        """NNI has asked for a proposal: a raised trialConcurrency has done its work."""
        if self._manager is not None and self._raised:
            self._raise(-1)
            if not self._raised:
                self._file.unlink(missing_ok=True)

    def end(self) -> None:
        """Has NNI end, in a while, with the trials that it has: for more of an exhausted space it waits for ever."""
        if self._manager is not None:
            threading.Thread(target=self._lower, daemon=True).start()

    def _lower(self) -> None:
        try:
            self._set(self.trials or 0)
        except (OSError, ValueError, KeyError) as error:
            log.warning("NNI's manager did not lower the number of trials (%s)", error)

    @property
    def concurrency(self) -> int:
        """Trials at a time, as the user wanted it at the last look."""
        return max(1, self._concurrency - self._raised)

    def _raise(self, by: int) -> None:
        assert self._manager is not None
        self._manager.set_concurrency(self._concurrency + by)
        self._concurrency, self._raised = self._concurrency + by, self._raised + by

    def _set(self, trials: int) -> None:
        assert self._manager is not None
        self._manager.set_trials(trials)
        self._known = trials
