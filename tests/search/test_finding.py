"""A journal's run event makes the subject again, or says in one sentence that it cannot."""

import pytest

from nas import NasError, SearchSpace
from nas.baseline import load
from nas.search.finding import subject_of
from nas.search.scaling_grid import GridSettings
from nas.search.scaling_subject import ScalingSubject, document_of
from nas.search.subject import SpaceSubject

TABLE = {"name": "r", "source": "", "choices": {"depth": [1, 2]}, "target": 15}


def test_what_a_subject_writes_is_read():
    space = SpaceSubject(SearchSpace.load("digits"))
    assert subject_of(space.form()).sha256 == space.sha256
    scaling = ScalingSubject(document_of("mobilenet-v2"), GridSettings(step=0.4))
    assert subject_of(scaling.form()).target == 2 * load("mobilenet-v2").architecture.macs
    assert subject_of({"table": TABLE, "sha256": "0"}).choices == {"depth": (1, 2)}


@pytest.mark.parametrize(
    "run",
    [
        {},
        {"table": 3},
        {"table": TABLE},  # without its sha256
        {"table": TABLE | {"choices": [3]}, "sha256": "0"},
        {"table": TABLE | {"target": float("inf")}, "sha256": "0"},
        {"document": {}},
        {"document": SearchSpace.load("digits").document.model_dump(mode="json")},
        {"document": SearchSpace.load("digits").document.model_dump(mode="json"), "classes": "many", "in_chans": 1},
        {"baseline": document_of("mobilenet-v2").model_dump(mode="json"), "classes": 9, "in_chans": 1},
        {
            "baseline": document_of("mobilenet-v2").model_dump(mode="json"), "classes": 9, "in_chans": 1,
            "scaling": {"step": "wide"},
        },
    ],
)  # fmt: skip
def test_an_event_that_describes_none_is_one_sentence(run):
    with pytest.raises(NasError, match=r"^j\.jsonl: .+[^.]$") as caught:
        subject_of(run, "j.jsonl")
    assert str(caught.value).isprintable()
