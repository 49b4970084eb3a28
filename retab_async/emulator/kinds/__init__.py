"""Registry of the kinds of run, one file each.

Documents are not read. Results are generated from the request alone, consistent with it and in themselves: its names,
pages counted from 1, a likelihood for every value voted on, credits for the pages. To add a kind, declare it in a file
of its own and add it to `KINDS`.
"""

from retab_async.emulator.kinds.classifications import CLASSIFICATIONS
from retab_async.emulator.kinds.edits import EDITS
from retab_async.emulator.kinds.extractions import EXTRACTIONS
from retab_async.emulator.kinds.file_blueprints import BLUEPRINTS
from retab_async.emulator.kinds.kind import RunKind
from retab_async.emulator.kinds.parses import PARSES
from retab_async.emulator.kinds.partitions import PARTITIONS
from retab_async.emulator.kinds.schemas import SCHEMAS
from retab_async.emulator.kinds.splits import SPLITS
from retab_async.emulator.kinds.workflow_eval_runs import EVAL_RUNS
from retab_async.emulator.kinds.workflow_experiment_runs import EXPERIMENT_RUNS
from retab_async.emulator.kinds.workflow_runs import WORKFLOW_RUNS

KINDS = {
    kind.name: kind
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

__all__ = ["KINDS", "RunKind"]
