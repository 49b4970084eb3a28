"""The commands that cancel many runs: those of a file, all that match, and those whose ids are typed."""

from retab_async.cli.bulk.anything import cancel_anything
from retab_async.cli.bulk.ids import cancel_command
from retab_async.cli.bulk.matching import add_matching_commands

__all__ = ["add_matching_commands", "cancel_anything", "cancel_command"]
