"""The register of the kinds of run, one file each.

Nobody reads a document here. Results are made up from the request alone, so that they agree with it and with
themselves: its names, pages counted from 1, a likelihood for everything voted on, credits for the pages read. To add a
kind, declare it in a file of its own and put it into `KINDS`.
"""

from retab_async.emulator.kinds.blueprints import BLUEPRINTS
from retab_async.emulator.kinds.classifications import CLASSIFICATIONS
from retab_async.emulator.kinds.edits import EDITS
from retab_async.emulator.kinds.eval_runs import EVAL_RUNS
from retab_async.emulator.kinds.experiment_runs import EXPERIMENT_RUNS
from retab_async.emulator.kinds.extractions import EXTRACTIONS
from retab_async.emulator.kinds.kind import Kind
from retab_async.emulator.kinds.parses import PARSES
from retab_async.emulator.kinds.partitions import PARTITIONS
from retab_async.emulator.kinds.schemas import SCHEMAS
from retab_async.emulator.kinds.splits import SPLITS
from retab_async.emulator.kinds.workflow_runs import WORKFLOW_RUNS

KINDS = {
    kind.collection: kind
    for kind in (
        SPLITS,
        PARTITIONS,
        CLASSIFICATIONS,
        EXTRACTIONS,
        PARSES,
        EDITS,
        SCHEMAS,
        BLUEPRINTS,
        WORKFLOW_RUNS,
        EVAL_RUNS,
        EXPERIMENT_RUNS,
    )
}

__all__ = ["KINDS", "Kind"]
