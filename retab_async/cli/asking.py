"""Asking before something is done that cannot be undone."""

import sys

import click


def check_somebody_can_be_asked(verb: str) -> None:
    """Wrong usage where there is nobody to be asked."""
    if not (sys.stdin and sys.stdin.isatty()):
        msg = f"stdin is no terminal to ask at: give --yes to {verb} without being asked"
        raise click.UsageError(msg)


def agrees(question: str) -> bool:
    """Ask on stderr and return the answer."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        # What comes next is not to stand behind the question.
        click.echo(err=True)
        raise
