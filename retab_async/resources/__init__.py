"""Registry of the kinds of run: the client, the command and the tests take them from here.

To add a kind, import its resource and annotate an attribute with it, at the place where the client shall have it;
CONTRIBUTING.md lists all places.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from retab_async.models import FileRef, UploadedFile
from retab_async.resources.base import RunResource
from retab_async.resources.classifications import Classifications
from retab_async.resources.edits import Edits
from retab_async.resources.extractions import Extractions
from retab_async.resources.file_blueprints import FileBlueprint, FileBlueprints
from retab_async.resources.files import Files
from retab_async.resources.namespace import Namespace, registry_of
from retab_async.resources.parses import Parses
from retab_async.resources.partitions import Partitions
from retab_async.resources.schemas import SchemaGenerations
from retab_async.resources.splits import Splits
from retab_async.resources.workflow_eval_runs import WorkflowEvalRuns
from retab_async.resources.workflow_experiment_runs import ExperimentRuns
from retab_async.resources.workflow_runs import WorkflowRuns


class FilesAndBlueprints(Files):
    """The files of an account, and the blueprints made from them."""

    blueprints: FileBlueprints

    async def create_blueprint(
        self,
        file_id: str | FileRef | UploadedFile,
        *,
        intent: str | None = None,
        background: bool = False,
        idempotency_key: str | None = None,
    ) -> FileBlueprint:
        """Create a file blueprint; the official name of `blueprints.create`.

        `POST /v1/files/blueprints`
        """
        return await self.blueprints.create(
            file_id=file_id, intent=intent, background=background, idempotency_key=idempotency_key
        )

    async def get_blueprint(self, blueprint_id: str | FileBlueprint, *, include_output: bool = True) -> FileBlueprint:
        """Return a file blueprint; the official name of `blueprints.get`.

        `GET /v1/files/blueprints/{blueprint_id}`
        """
        return await self.blueprints.get(blueprint_id, include_output=include_output)

    async def create_blueprint_cancel(self, blueprint_id: str | FileBlueprint) -> FileBlueprint:
        """Cancel a file blueprint; the official name of `blueprints.cancel`.

        `POST /v1/files/blueprints/{blueprint_id}/cancel`
        """
        return await self.blueprints.cancel(blueprint_id)


class WorkflowEvals(Namespace):
    """Resources of workflow evals."""

    runs: WorkflowEvalRuns


class WorkflowExperiments(Namespace):
    """Resources of workflow experiments."""

    runs: ExperimentRuns


class Workflows(Namespace):
    """Resources of workflows."""

    runs: WorkflowRuns
    evals: WorkflowEvals
    experiments: WorkflowExperiments


class RunResources(Namespace):
    """All resources of a client."""

    splits: Splits
    partitions: Partitions
    classifications: Classifications
    extractions: Extractions
    parses: Parses
    edits: Edits
    schemas: SchemaGenerations
    files: FilesAndBlueprints
    workflows: Workflows


RESOURCES: Mapping[str, type[RunResource[Any]]] = MappingProxyType(registry_of(RunResources))
