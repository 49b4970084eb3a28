"""The journal of a bulk cancel: every entry is there again, however the job ended."""

# ruff: noqa: ASYNC240 - files are under test, and nothing else runs meanwhile

import asyncio
import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retab_async import JournalError, RetabError, RunStatus
from retab_async.journal import UPLOADED, Entry, Journal, JournalHeader, Settled
from retab_async.journal import entry as entry_module
from retab_async.journal import journal as journal_module
from retab_async.journal.entry import MAGIC, MAX_LINE_BYTES
from retab_async.models import MIMEData
from retab_async.settings import Credential

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DISK_FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
FINAL = ("cancelled", "finished", "not_found", "rejected")
HEADER = JournalHeader(("splits",), "https://api.test", "0")
HEAD = b'{"journal":"retab_async","version":1,"kinds":["splits"],"base_url":"https://api.test","credential":"0"}\n'
LINE = b'{"kind":"splits","run_id":"splt_1","disposition":"cancelled","final":true}\n'

Patch = pytest.MonkeyPatch


def entry(run_id: str = "splt_1", disposition: str = "cancelled", **more: Any) -> Entry:
    return Entry(**{"kind": "splits", "run_id": run_id, "disposition": disposition, "time": NOON, **more})


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Journal]:
    journal = await Journal.open(path, HEADER)
    try:
        yield journal
    finally:
        await journal.aclose()


async def written(path: Path, *entries: Entry) -> list[Any]:
    async with opened(path) as journal:
        for each in entries:
            journal.write(each)
    return lines_of(path)


def lines_of(path: Path) -> list[Any]:
    head, *lines = path.read_bytes().splitlines(keepends=True)
    assert head == HEAD
    return [json.loads(line) for line in lines]


def ids_of(path: Path) -> list[str]:
    return [line["run_id"] for line in lines_of(path)]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - files and threads give no event
            await asyncio.sleep(0.005)


async def failed(journal: Journal) -> JournalError:
    """Wait until the journal has failed, and return its error."""
    async with asyncio.timeout(10):
        while True:
            try:
                journal.check()
            except JournalError as error:
                return error
            await asyncio.sleep(0.005)


async def released(path: Path) -> Journal:
    """Open a journal as soon as the thread of the last one releases it."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await Journal.open(path, HEADER)
            except JournalError:
                await asyncio.sleep(0.005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cancel.jsonl"


@pytest.fixture
def fast_writes(monkeypatch: Patch) -> None:
    """Write every few milliseconds."""
    monkeypatch.setattr(journal_module, "_WRITE_INTERVAL", 0.005)


class TestWriting:
    async def test_an_entry_is_a_line_of_json(self, path: Path) -> None:
        await written(path, entry(status="cancelled", reason="on request"), entry("splt_2", "unconfirmed"))

        assert path.read_text() == HEAD.decode() + (
            '{"kind":"splits","run_id":"splt_1","disposition":"cancelled","final":true,"status":"cancelled",'
            '"reason":"on request","time":"2026-11-22T12:00:00Z"}\n'
            '{"kind":"splits","run_id":"splt_2","disposition":"unconfirmed","final":false,"status":null,'
            '"reason":"","time":"2026-11-22T12:00:00Z"}\n'
        )

    async def test_only_the_owner_can_read_a_new_journal(self, path: Path) -> None:
        # Independent of the umask of the test run.
        before = os.umask(0)
        try:
            await written(path)
        finally:
            os.umask(before)

        assert path.stat().st_mode & 0o777 == 0o600

    async def test_a_path_may_be_a_str(self, path: Path) -> None:
        journal = await Journal.open(str(path), HEADER)
        await journal.aclose()

        assert path.read_bytes() == HEAD

    @pytest.mark.usefixtures("fast_writes")
    async def test_entries_reach_the_file_while_the_job_runs(self, path: Path) -> None:
        async with opened(path) as journal:
            journal.write(entry("splt_1"))
            await until(lambda: len(lines_of(path)) == 1)
            journal.write(entry("splt_2"))
            await until(lambda: len(lines_of(path)) == 2)
            await until(lambda: not journal.unwritten)

        assert ids_of(path) == ["splt_1", "splt_2"]

    async def test_an_entry_is_unwritten_until_it_is_in_the_file(self, path: Path) -> None:
        async with opened(path) as journal:
            journal.write(entry())

            assert journal.unwritten == [entry()]
        assert journal.unwritten == []

    async def test_the_time_of_an_entry_defaults_to_now(self) -> None:
        made = Entry(kind="splits", run_id="splt_1", disposition="accepted")

        assert timedelta(0) <= datetime.now(UTC) - made.time < timedelta(seconds=60)

    async def test_times_are_written_in_utc(self, path: Path) -> None:
        moment = datetime(2026, 11, 22, 14, 0, 0, 500, tzinfo=timezone(timedelta(hours=2)))
        (line,) = await written(path, entry(time=moment))

        assert line["time"] == "2026-11-22T12:00:00.000500Z"

    async def test_an_unknown_status_is_written_unchanged(self, path: Path) -> None:
        lines = await written(path, entry(status=RunStatus.CANCELLED), entry(status=RunStatus("paused")))

        assert [line["status"] for line in lines] == ["cancelled", "paused"]

    async def test_a_reason_with_line_breaks_stays_on_one_line(self, path: Path) -> None:
        (line,) = await written(path, entry(reason="one\r\ntwo\x1b[31m\x00\u2028three"))

        assert line["reason"] == "one\r\ntwo\x1b[31m\x00\u2028three"
        assert b"\x1b" not in path.read_bytes()

    async def test_long_texts_are_truncated(self, path: Path) -> None:
        (line,) = await written(path, entry(reason="x" * 5_000_000, status="y" * 2_000))

        assert (len(line["reason"]), len(line["status"])) == (1_000, 1_000)

    async def test_a_lone_surrogate_is_escaped(self, path: Path) -> None:
        (line,) = await written(path, entry("a\udcff.pdf", "rejected"))

        assert line["run_id"] == "a\\udcff.pdf"
        async with opened(path) as journal:
            assert journal.settled("splits", "a\udcff.pdf")

    async def test_an_uploaded_file_has_its_own_key(self, path: Path) -> None:
        file = MIMEData(filename="a\ud800.pdf", url="https://storage.test/file_1.pdf")
        (line,) = await written(path, entry("", "uploaded", item="1", name="a", file=file))

        assert line["file"] == {"filename": "a\\ud800.pdf", "url": "https://storage.test/file_1.pdf"}
        assert line["final"] is False

    async def test_an_uploaded_file_is_never_truncated(self, path: Path) -> None:
        files = [
            MIMEData(filename=name, url="https://storage.test/" + url)
            for name, url in [("n" * 9_000, "x" * 9_000), ("\1" * 10_000, "\1" * 9_979), ("n", "x" * 10_000)]
        ]
        entries = [entry("", UPLOADED, item=str(number), name="a", file=file) for number, file in enumerate(files)]
        await written(path, *entries)

        assert max(map(len, path.read_bytes().splitlines())) < MAX_LINE_BYTES
        async with opened(path) as journal:
            assert [journal.uploaded_file(str(number)) for number in range(3)] == [*files[:2], None]

    async def test_flushed_entries_are_in_the_file(self, path: Path) -> None:
        async with opened(path) as journal:
            for number in range(3):
                journal.write(entry(f"splt_{number}"))
                await journal.flush()
                assert len(ids_of(path)) == number + 1

    async def test_flush_of_a_closed_journal_returns_at_once(self, path: Path) -> None:
        async with opened(path) as journal:
            journal.write(entry())
        await asyncio.wait_for(journal.flush(), 1)

        assert len(ids_of(path)) == 1

    async def test_entries_are_synced_to_the_disk_while_the_job_runs(self, path: Path, monkeypatch: Patch) -> None:
        synced: list[int] = []
        monkeypatch.setattr(journal_module, "_SYNC_INTERVAL", 0.01)
        monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
        async with opened(path) as journal:
            await asyncio.sleep(0.1)
            assert synced == []
            journal.write(entry())
            await until(lambda: synced)
            assert synced[0] > len(HEAD)
            await asyncio.sleep(0.1)
            assert len(synced) == 1

    async def test_entries_written_while_the_sync_thread_starts_are_synced(
        self, path: Path, monkeypatch: Patch
    ) -> None:
        synced: list[int] = []
        start = threading.Thread.start

        def grow_and_start(thread: threading.Thread) -> None:
            if thread.name == "retab_async journal sync":
                with path.open("ab") as file:
                    file.write(LINE)
            start(thread)

        monkeypatch.setattr(journal_module, "_SYNC_INTERVAL", 0.01)
        monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.fstat(file).st_size))
        monkeypatch.setattr(threading.Thread, "start", grow_and_start)
        async with opened(path):
            await until(lambda: synced)

    async def test_a_slow_fsync_does_not_hold_up_entries(self, path: Path, monkeypatch: Patch) -> None:
        gate = Gate(os.fsync)
        monkeypatch.setattr(journal_module, "_SYNC_INTERVAL", 0.01)
        monkeypatch.setattr(os, "fsync", gate)
        async with opened(path) as journal:
            journal.write(entry())
            await until(gate.reached.is_set)
            journal.write(entry("splt_2"))
            await journal.flush()

            assert ids_of(path) == ["splt_1", "splt_2"]
            gate.open.set()

    async def test_a_partial_write_is_continued(self, path: Path, monkeypatch: Patch) -> None:
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, piece: write(file, piece[:7]))

        assert [line["run_id"] for line in await written(path, entry("splt_1"), entry("splt_2"))] == [
            "splt_1",
            "splt_2",
        ]


class TestReopening:
    @pytest.mark.parametrize("disposition", FINAL)
    async def test_a_final_outcome_is_done(self, path: Path, disposition: str) -> None:
        await written(path, entry(disposition=disposition))

        async with opened(path) as journal:
            assert journal.settled("splits", "splt_1")
            assert not journal.settled("partitions", "splt_1")
            assert not journal.settled("splits", "splt_2")
            assert journal.counts == {disposition: 1}

    @pytest.mark.parametrize("disposition", ["accepted", "unconfirmed"])
    async def test_an_outcome_that_is_not_final_is_not_done(self, path: Path, disposition: str) -> None:
        await written(path, entry(disposition=disposition))

        async with opened(path) as journal:
            assert not journal.settled("splits", "splt_1")
            assert journal.counts == Counter()

    async def test_an_outcome_that_became_final_later_counts_once(self, path: Path) -> None:
        await written(path, entry(disposition="unconfirmed"), entry("splt_2", "finished"))
        await written(path, entry(disposition="accepted"), entry("splt_3"))
        await written(path, entry())

        async with opened(path) as journal:
            assert journal.counts == {"cancelled": 2, "finished": 1}

    async def test_an_entry_is_done_only_after_reopening(self, path: Path) -> None:
        async with opened(path) as journal:
            journal.write(entry())

            assert not journal.settled("splits", "splt_1")
            assert journal.counts == {}

    async def test_kind_and_id_are_not_concatenated(self, path: Path) -> None:
        await written(path, entry("c", kind="ab"))

        async with opened(path) as journal:
            assert not journal.settled("a", "bc")

    async def test_uploaded_file_of_a_document_is_known_until_it_is_settled(self, path: Path) -> None:
        file = MIMEData(filename="a.pdf", url="https://storage.test/file_1.pdf")
        await written(path, *(entry("", "uploaded", item=item, name="a", file=file) for item in "12"))
        await written(path, entry("splt_1", "completed", item="1", name="a", final=True))

        async with opened(path) as journal:
            assert (journal.uploaded_file("1"), journal.uploaded_file("2")) == (None, file)
            assert journal.counts == {"completed": 1}

    @pytest.mark.parametrize("file", [None, "a", [], {}, {"filename": "a"}, {"filename": "a", "url": 1}])
    async def test_malformed_file_is_ignored(self, path: Path, file: object) -> None:
        line = {"kind": "splits", "run_id": "", "disposition": "uploaded", "final": False, "item": "1", "file": file}
        path.write_bytes(HEAD + json.dumps(line).encode() + b"\n")

        async with opened(path) as journal:
            assert journal.uploaded_file("1") is None

    async def test_many_ids_are_found_again(self, path: Path) -> None:
        await written(path, *(entry(f"splt_{number}") for number in range(2_000)))

        async with opened(path) as journal:
            assert all(journal.settled("splits", f"splt_{number}") for number in range(2_000))
            assert not any(journal.settled("splits", f"splt_{number}") for number in range(2_000, 4_000))

    async def test_unknown_keys_are_ignored(self, path: Path) -> None:
        path.write_bytes(HEAD + LINE.replace(b"}", b',"later":[1]}'))

        async with opened(path) as journal:
            assert journal.settled("splits", "splt_1")

    async def test_crlf_line_ends_are_read(self, path: Path) -> None:
        path.write_bytes(HEAD + LINE.replace(b"\n", b"\r\n"))

        async with opened(path) as journal:
            assert journal.settled("splits", "splt_1")


ENTRIES = st.lists(
    st.builds(
        Entry,
        kind=st.sampled_from(["splits", "partitions"]),
        run_id=st.text(max_size=8),
        disposition=st.sampled_from([*FINAL, "accepted", "unconfirmed"]),
        status=st.none() | st.text(st.characters(), max_size=4),
        reason=st.text(st.characters(), max_size=8),
    ),
    max_size=6,
)


class TestTornLines:
    @pytest.mark.slow
    @given(entries=ENTRIES, data=st.data())
    @settings(max_examples=50, deadline=None)
    async def test_a_file_truncated_anywhere_keeps_its_whole_lines(
        self, entries: list[Entry], data: st.DataObject
    ) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "cancel.jsonl")
            await written(path, *entries)
            content = path.read_bytes()
            cut = data.draw(st.just(0) | st.integers(len(MAGIC), len(content)))
            path.write_bytes(content[:cut])
            whole = entries[: max(0, content[:cut].count(b"\n") - 1)]
            done = [each for each in entries[: len(whole)] if each.disposition in FINAL]

            async with opened(path) as journal:
                assert journal.counts == Counter(each.disposition for each in done)
                keys = {(each.kind, each.run_id) for each in done}
                for each in entries:
                    assert bool(journal.settled(each.kind, each.run_id)) == ((each.kind, each.run_id) in keys)
                journal.write(entry("new"))
            assert ids_of(path) == [*(each.run_id for each in whole), "new"]

    @pytest.mark.parametrize("end", [b"\0" * 5_000, b"\n", b'{"kind":"sp\n', b"\xff", LINE[:-1], b"{}"])
    async def test_a_torn_last_line_is_dropped(self, path: Path, end: bytes) -> None:
        path.write_bytes(HEAD + LINE + end)
        async with opened(path) as journal:
            assert journal.counts == {"cancelled": 1}

        assert path.read_bytes() == HEAD + LINE

    @pytest.mark.parametrize(
        "line",
        [
            b"garbage",
            b"",
            b"{",
            b"[]",
            b"null",
            b"\0",
            b'{"run_id":"splt_1","disposition":"cancelled"}',
            b'{"kind":"splits","run_id":1,"disposition":"cancelled"}',
            b'{"kind":"splits","run_id":"splt_1","disposition":["cancelled"]}',
        ],
    )
    async def test_an_invalid_line_in_the_middle_is_reported_by_its_number(self, path: Path, line: bytes) -> None:
        content = HEAD + LINE + line + b"\n" + LINE
        path.write_bytes(content)
        with pytest.raises(JournalError) as caught:
            await Journal.open(path, HEADER)

        assert str(caught.value) == f"journal {str(path)!r} cannot be opened: line 3 is not an entry of a journal"
        assert path.read_bytes() == content

    async def test_a_complete_foreign_line_is_not_dropped(self, path: Path) -> None:
        content = HEAD + LINE + b'{"note": "see the other list"}\n'
        path.write_bytes(content)
        with pytest.raises(JournalError, match="line 3 is not an entry"):
            await Journal.open(path, HEADER)

        assert path.read_bytes() == content

    @pytest.mark.parametrize(
        "content",
        [
            b"splt_01G34H8J2K",
            b"splt_01G34H8J2K\n",
            b"{",
            b"[]",
            b'{"id": "splt_1"',
            b'{"id": "splt_1"}',
            b'{"kind":"',
            HEAD[:20],
            b" " + HEAD,
            LINE,
            b"id,status\n",
        ],
    )
    async def test_a_file_that_is_no_journal_is_left_alone(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(JournalError, match="it is not a journal of this library and not empty"):
            await Journal.open(path, HEADER)

        assert path.read_bytes() == content

    async def test_an_endless_line_is_not_read_to_its_end(self, path: Path) -> None:
        path.write_bytes(HEAD + LINE[:-3] + b"x" * 2_000_000)

        with pytest.raises(JournalError, match="line 2 is not an entry") as caught:
            await Journal.open(path, HEADER)
        assert len(str(caught.value)) < 500


class TestOtherJobs:
    @pytest.mark.parametrize(
        ("job", "reason"),
        [
            (HEADER._replace(kinds=("partitions",)), "it belongs to a job on splits, not on partitions"),
            (
                HEADER._replace(base_url="https://b.test"),
                "it belongs to a job on https://api.test, not on https://b.test",
            ),
            (HEADER._replace(credential="1"), "it belongs to a job with another API key or token"),
        ],
    )
    async def test_a_journal_that_settled_ids_of_another_job_is_rejected(
        self, path: Path, job: JournalHeader, reason: str
    ) -> None:
        await written(path, entry())
        content = path.read_bytes()
        with pytest.raises(JournalError) as caught:
            await Journal.open(path, job)

        assert str(caught.value) == f"journal {str(path)!r} cannot be opened: {reason}: choose another file"
        assert path.read_bytes() == content

    async def test_a_journal_with_only_uploads_of_another_job_is_rejected(self, path: Path) -> None:
        file = MIMEData(filename="a.pdf", url="https://storage.test/file_1.pdf")
        await written(path, entry("", UPLOADED, item="1", name="a", file=file))
        content = path.read_bytes()
        with pytest.raises(JournalError, match="another API key"):
            await Journal.open(path, HEADER._replace(credential="1"))

        assert path.read_bytes() == content

    async def test_a_job_with_another_key_takes_over_a_journal_without_settled_ids(self, path: Path) -> None:
        await written(path, entry("splt_1", "rejected", final=False), entry("splt_2", "unconfirmed"))
        other = HEADER._replace(credential="1")
        journal = await Journal.open(path, other)
        journal.write(entry("splt_3"))
        await journal.aclose()

        with pytest.raises(JournalError, match="another API key"):
            await Journal.open(path, HEADER)
        journal = await Journal.open(path, other)
        assert journal.settled("splits", "splt_1") is None
        assert journal.settled("splits", "splt_3") == Settled("cancelled")
        await journal.aclose()

    async def test_a_job_of_any_kind_continues_a_journal_of_one_kind(self, path: Path) -> None:
        await written(path, entry())
        journal = await Journal.open(path, HEADER._replace(kinds=()))
        await journal.aclose()

        assert journal.settled("splits", "splt_1")

    @pytest.mark.parametrize(
        ("head", "reason"),
        [
            (HEAD.replace(b"1", b"2", 1), "its format is of another version than 1"),
            (HEAD.replace(b'"version":1', b'"version":[[]]'), "its format is of another version than 1"),
            (HEAD.replace(b'["splits"]', b"[7]"), "not a journal of this library"),
            (HEAD.replace(b'["splits"]', b"7"), "not a journal of this library"),
            (HEAD.replace(b'"0"', b"null"), "not a journal of this library"),
        ],
    )
    async def test_an_unknown_header_is_rejected(self, path: Path, head: bytes, reason: str) -> None:
        path.write_bytes(head)
        with pytest.raises(JournalError, match=reason):
            await Journal.open(path, HEADER)

        assert path.read_bytes() == head

    async def test_failures_are_loaded_with_their_reason(self, path: Path) -> None:
        await written(
            path,
            entry("splt_1", "rejected", reason="status 409"),
            entry("splt_2", "rejected", reason="status 401", final=False),
            entry("splt_3", "not_found", reason="status 404"),
            entry("splt_4", "finished", reason="completed"),
        )

        async with opened(path) as journal:
            assert journal.settled("splits", "splt_1") == Settled("rejected", "status 409")
            assert journal.settled("splits", "splt_2") is None
            assert journal.settled("splits", "splt_4") == Settled("finished")
            assert journal.counts == {"rejected": 1, "not_found": 1, "finished": 1}

    def test_no_credential_is_in_a_header(self) -> None:
        key = "sk_live_0123456789"
        first, second = (Credential("Api-Key", each, each).fingerprint for each in (key, f"{key}1"))

        assert key not in first
        assert first != second
        assert first == Credential("Authorization", f"Bearer {key}", key).fingerprint


class TestUnusablePaths:
    async def test_a_directory_is_rejected(self, tmp_path: Path) -> None:
        with pytest.raises(JournalError) as caught:
            await Journal.open(tmp_path, HEADER)

        assert str(caught.value) == f"journal {str(tmp_path)!r} cannot be opened: Is a directory"
        assert isinstance(caught.value, RetabError)
        assert isinstance(caught.value, OSError)
        assert isinstance(caught.value.__cause__, IsADirectoryError)

    async def test_a_missing_directory_is_rejected(self, tmp_path: Path) -> None:
        with pytest.raises(JournalError, match="cannot be opened: No such file or directory"):
            await Journal.open(tmp_path / "away" / "cancel.jsonl", HEADER)

    async def test_a_path_with_a_null_byte_is_rejected(self) -> None:
        with pytest.raises(JournalError, match=r"journal 'a\\x00b' cannot be opened: .*null"):
            await Journal.open("a\0b", HEADER)

    @pytest.mark.parametrize("device", ["/dev/full", "/dev/null"])
    async def test_a_device_is_rejected(self, device: str) -> None:
        with pytest.raises(JournalError, match="it is no regular file"):
            await Journal.open(device, HEADER)

    async def test_a_pipe_is_rejected(self, path: Path) -> None:
        os.mkfifo(path)

        with pytest.raises(JournalError, match="it is no regular file"):
            await Journal.open(path, HEADER)

    async def test_a_file_of_another_user_is_rejected(self, path: Path, monkeypatch: Patch) -> None:
        def refuse(*_: object) -> int:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(os, "open", refuse)

        with pytest.raises(JournalError, match="cannot be opened: Permission denied"):
            await Journal.open(path, HEADER)

    async def test_a_system_without_file_locks_is_rejected(self, path: Path, monkeypatch: Patch) -> None:
        monkeypatch.setitem(sys.modules, "fcntl", None)

        with pytest.raises(JournalError, match="journals need a POSIX system"):
            await Journal.open(path, HEADER)
        assert not path.exists()


class TestOneJobAJournal:
    async def test_a_second_job_in_this_process_is_rejected(self, path: Path) -> None:
        async with opened(path) as journal:
            journal.write(entry())
            with pytest.raises(JournalError, match=r"another job is writing it"):
                await Journal.open(path, HEADER)
        async with opened(path) as journal:
            assert journal.settled("splits", "splt_1")

    async def test_a_journal_of_another_process_is_rejected(self, path: Path) -> None:
        await written(path)
        with holding(path), pytest.raises(JournalError) as caught:
            await Journal.open(path, HEADER)

        assert str(caught.value) == f"journal {str(path)!r} cannot be opened: another job is writing it"

    async def test_a_child_that_outlives_the_job_does_not_keep_the_lock(self, path: Path) -> None:
        async with opened(path):
            files = [int(name) for name in os.listdir("/proc/self/fd") if points_to(name, path)]  # noqa: PTH208 - numbers
            child = subprocess.Popen(["sleep", "60"], pass_fds=files)  # noqa: ASYNC220, S607 - it inherits the descriptor
        try:
            assert await written(path) == []
        finally:
            child.kill()
            child.wait()

    async def test_a_killed_job_releases_its_lock(self, path: Path) -> None:
        with holding(path):
            pass

        assert await written(path) == []


def points_to(name: str, path: Path) -> bool:
    link = Path("/proc/self/fd", name)
    return link.is_symlink() and link.readlink() == path


@contextmanager
def holding(path: Path) -> Iterator[int]:
    """Hold a journal in another process, which is killed at the end."""
    code = f"""
import asyncio
from retab_async.journal import Journal, JournalHeader

async def main():
    journal = await Journal.open({str(path)!r}, JournalHeader(("splits",), "https://api.test", "0"))
    print("open", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:  # noqa: S603 - our own code
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"open\n"
            yield process.pid
        finally:
            process.kill()


@pytest.mark.usefixtures("fast_writes")
class TestFailing:
    async def test_a_full_disk_is_reported_with_the_unwritten_entries(
        self, path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
    ) -> None:
        await written(path, entry("splt_0"))
        write = os.write

        def fill(file: int, piece: bytes) -> int:
            if len(piece) < 100:
                raise DISK_FULL
            return write(file, piece[:-50])

        journal = await Journal.open(path, HEADER)
        monkeypatch.setattr(os, "write", fill)
        journal.write(entry("splt_1"))
        error = await failed(journal)
        with pytest.raises(JournalError) as caught:
            journal.write(entry("splt_2"))
        with pytest.raises(JournalError):
            await journal.aclose()

        with pytest.raises(JournalError):
            await journal.flush()

        assert str(caught.value) == f"journal {str(path)!r} cannot be written: No space left on device"
        assert caught.value.__cause__ is DISK_FULL
        assert error is not caught.value
        assert [each.run_id for each in journal.unwritten] == ["splt_1", "splt_2"]
        assert ids_of(path) == ["splt_0"]
        assert caplog.messages == [f"{caught.value}; entries that are not in it: 1"]

    async def test_a_torn_line_that_cannot_be_truncated_is_dropped_on_reopening(
        self, path: Path, monkeypatch: Patch
    ) -> None:
        write = os.write

        def tear(file: int, piece: bytes) -> int:
            if len(piece) < 100:
                raise DISK_FULL
            return write(file, piece[:-50])

        def refuse(*_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        journal = await Journal.open(path, HEADER)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", tear)
            patch.setattr(os, "ftruncate", refuse)
            for number in range(3):
                journal.write(entry(f"splt_{number}"))
            assert "No space left" in str(await failed(journal))
            with pytest.raises(JournalError):
                await journal.aclose()
        unwritten = [each.run_id for each in journal.unwritten]

        assert "splt_2" in unwritten
        assert not path.read_bytes().endswith(b"\n")
        assert len(await written(path, *journal.unwritten)) >= len(unwritten)
        assert {"splt_0", "splt_1", "splt_2"} == set(ids_of(path))

    async def test_a_file_size_limit_leaves_whole_lines(self, path: Path) -> None:
        entries = [entry(f"splt_{number}") for number in range(200)]
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        journal = await Journal.open(path, HEADER)
        # Python ignores the signal that comes with it.
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
        try:
            for number, each in enumerate(entries):
                with suppress_journal_error():
                    journal.write(each)
                if number % 20 == 0:
                    await asyncio.sleep(0.02)
            error = await failed(journal)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        with pytest.raises(JournalError):
            await journal.aclose()

        assert "File too large" in str(error)
        assert 0 < path.stat().st_size <= 10_000
        assert [*ids_of(path), *(each.run_id for each in journal.unwritten)] == [each.run_id for each in entries]

    async def test_a_failed_fsync_is_reported_while_the_job_runs(self, path: Path, monkeypatch: Patch) -> None:
        def refuse(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(journal_module, "_SYNC_INTERVAL", 0.01)
        monkeypatch.setattr(os, "fsync", refuse)
        journal = await Journal.open(path, HEADER)
        journal.write(entry())

        assert "cannot be written: Input/output error" in str(await failed(journal))
        with pytest.raises(JournalError):
            await journal.aclose()

    async def test_after_a_failed_fsync_no_entry_is_written(
        self, path: Path, monkeypatch: Patch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        gate = Gate(refuse)
        monkeypatch.setattr(journal_module, "_SYNC_INTERVAL", 0.01)
        journal = await Journal.open(path, HEADER)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", gate)
            journal.write(entry("splt_1"))
            await journal.flush()
            await until(lambda: not journal.unwritten)
            gate.open.set()
            error = await failed(journal)
        with pytest.raises(JournalError, match="Input/output error"):
            journal.write(entry("splt_2"))
        with pytest.raises(JournalError, match="Input/output error"):
            await journal.flush()
        with pytest.raises(JournalError, match="Input/output error"):
            await journal.aclose()

        assert (ids_of(path), journal.unwritten) == (["splt_1"], [entry("splt_2")])
        assert caplog.messages == [f"{error}; entries that are not in it: 0"]

    async def test_a_failed_size_check_is_reported_like_a_failed_fsync(self, path: Path, monkeypatch: Patch) -> None:
        fstat = os.fstat

        def refuse(file: int) -> os.stat_result:
            if threading.current_thread().name == "retab_async journal sync":
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return fstat(file)

        monkeypatch.setattr(journal_module, "_SYNC_INTERVAL", 0.01)
        monkeypatch.setattr(os, "fstat", refuse)
        journal = await Journal.open(path, HEADER)

        assert "cannot be written: Input/output error" in str(await failed(journal))
        with pytest.raises(JournalError):
            await journal.aclose()

    async def test_a_failed_write_is_reported_during_a_slow_fsync(self, path: Path, monkeypatch: Patch) -> None:
        syncing, writing = Gate(os.fsync), Gate(refuse_to_write)
        monkeypatch.setattr(journal_module, "_SYNC_INTERVAL", 0.01)
        monkeypatch.setattr(os, "fsync", syncing)
        journal = await Journal.open(path, HEADER)
        journal.write(entry("splt_1"))
        await until(syncing.reached.is_set)
        monkeypatch.setattr(journal_module, "append", writing)
        journal.write(entry("splt_2"))
        await until(writing.reached.is_set)
        flush = asyncio.create_task(journal.flush())
        await asyncio.sleep(0)
        writing.open.set()

        async with asyncio.timeout(5):
            with pytest.raises(JournalError, match="No space left"):
                await flush
            with pytest.raises(JournalError, match="No space left"):
                await journal.flush()
        with pytest.raises(JournalError, match="No space left"):
            journal.write(entry("splt_3"))
        syncing.open.set()
        with pytest.raises(JournalError, match="No space left"):
            await journal.aclose()
        assert [each.run_id for each in journal.unwritten] == ["splt_2", "splt_3"]

    async def test_a_failed_fsync_is_raised_by_aclose(self, path: Path, monkeypatch: Patch) -> None:
        def refuse(_: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        monkeypatch.setattr(os, "fsync", refuse)
        journal = await Journal.open(path, HEADER)

        for _ in range(2):
            with pytest.raises(JournalError, match="cannot be written: Input/output error"):
                await journal.aclose()

    async def test_flush_in_progress_is_ended_by_a_failed_write(self, path: Path, monkeypatch: Patch) -> None:
        gate = Gate(refuse_to_write)
        monkeypatch.setattr(journal_module, "append", gate)
        journal = await Journal.open(path, HEADER)
        journal.write(entry())
        await until(gate.reached.is_set)
        flush = asyncio.create_task(journal.flush())
        await asyncio.sleep(0)
        gate.open.set()

        with pytest.raises(JournalError, match="No space left"):
            await flush

    async def test_a_removed_journal_is_reported(self, path: Path) -> None:
        journal = await Journal.open(path, HEADER)
        path.unlink()

        assert "the file was removed meanwhile" in str(await failed(journal))
        with pytest.raises(JournalError):
            journal.write(entry())
        assert journal.unwritten == [entry()]
        with pytest.raises(JournalError):
            await journal.aclose()

    async def test_an_unexpected_exception_is_reported_as_a_journal_error(self, path: Path, monkeypatch: Patch) -> None:
        def fail(_: int, batch: bytes, __: int) -> None:
            if batch:
                raise MemoryError

        monkeypatch.setattr(journal_module, "append", fail)
        journal = await Journal.open(path, HEADER)
        journal.write(entry())

        assert "cannot be written: MemoryError" in str(await failed(journal))
        assert journal.unwritten == [entry()]


def refuse_to_write(*_: object) -> None:
    raise DISK_FULL


@contextmanager
def suppress_journal_error() -> Iterator[None]:
    try:
        yield
    except JournalError as error:
        assert "cannot be written" in str(error)  # noqa: PT017 - either is right


class Gate:
    """A function that blocks in its thread until the gate is open."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self._function = function

    def __call__(self, *args: Any) -> Any:
        self.reached.set()
        assert self.open.wait(10)
        return self._function(*args)


class TestClosing:
    async def test_closing_twice_is_harmless(self, path: Path) -> None:
        async with opened(path) as journal:
            journal.write(entry())
            await asyncio.gather(journal.aclose(), journal.aclose())

        assert ids_of(path) == ["splt_1"]

    async def test_writing_after_closing_raises(self, path: Path) -> None:
        async with opened(path) as journal:
            pass

        with pytest.raises(JournalError, match="cannot be written: it is closed"):
            journal.write(entry())

    async def test_no_thread_is_left_after_closing(self, path: Path) -> None:
        await written(path, entry())
        with pytest.raises(JournalError):
            await Journal.open(path / "below", HEADER)
        await until(lambda: "retab_async journal" not in {thread.name for thread in threading.enumerate()})

    async def test_everything_is_written_though_the_closing_task_is_cancelled(self, path: Path) -> None:
        async def leave() -> None:
            journal = await Journal.open(path, HEADER)
            journal.write(entry())
            # As in a cancelled scope of anyio's: the next await raises.
            if task := asyncio.current_task():
                task.cancel()
            await journal.aclose()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(leave())

        await (await released(path)).aclose()
        assert ids_of(path) == ["splt_1"]

    async def test_a_write_in_progress_continues_when_the_closing_task_is_cancelled(
        self, path: Path, monkeypatch: Patch
    ) -> None:
        gate = Gate(journal_module.append)
        monkeypatch.setattr(journal_module, "append", gate)
        journal = await Journal.open(path, HEADER)
        journal.write(entry())
        closing = asyncio.create_task(journal.aclose())
        await until(gate.reached.is_set)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        gate.open.set()
        await journal.aclose()

        assert ids_of(path) == ["splt_1"]

    @pytest.mark.usefixtures("fast_writes")
    async def test_the_loop_is_not_blocked_by_a_slow_write(self, path: Path, monkeypatch: Patch) -> None:
        gate = Gate(journal_module.append)
        monkeypatch.setattr(journal_module, "append", gate)
        async with opened(path) as journal:
            journal.write(entry("splt_1"))
            await until(gate.reached.is_set)
            journal.write(entry("splt_2"))

            assert [each.run_id for each in journal.unwritten] == ["splt_1", "splt_2"]
            gate.open.set()
        assert ids_of(path) == ["splt_1", "splt_2"]

    async def test_a_cancelled_open_releases_the_file(self, path: Path, monkeypatch: Patch) -> None:
        path.write_bytes(HEAD + LINE * 100)
        gate = Gate(entry_module.decode_line)
        with monkeypatch.context() as patch:
            patch.setattr(journal_module, "decode_line", gate)
            opening = asyncio.create_task(Journal.open(path, HEADER))
            await until(gate.reached.is_set)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            gate.open.set()
            journal = await released(path)

        assert journal.counts == {"cancelled": 100}
        await journal.aclose()


WRITER = """
import asyncio
import sys
import time
from retab_async.journal import Entry, Journal, JournalHeader

async def main(path, count):
    journal = await Journal.open(path, JournalHeader(("splits",), "https://api.test", "0"))
    for number in range(count):
        journal.write(Entry(kind="splits", run_id=f"splt_{number}", disposition="cancelled", reason="x" * 99))
        if number % 5 == 0:
            print(number, time.monotonic(), flush=True)
            await asyncio.sleep(0.001)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


class TestProcesses:
    @pytest.mark.slow
    @pytest.mark.subprocess
    async def test_a_killed_job_loses_at_most_milliseconds(self, path: Path) -> None:
        command = [sys.executable, "-c", WRITER, str(path), "100000000"]
        progress: list[tuple[int, float]] = []
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220, S603 - our own code
            assert process.stdout is not None
            for line in process.stdout:
                number, when = line.split()
                progress.append((int(number), float(when)))
                if progress[-1][1] - progress[0][1] > 2:
                    process.kill()
        early = [number for number, when in progress if when < progress[-1][1] - 0.3]
        whole = path.read_bytes().count(b"\n") - 1

        assert process.returncode == -signal.SIGKILL
        assert whole > max(early)
        async with opened(path) as journal:
            assert journal.counts == {"cancelled": whole}
            journal.write(entry(f"splt_{whole}"))
        assert ids_of(path) == [f"splt_{number}" for number in range(whole + 1)]

    def test_a_job_that_never_closes_its_journal_ends_and_loses_nothing(self, path: Path) -> None:
        command = [sys.executable, "-c", WRITER, str(path), "120"]
        subprocess.run(command, check=True, capture_output=True, timeout=30)  # noqa: S603 - our own code

        assert ids_of(path) == [f"splt_{number}" for number in range(120)]
