"""Registry of the kinds of run: the client, the command and the tests take them from here.

Each kind is loaded when it is first used. To add one, annotate an attribute with its resource at the place where the
client shall have it, and name its module below; CONTRIBUTING.md lists all places.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from retab_async.lazy import lazy_names
from retab_async.resources.namespace import Namespace, Registry, member

if TYPE_CHECKING:
    from retab_async.resources.account_files import FilesAndBlueprints
    from retab_async.resources.any_run import (
        AnyRun as AnyRun,
        cancel_matching_runs as cancel_matching_runs,
        cancel_runs as cancel_runs,
        is_list_refusal as is_list_refusal,
    )
    from retab_async.resources.base import RunResource
    from retab_async.resources.classifications import Classifications
    from retab_async.resources.edits import Edits
    from retab_async.resources.extractions import Extractions
    from retab_async.resources.parses import Parses
    from retab_async.resources.partitions import Partitions
    from retab_async.resources.schemas import SchemaGenerations
    from retab_async.resources.splits import Splits
    from retab_async.resources.workflow_eval_runs import WorkflowEvalRuns
    from retab_async.resources.workflow_experiment_runs import ExperimentRuns
    from retab_async.resources.workflow_runs import WorkflowRuns
else:
    __getattr__, __dir__, _ = lazy_names(
        __name__,
        {
            "AnyRun": "any_run",
            "Classifications": "classifications",
            "Edits": "edits",
            "ExperimentRuns": "workflow_experiment_runs",
            "Extractions": "extractions",
            "FilesAndBlueprints": "account_files",
            "Parses": "parses",
            "Partitions": "partitions",
            "RunResource": "base",
            "SchemaGenerations": "schemas",
            "Splits": "splits",
            "WorkflowEvalRuns": "workflow_eval_runs",
            "WorkflowRuns": "workflow_runs",
            "cancel_matching_runs": "any_run",
            "cancel_runs": "any_run",
            "is_list_refusal": "any_run",
        },
    )


class WorkflowEvals(Namespace):
    """Resources of workflow evals."""

    runs: "WorkflowEvalRuns" = member()


class WorkflowExperiments(Namespace):
    """Resources of workflow experiments."""

    runs: "ExperimentRuns" = member()


class Workflows(Namespace):
    """Resources of workflows."""

    runs: "WorkflowRuns" = member()
    evals: "WorkflowEvals" = member()
    experiments: "WorkflowExperiments" = member()


class RunResources(Namespace):
    """All resources of a client."""

    splits: "Splits" = member()
    partitions: "Partitions" = member()
    classifications: "Classifications" = member()
    extractions: "Extractions" = member()
    parses: "Parses" = member()
    edits: "Edits" = member()
    schemas: "SchemaGenerations" = member()
    files: "FilesAndBlueprints" = member()
    workflows: "Workflows" = member()


RESOURCES: Mapping[str, type["RunResource[Any]"]] = Registry(RunResources)
