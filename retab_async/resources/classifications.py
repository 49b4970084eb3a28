"""Classifications: which of several categories a document is of."""

from collections.abc import Sequence
from typing import Any

import attrs

from retab_async.documents import Document, DocumentField
from retab_async.models import FileRef, Primitive, RetabUsage, SparseRepr
from retab_async.resources.base import DeletableRuns, ListedRuns
from retab_async.scope import RunScope
from retab_async.validation import (
    bounded_int,
    drop_none,
    non_blank_str,
    non_empty_list,
    optional_int,
    optional_str,
    reject,
    strict_bool,
)


@attrs.frozen(repr=False)
class Category(SparseRepr):
    """What a document may be; `handle_key` names the way that it then takes through a workflow."""

    name: str
    description: str = attrs.field(default="", kw_only=True)
    handle_key: str | None = attrs.field(default=None, kw_only=True)


@attrs.frozen(kw_only=True, repr=False)
class ClassificationDecision(SparseRepr):
    """The category that was chosen, by its name, and why."""

    category: str = ""
    reasoning: str = ""


@attrs.frozen(kw_only=True, repr=False)
class ClassificationConsensus(SparseRepr):
    """How the votes went: the single votes' decisions, and how sure they were together, from 0 to 1."""

    choices: tuple[ClassificationDecision, ...] = ()
    likelihoods: float | None = None


@attrs.frozen(kw_only=True, repr=False)
class Classification(Primitive):
    """A classification run; its `output` is None, or empty, until it is completed."""

    file: FileRef | None = None
    model: str | None = None
    categories: tuple[Category, ...] = ()
    n_consensus: int = 1
    instructions: str | None = None
    output: ClassificationDecision | None = None
    consensus: ClassificationConsensus | None = None
    usage: RetabUsage | None = None


class Classifications(ListedRuns[Classification], DeletableRuns[Classification]):
    """The classification runs of an account: `/v1/classifications`."""

    path = "/v1/classifications"
    run_type = Classification

    async def create(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        categories: Sequence[Category],
        model: str = "retab-small",
        instructions: str | None = None,
        first_n_pages: int | None = None,
        n_consensus: int = 1,
        bust_cache: bool = False,
        background: bool = False,
        idempotency_key: str | None = None,
    ) -> Classification:
        """Start a classification and return it: over, or with `background=True` at once, for `wait` to follow.

        `categories`: what the document may be, at least one. `first_n_pages`: how many are looked at, by default all.
        `n_consensus`: 1 to 16. The rest, and what is raised, is told at `RunResource`.

        `POST /v1/classifications`
        """
        fields = _fields(
            document,
            categories,
            model,
            instructions,
            first_n_pages,
            n_consensus,
            bust_cache=bust_cache,
            background=background,
        )
        return await self._create(fields, idempotency_key)

    def running(  # noqa: PLR0913 - the fields of the request, each by its name
        self,
        *,
        document: Document,
        categories: Sequence[Category],
        model: str = "retab-small",
        instructions: str | None = None,
        first_n_pages: int | None = None,
        n_consensus: int = 1,
        bust_cache: bool = False,
        idempotency_key: str | None = None,
    ) -> RunScope[Classification]:
        """Tie a background classification to a block; see `RunResource`.

        `POST /v1/classifications`, `POST /v1/classifications/{classification_id}/cancel`
        """
        fields = _fields(
            document,
            categories,
            model,
            instructions,
            first_n_pages,
            n_consensus,
            bust_cache=bust_cache,
            background=True,
        )
        return self._running(fields, idempotency_key)

    async def create_classification_cancel(self, classification_id: str | Classification) -> Classification:
        """Cancel a classification; the API's published name of `cancel`.

        `POST /v1/classifications/{classification_id}/cancel`
        """
        return await self.cancel(classification_id)


def _fields(  # noqa: PLR0913, PLR0917 - the fields of the request
    document: Document,
    categories: Sequence[Category],
    model: str,
    instructions: str | None,
    first_n_pages: int | None,
    n_consensus: int,
    *,
    bust_cache: bool,
    background: bool,
) -> dict[str, Any]:
    return drop_none(
        {
            "document": DocumentField(document),
            "categories": [_category(each) for each in non_empty_list("categories", categories, "Category")],
            "model": non_blank_str("model", model),
            "instructions": optional_str("instructions", instructions),
            "first_n_pages": optional_int("first_n_pages", first_n_pages, least=1),
            "n_consensus": bounded_int("n_consensus", n_consensus, least=1, most=16),
            "bust_cache": strict_bool("bust_cache", bust_cache),
            "background": strict_bool("background", background),
        }
    )


def _category(category: Category) -> dict[str, Any]:
    if not isinstance(category, Category):
        reject(f'categories must be of Category("name"), not {category!r:.200}')
    return drop_none(
        {
            "name": non_blank_str("a category's name", category.name),
            "description": category.description,
            "handle_key": optional_str("a category's handle_key", category.handle_key),
        }
    )
