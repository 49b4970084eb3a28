"""`python -m retab_async`, and the `retab-async` script."""

import sys


def main() -> None:
    """Run the command, or say how to install what it needs; never returns."""
    try:
        from retab_async.cli import run  # noqa: PLC0415 - the extra may not be installed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        sys.exit(_say_what_is_missing())
    sys.exit(run())


def _say_what_is_missing() -> int:
    sys.stderr.write('the command needs its extra: pip install "retab_async[cli]"\n')
    return 2


if __name__ == "__main__":
    main()
