"""The status that the operator writes has both the planned and the measured memory of a run."""

import pytest
from trainwright_api.report import RunReport
from trainwright_api.status import Hardware, Plan, RunStatus
from trainwright_operator.merging import merge_report

from tests.e2e.planned_memory import planned_to_measured

PLAN = {"zeroStage": 1, "microSequences": 1, "accumulationSteps": 1, "numDevices": 2}
PLAN |= {"activationCheckpointing": "None", "parameters": 1, "trainableParameters": 1}


@pytest.mark.parametrize(("planned", "measured", "ratio"), [(3, 2, 1.5), (2, 4, 0.5)])
def test_planned_memory_is_told_over_measured(
    planned: float, measured: float, ratio: float
) -> None:
    plan = Plan.model_validate(PLAN | {"memoryGiB": planned, "flopsPerToken": 6})
    hardware = Hardware(device="CPU (1 core)", accelerators=2, memory_used_gib=measured)
    report = RunReport(attempt=1, sequence=1, plan=plan, hardware=hardware)
    status = merge_report(RunStatus(attempt=1), report).to_manifest()
    assert planned_to_measured(status) == ratio
