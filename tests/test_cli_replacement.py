"""Files that a command writes whole or not at all: what killed and concurrent commands leave."""

import sys
from pathlib import Path

import click
import pytest

from retab_async.cli.replacement import open_replacement


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_leftover_of_a_killed_command_is_taken_over(folder: Path) -> None:
    (folder / ".out.csv.tmp").write_bytes(b"a longer half of a file")

    with open_replacement("out.csv") as file:
        file.write(b"whole")

    assert (names(folder), (folder / "out.csv").read_bytes()) == (["out.csv"], b"whole")


def test_block_that_raises_keeps_the_file_and_leaves_nothing(folder: Path) -> None:
    (folder / "out.csv").write_bytes(b"before")

    def write_half() -> None:
        with open_replacement("out.csv") as file:
            file.write(b"half")
            raise LookupError

    with pytest.raises(LookupError):
        write_half()

    assert (names(folder), (folder / "out.csv").read_bytes()) == (["out.csv"], b"before")


def test_replaced_file_keeps_its_mode(folder: Path) -> None:
    (folder / "out.csv").touch(0o600)

    with open_replacement("out.csv") as file:
        file.write(b"new")

    assert (folder / "out.csv").stat().st_mode & 0o777 == 0o600


def test_file_that_another_command_is_writing_is_rejected(folder: Path) -> None:
    pytest.importorskip("fcntl")
    with open_replacement("out.csv") as file:
        file.write(b"first")
        with pytest.raises(click.UsageError, match="another command is writing it"), open_replacement("out.csv"):
            pass

    assert (names(folder), (folder / "out.csv").read_bytes()) == (["out.csv"], b"first")


def test_file_is_replaced_where_there_are_no_locks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)

    with open_replacement("out.csv") as file:
        file.write(b"whole")

    assert names(folder) == ["out.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_link_in_place_of_the_hidden_file_is_not_followed(folder: Path) -> None:
    (folder / "victim").write_bytes(b"kept")
    (folder / ".out.csv.tmp").symlink_to("victim")

    with pytest.raises(click.UsageError, match="cannot be written"), open_replacement("out.csv"):
        pass

    assert (folder / "victim").read_bytes() == b"kept"
