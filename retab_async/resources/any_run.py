"""Runs of any kind, which the client itself cancels in one job."""

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, TypeAlias

from retab_async.bulk import CancelJob, CancelOptions, IdSource, RunScan, is_caller_refusal
from retab_async.errors import APIError
from retab_async.models import Run
from retab_async.resources.base import RunResource
from retab_async.resources.namespace import Namespace
from retab_async.retry import is_transient
from retab_async.validation import reject

# A run, or its kind and its id: `("splits", id)`, `(client.splits, id)`.
AnyRun: TypeAlias = Run | tuple[str | RunResource[Any], str | Run]


def cancel_runs(
    client: Namespace, kinds: Iterable[str], runs: Iterable[AnyRun] | AsyncIterable[AnyRun], options: CancelOptions
) -> CancelJob[Run]:
    """Return the job that cancels runs of the given kinds.

    Args:
        client: Has the resource of each kind.
        kinds: Names of the kinds, such as `workflows.runs`.
        runs: Runs, or pairs of a kind and an id.
        options: Options of the job.
    """
    resources: dict[str, RunResource[Any]] = {name: attrgetter(name)(client) for name in kinds}
    targets = [resource._cancel_target for resource in resources.values()]  # noqa: SLF001 - a part of the resources
    source = IdSource(runs, partial(_resolve, resources), dedupe=options.dedupe)
    return CancelJob(source, targets, options)


def cancel_matching_runs(
    client: Namespace, kinds: Iterable[str], options: CancelOptions, **filters: Any
) -> CancelJob[Run]:
    """Return the job that cancels the runs of the given kinds that match filters.

    Args:
        client: Has the resource of each kind.
        kinds: Names of the kinds, of which those without a list are left out.
        options: Options of the job.
        **filters: Filters that all lists have.
    """
    listed = [name for name in kinds if hasattr(attrgetter(name)(client), "cancel_matching")]
    # A workflow run that goes on may start runs of other kinds.
    listed.sort(key=lambda name: not name.startswith("workflows."))
    scans = {name: attrgetter(name)(client)._scan(options, **filters) for name in listed}  # noqa: SLF001 - as above
    return cancel_runs(client, listed, _matching_runs(scans), options)


def is_list_refusal(error: APIError) -> bool:
    """Tell whether a failure of one list leaves the lists of the other kinds available."""
    return not (is_transient(error) or is_caller_refusal(error, forbidden=0))


async def _matching_runs(scans: Mapping[str, RunScan[Any]]) -> AsyncGenerator[Run, None]:
    # The runs of the other kinds are cancelled though the list of one is refused.
    refusals: dict[str, APIError] = {}
    for kind, scan in scans.items():
        try:
            async for run in scan:
                yield run
        except APIError as error:
            if not is_list_refusal(error):
                raise
            refusals[kind] = error
    if refusals:
        first, *others = refusals
        if others:
            refusals[first].message += f"; also refused: the lists of {', '.join(others)}"
        raise refusals[first]


def _resolve(resources: Mapping[str, RunResource[Any]], run: AnyRun) -> tuple[str, str]:
    resource: RunResource[Any] | None = None
    target: str | Run | None = None
    if isinstance(run, Run):
        resource, target = next((each for each in resources.values() if isinstance(run, each.run_type)), None), run
    elif isinstance(run, tuple) and len(run) == 2:
        kind, target = run
        same = (each for each in resources.values() if each is kind)
        resource = resources.get(kind) if isinstance(kind, str) else next(same, None)
    if resource is None:
        reject(f"not a run, and not a pair of a kind of this client and an id, such as ('splits', id): {run!r:.200}")
    return resource._run_id_of(target)  # noqa: SLF001 - a part of the resources
