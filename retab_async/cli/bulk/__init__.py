"""The commands that cancel many runs: those of a file, all that match, and those whose ids are typed."""

from retab_async.cli.bulk.anything import cancel_anything
from retab_async.cli.bulk.ids import cancel_command
from retab_async.cli.bulk.matching import matching_command

__all__ = ["cancel_anything", "cancel_command", "matching_command"]
