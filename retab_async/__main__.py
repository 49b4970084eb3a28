"""`python -m retab_async`, and the `retab-async` script."""

import sys


def main() -> None:
    """Run the command line and exit with its code, or with 2 if the extra `cli` is not installed."""
    try:
        from retab_async.cli import run  # noqa: PLC0415 - the extra may not be installed

        # Inside, because commands are loaded when they are used.
        code = run()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"click", "rich"}:
            raise
        sys.stderr.write('the command line needs an extra: pip install "retab_async[cli]"\n')
        sys.exit(2)
    sys.exit(code)


if __name__ == "__main__":
    main()
