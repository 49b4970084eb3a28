"""The register of the kinds of run: what the client, the command and the tests' roll-call go by."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from retab_async.resources.partitions import Partitions
from retab_async.resources.splits import Splits
from retab_async.runs import RunResource

RESOURCES: Mapping[str, type[RunResource[Any]]] = MappingProxyType({"splits": Splits, "partitions": Partitions})
