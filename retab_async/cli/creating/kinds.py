"""What each kind asks for in its `create`: a kind more is a module and a line here."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click

from retab_async.cli.creating import (
    classifications,
    edits,
    extractions,
    file_blueprints,
    parses,
    partitions,
    schemas,
    splits,
    workflow_eval_runs,
    workflow_experiment_runs,
    workflow_runs,
)

# The names of a kind's parameters are those of the arguments that its `create` and its `running` take.
PARAMETERS: Mapping[str, Sequence[click.Parameter]] = MappingProxyType(
    {
        "splits": splits.PARAMETERS,
        "partitions": partitions.PARAMETERS,
        "classifications": classifications.PARAMETERS,
        "extractions": extractions.PARAMETERS,
        "parses": parses.PARAMETERS,
        "edits": edits.PARAMETERS,
        "schemas": schemas.PARAMETERS,
        "files.blueprints": file_blueprints.PARAMETERS,
        "workflows.runs": workflow_runs.PARAMETERS,
        "workflows.evals.runs": workflow_eval_runs.PARAMETERS,
        "workflows.experiments.runs": workflow_experiment_runs.PARAMETERS,
    }
)
