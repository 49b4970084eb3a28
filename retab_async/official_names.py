"""Names of the official client that do not exist here, and what errors say to use instead."""

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import iscoroutinefunction, signature
from types import FunctionType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

ClassT = TypeVar("ClassT", bound=type)

# Parameters of the official client, and of clients like it.
_PARAMETERS = {
    "max_retries": "pass retry=RetryPolicy(attempts=...), the retries plus the first attempt",
    "http_client": "pass session=, an aiohttp.ClientSession",
    "default_headers": "pass headers=",
    "command_id": "each cancel sends one of its own",
    "deep_extraction": 'pass extra_body={"deep_extraction": ...}',
    "filename_regex": "pass filename_contains=, or match run.file.filename in the loop",
    "include_embeddings": 'send client.request("GET", "/v1/files", query={"include_embeddings": True})',
    "mode": 'pass extra_body={"mode": ...}',
    "scope": "pass eval_id= or block_id=, or neither for all evals of the workflow",
    "sort_by": "these lists are in the order of creation, of which order= is the direction",
    "stream": "call extractions.stream(...), which streams",
}
_ANY_REQUEST = "client.request(...) sends what no method has a parameter for"


def _request(route: str) -> str:
    method, path = route.split()
    return f'send client.request("{method}", "{path}"), see guides/migrating.md'


_UPLOAD = "call client.files.upload(document), which does all steps of an upload"
_STATUS = "every kind has the same RunStatus"
# From "class.name", or "package.name", to what is used instead: a route, or a sentence.
_ATTRIBUTES = {
    "retab_async.AsyncPaginatedList": "a list returns a RunPager, whose pages are a Page",
    "retab_async.PaginatedList": "a list returns a RunPager, whose pages are a Page",
    "retab_async.Retab": "there is no synchronous client; use AsyncRetab with asyncio.run(main())",
    **{
        f"retab_async.{kind}Status": _STATUS
        for kind in ("Classification", "Classifications", "Edit", "Extraction", "Extractions", "Parse", "Partition")
    },
    "retab_async.SplitStatus": _STATUS,
    "APIError.retries": "read attempts, which counts the first attempt too",
    "Page.data": "read runs, or items",
    "Page.has_more": "compare after with None",
    "Page.list_metadata": "read before and after of the page",
    "Run.model_dump": "call to_dict()",
    "Run.model_dump_json": "call to_json()",
    "RunPager.data": "await it for one page and read its runs, or iterate over all with async for",
    "RunPager.list_metadata": "await it for one page and read its before and after",
    "AsyncRetab.consensus": "POST /v1/consensus",
    "AsyncRetab.extraction_sources": "GET /v1/extractions/{extraction_id}/sources",
    "AsyncRetab.secrets": "GET /v1/secrets",
    "AsyncRetab.tables": "GET /v1/tables",
    "AsyncRetab.usage": "GET /v1/usage/runs",
    "Edits.templates": "GET /v1/edits/templates",
    "Extractions.sources": "GET /v1/extractions/{extraction_id}/sources",
    "Files.complete_upload": _UPLOAD,
    "Files.create_upload": _UPLOAD,
    "Splits.create_reconstruct": "POST /v1/splits/reconstruct",
    "WorkflowEvals.create": "POST /v1/workflows/evals",
    "WorkflowEvals.delete": "DELETE /v1/workflows/evals/{eval_id}",
    "WorkflowEvals.get": "GET /v1/workflows/evals/{eval_id}",
    "WorkflowEvals.list": "GET /v1/workflows/evals",
    "WorkflowEvals.results": "GET /v1/workflows/evals/results",
    "WorkflowEvals.update": "PATCH /v1/workflows/evals/{eval_id}",
    "WorkflowExperiments.create": "POST /v1/workflows/experiments",
    "WorkflowExperiments.delete": "DELETE /v1/workflows/experiments/{experiment_id}",
    "WorkflowExperiments.get": "GET /v1/workflows/experiments/{experiment_id}",
    "WorkflowExperiments.list": "GET /v1/workflows/experiments",
    "WorkflowExperiments.metrics": "GET /v1/workflows/experiments/metrics",
    "WorkflowExperiments.results": "GET /v1/workflows/experiments/results",
    "WorkflowExperiments.update": "PATCH /v1/workflows/experiments/{experiment_id}",
    "WorkflowRuns.export": "POST /v1/workflows/runs/export",
    "Workflows.apply": "POST /v1/workflows/spec/apply",
    "Workflows.artifacts": "GET /v1/workflows/artifacts",
    "Workflows.blocks": "GET /v1/workflows/blocks",
    "Workflows.create": "POST /v1/workflows",
    "Workflows.create_version_restore": "POST /v1/workflows/versions/{workflow_version_id}/restore",
    "Workflows.delete": "DELETE /v1/workflows/{workflow_id}",
    "Workflows.discard_draft": "POST /v1/workflows/{workflow_id}/discard-draft",
    "Workflows.edges": "GET /v1/workflows/edges",
    "Workflows.get": "GET /v1/workflows/{workflow_id}",
    "Workflows.get_version": "GET /v1/workflows/versions/{workflow_version_id}",
    "Workflows.list": "GET /v1/workflows",
    "Workflows.list_diff": "GET /v1/workflows/versions/diff",
    "Workflows.list_versions": "GET /v1/workflows/versions",
    "Workflows.plan": "POST /v1/workflows/spec/plan",
    "Workflows.publish": "POST /v1/workflows/{workflow_id}/publish",
    "Workflows.reviews": "GET /v1/workflows/reviews",
    "Workflows.spec": "GET /v1/workflows/{workflow_id}/spec",
    "Workflows.steps": "GET /v1/workflows/steps",
    "Workflows.update": "PATCH /v1/workflows/{workflow_id}",
}


def attribute_hint(owners: Iterable[str], name: str) -> str:
    """Return what to use instead of an attribute of the official client, after a colon; empty if it has none.

    Args:
        owners: Names of a class and its bases, or that of a package.
        name: Name of the attribute.
    """
    hints = (_ATTRIBUTES.get(f"{owner}.{name}") for owner in owners)
    hint = next((each for each in hints if each is not None), None)
    if hint is None:
        return ""
    return f": {_request(hint) if ' /v1/' in hint else hint}"


class OfficialNames:
    """Mixin: the error for an attribute of the official client that does not exist here names its equivalent."""

    __slots__ = ()

    if TYPE_CHECKING:
        # For which every attribute would exist.
        pass
    else:

        def __getattr__(self, name: str) -> NoReturn:
            cls = type(self)
            hint = attribute_hint((each.__name__ for each in cls.__mro__), name)
            msg = f"{cls.__name__!r} object has no attribute {name!r}{hint}"
            raise AttributeError(msg, name=name, obj=self)


def check_parameter_names(names: Iterable[str]) -> None:
    """Raise a `TypeError` that names the equivalent of another client's parameter, if there is one."""
    for name in names:
        if name in _PARAMETERS:
            msg = f"{name} is not a parameter: {_PARAMETERS[name]}"
            raise TypeError(msg)


def explain_parameters(cls: ClassT) -> ClassT:
    """Class decorator: errors of its public methods name the equivalent of a parameter that they do not have."""
    for name, value in tuple(vars(cls).items()):
        if isinstance(value, FunctionType) and not name.startswith("_") and not hasattr(value, "__wrapped__"):
            setattr(cls, name, _explained(value))
    return cls


def add_parameter_hint(error: TypeError, method: Callable[..., Any], names: Iterable[str]) -> None:
    """Add to a `TypeError` what to use instead of the parameters that a method does not have.

    Args:
        error: The error of the call.
        method: The method that was called.
        names: Names of the arguments of the call.
    """
    parameters = signature(method).parameters
    unknown = [name for name in names if name not in parameters]
    # A method that takes any name answers for itself.
    if not unknown or any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        return
    name = unknown[0]
    hint = _PARAMETERS.get(name)
    if hint is None and "extra_body" in parameters:
        hint = f'pass a field that this version does not know as extra_body={{"{name}": ...}}'
    error.args = (f"{error}: {hint or _ANY_REQUEST}",)


def _explained(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except TypeError as error:
            add_parameter_hint(error, method, kwargs)
            raise

    @wraps(method)
    async def call_async(*args: Any, **kwargs: Any) -> Any:
        return await call(*args, **kwargs)

    return call_async if iscoroutinefunction(method) else call
