"""Every symptom has a training in which it is present and healthy ones in which none is."""

import pytest
from tests.faults.watching import HEALTHY, PLANTED, PLANTED_TOO, validated

from chainrule.diagnosis.symptoms import SYMPTOMS, Record, symptoms_of
from chainrule.diagnosis.watch import codes, watch


@pytest.mark.parametrize("code", PLANTED)
def test_planted_fault_is_seen(code):
    with watch(runs=None) as watching:
        PLANTED[code]()
    assert code in codes(watching.result.findings), watching.result.findings
    for finding in watching.result.findings:
        assert finding.evidence, finding
        assert finding.meaning[0] == finding.meaning.strip()[0]


@pytest.mark.parametrize("name", PLANTED_TOO)
def test_the_same_fault_in_another_style_is_seen(name):
    code, fault = PLANTED_TOO[name]
    with watch(runs=None) as watching:
        fault()
    assert code in codes(watching.result.findings), watching.result.findings


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_training_is_silent(name):
    with watch(runs=None) as watching:
        HEALTHY[name]()
    assert watching.result.findings == ()
    assert watching.result.steps > 10


def test_evaluation_in_training_mode_is_told_from_the_right_way():
    with watch(runs=None) as watching:
        validated(False)
    found = {item.code: item for item in watching.result.findings}
    assert "evaluated in training mode" in found["wrong-mode"].meaning


def test_every_symptom_is_planted():
    """A symptom that no planted training shows has never been seen to work."""
    import inspect

    texts = "".join(inspect.getsource(inspect.getmodule(item)) for item in SYMPTOMS)
    for code in PLANTED:
        if code not in ("initialization-too-small", "loss-flat"):
            assert f'"{code}"' in texts


def test_no_record_no_symptom():
    assert symptoms_of(Record()) == ()
