"""`retab-async splits create FILE`: what each kind asks for, and what is sent and said."""

from retab_async.cli.creating.command import create_command
from retab_async.cli.creating.kinds import PARAMETERS

__all__ = ["PARAMETERS", "create_command"]
