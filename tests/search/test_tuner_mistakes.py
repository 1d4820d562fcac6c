"""What a tuner tells NNI where it cannot go on, and what it makes of numbers that are no accuracy."""

import pytest
from nni.runtime.msg_dispatcher_base import MsgDispatcherBase
from nni.runtime.tuner_command_channel import CommandType

from nas.errors import NasError
from nas.search.tuner import StrategyTuner


class Dispatcher(MsgDispatcherBase):
    """NNI's, without its connection to a manager."""

    def __init__(self, tuner: StrategyTuner) -> None:
        self.tuner, self.stopping = tuner, False
        self.errors: list[str] = []

    def report_error(self, error: str) -> None:
        self.errors.append(error)

    def send_trial_callback(self, number: int, parameters: object) -> None:
        """What NNI hands to a tuner; of use here is whose method it is."""

    def handle_initialize(self, data: object) -> None:
        self.tuner.update_search_space(data)

    def handle_request_trial_jobs(self, data: int) -> None:
        self.tuner.generate_multiple_parameters(list(range(data)), st_callback=self.send_trial_callback)


@pytest.fixture
def tuner(in_folder, document):
    made = StrategyTuner(strategy={"name": "random"})
    made.update_search_space(document)
    yield made
    made._on_exit()


def test_a_journal_that_cannot_be_written_ends_the_experiment_with_the_reason(tuner, monkeypatch):
    def full(_: str) -> None:
        raise NasError("journal.jsonl: cannot be written (No space left on device)")

    with monkeypatch.context() as patched:
        patched.setattr(tuner._study.journal, "_write", full)
        dispatcher = Dispatcher(tuner)
        with pytest.raises(NasError, match="No space left"):
            dispatcher.process_command(CommandType.RequestTrialJobs, 1)
    assert dispatcher.errors == [
        "nas.errors.NasError: journal.jsonl: cannot be written (No space left on device)"
    ]


def test_a_mistake_found_as_the_tuner_begins_reaches_the_manager(in_folder):
    dispatcher = Dispatcher(StrategyTuner(strategy={"name": "random"}))
    with pytest.raises(NasError):
        dispatcher.process_command(CommandType.Initialize, {"name": "no space"})
    assert dispatcher.errors[0].startswith("nas.errors.NasError: search space: ")


def test_a_number_that_is_no_accuracy_is_a_failure_with_its_reason(tuner):
    parameters = tuner.generate_parameters(0)
    tuner.receive_trial_result(0, parameters, 93.5, trial_job_id="a")
    trial = tuner._study.journal.trials[0]
    reason = "the trial reported: accuracy is 93.5; give a fraction from 0 to 1"
    assert (trial.state, trial.reason) == ("failed", reason)
