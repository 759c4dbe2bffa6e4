"""A learner's stubs of stage 2: each graded function has a signature, found where the stage's protocol stands."""

from shared.doors.exercise import exercises
from shared.doors.scaffold import Signatures


def test_every_graded_function_has_a_stub_that_can_be_read():
    signatures = Signatures("a2_systems")
    names = [name for exercise in exercises("a2_systems") for name in exercise.door]
    assert "get_ddp" in names
    for name in names:
        compile(signatures.stub(name, "What it does.", "not written yet"), name, "exec")
    assert signatures.imports(["get_ddp"]) == {"nn": "from torch import nn"}
