"""A job, from what was typed to the exit code."""

import asyncio

from retab_async.cli.bulk.course import Plan, run_through
from retab_async.cli.bulk.ending import report
from retab_async.cli.bulk.telling import Manner, telling
from retab_async.cli.failures import failures_told


def carry_out(plan: Plan, manner: Manner) -> int:
    """Carry a job through, tell of it, and return the exit code."""
    with telling(manner) as told, failures_told():
        course = asyncio.run(run_through(plan, told))
    return report(course, told)
