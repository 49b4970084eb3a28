"""What is said at the end of a job, and the exit code."""

import shlex
from collections import Counter
from collections.abc import Iterator

import click

from retab_async.bulk import Disposition
from retab_async.cli.bulk.course import Course
from retab_async.cli.bulk.telling import Manner, Telling, outcome_of
from retab_async.cli.failures import INTERRUPTED
from retab_async.cli.harmless import harmless
from retab_async.cli.printing import print_outcomes, print_rows

_MOST_SHOWN = 20


def report(course: Course, telling: Telling) -> int:
    """Say what a job came to, and return the exit code."""
    manner = telling.manner
    if manner.is_listed and not manner.as_json:
        print_outcomes(telling.kept, as_json=False)
    elif not manner.as_json:
        print_rows(("what", "how many"), _figures(course))
        _print_failures(course, has_kinds=manner.has_kinds)
    for line in (*_troubles(course), *_way_on(course, manner)):
        click.echo(harmless(line), err=True)
    if course.is_interrupted:
        return INTERRUPTED
    return int(bool(course.failure) or _failed(course.report.counts) > 0)


def _failed(counts: Counter[Disposition]) -> int:
    return sum(count for disposition, count in counts.items() if disposition.is_failure)


def _figures(course: Course) -> Iterator[tuple[str, str]]:
    for disposition, count in sorted(course.report.counts.items()):
        yield disposition.replace("_", " "), str(count)
    if course.earlier:
        yield "of these before", str(course.earlier.total())
    yield "seconds", f"{course.report.elapsed:.1f}"
    yield "requests", str(course.stats.sent)
    yield "answers 429", str(course.stats.throttled)


def _print_failures(course: Course, *, has_kinds: bool) -> None:
    failed = [outcome_of(outcome) for outcome in course.report.failures[:_MOST_SHOWN]]
    if failed:
        print_outcomes(failed, as_json=False, has_kinds=has_kinds)
    more = _failed(course.report.counts) - _failed(course.earlier) - len(failed)
    if more:
        click.echo(f"and {more:,} more")


def _troubles(course: Course) -> Iterator[str]:
    if course.report.ended_early:
        yield "the API was away for too long: there are more runs, which were left alone"
    if course.failure:
        yield f"Error: {course.failure}"
    if course.unwritten:
        yield f"not in the journal: {course.unwritten:,} of the outcomes"


def _way_on(course: Course, manner: Manner) -> Iterator[str]:
    if not course.is_interrupted:
        return
    yield f"interrupted: {course.report.counts.total():,} done"
    if manner.goes_on:
        yield "to go on from here, with the same ids on stdin:" if manner.is_piped else "to go on from here:"
        yield f"    {shlex.join(['retab-async', *click.get_current_context().find_root().obj])}"
    else:
        yield "with --journal FILE the same command would go on from here"
