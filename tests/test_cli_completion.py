"""Completion scripts, and what the command loads before it knows what to do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from completion_scripts import SCRIPTS, scripts

from retab_async.cli import run

SHELLS = ["bash", "fish", "zsh"]


def words_after(shell: str, *line: str) -> list[str]:
    """Return what a shell completes after these words, the last of which is typed in part."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = SCRIPTS / f"retab-async.{shell}"
    words = " ".join(f"'{word}'" for word in ("retab-async", *line))
    if shell == "bash":
        code = f"""
            source {script}; COMP_WORDS=({words}); COMP_CWORD={len(line)}; _retab_async
            printf "%s\\n" "${{COMPREPLY[@]}}\""""
        options = ["--norc", "--noprofile", "-c"]
    elif shell == "fish":
        code = f'source {script}; complete -C "retab-async {" ".join(line)}"'
        options = ["--no-config", "-c"]
    else:
        # Completion needs a terminal; what the script calls is replaced by functions that print it.
        code = f"""
            compdef() {{ : }}; compset() {{ words[CURRENT]=${{words[CURRENT]#*=}} }}
            _files() {{ print -l ${{words[CURRENT]}}* }}
            compadd() {{ shift; print -l -- ${{(M)@:#${{words[CURRENT]}}*}} }}
            _describe() {{ print -l -- ${{(P)${{@[-1]}}}} | sed 's/\\([^\\\\]\\):.*/\\1/' }}
            source {script}; words=({words}); CURRENT={len(line) + 1}; _retab-async"""
        options = ["-f", "-c"]
    result = subprocess.run([shell, *options, code], capture_output=True, text=True, check=False)  # noqa: S603 - a shell
    # Of --name=value fish prints the whole word, the others the value.
    typed = line[-1].rpartition("=")[2]
    found = [printed.split("\t")[0].rpartition("=")[2] for printed in result.stdout.splitlines()]
    return sorted({word for word in found if word.startswith(typed) and word})


@pytest.mark.parametrize("shell", SHELLS)
def test_script_is_up_to_date(shell: str) -> None:
    assert (SCRIPTS / f"retab-async.{shell}").read_text() == scripts()[shell], (
        "python tests/completion_scripts.py writes it"
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_prints_the_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["completion", shell]) == 0

    assert capsys.readouterr().out == (SCRIPTS / f"retab-async.{shell}").read_text()


@pytest.mark.subprocess
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["spl"], ["splits"]),
        (["workflows", ""], ["evals", "experiments", "runs"]),
        (["workflows", "runs", "cancel"], ["cancel", "cancel-matching"]),
        (["completion", ""], SHELLS),
        (["splits", "list", "--order", ""], ["asc", "desc"]),
        (["splits", "list", "--fr"], ["--from-date"]),
        (["--env", "splits", "par"], ["parses", "partitions"]),
        (["--ve"], ["--verbose", "--version"]),
        (["splits", "create", "--model", "spl"], []),
        (["schemas", "wait", "--yes"], []),
    ],
    ids=" ".join,
)
def test_script_completes(shell: str, line: list[str], words: list[str]) -> None:
    assert words_after(shell, *line) == words


@pytest.mark.subprocess
@pytest.mark.parametrize(
    "line",
    [
        ["splits", "create", "bat"],
        ["splits", "cancel", "--from-file", "bat"],
        ["splits", "cancel", "--from-file=bat"],
        ["splits", "process", "--from-file", "bat"],
        ["cancel", "--shared", "bat"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("shell", ["fish", "zsh"])
def test_script_completes_files(shell: str, line: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("batch.pdf").touch()

    assert words_after(shell, *line) == ["batch.pdf"]


@pytest.mark.subprocess
@pytest.mark.parametrize("shell", SHELLS)
def test_script_completes_the_value_after_an_equals_sign(shell: str) -> None:
    # bash splits the word.
    words = ["--order", "=", "as"] if shell == "bash" else ["--order=as"]

    assert words_after(shell, "splits", "list", *words) == ["asc"]


@pytest.mark.subprocess
@pytest.mark.parametrize("words", [["--version"], ["completion", "bash"]], ids=" ".join)
def test_command_loads_neither_client_nor_rich(words: list[str]) -> None:
    code = f"""
import json, sys
sys.argv[1:] = {words!r}
from retab_async.__main__ import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours
    loaded = set(json.loads(result.stderr))

    assert result.stdout
    assert (
        not {
            "aiohttp",
            "asyncio",
            "attr",
            "cattrs",
            "rich",
            "retab_async.errors",
            "retab_async.client",
            "retab_async.resources",
        }
        & loaded
    )
