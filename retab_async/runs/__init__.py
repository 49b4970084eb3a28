"""`RunResource`, with the verbs that runs of all kinds have, and what adds those that only some have."""

from retab_async.runs.deletable import DeletableRuns
from retab_async.runs.listed import ListedRuns
from retab_async.runs.resource import RunResource
from retab_async.runs.workflow_family import WorkflowFamilyRuns

__all__ = ["DeletableRuns", "ListedRuns", "RunResource", "WorkflowFamilyRuns"]
