"""What the errors of the disk and of DuckDB are turned into."""

import errno

import duckdb
import pytest

from nextcart.errors import InputError, RunFailed, UnreadableInput
from nextcart.events.progress import watched
from nextcart.events.sources import reading, unreadable, writing_to
from nextcart.types import no_progress

FULL = "the disk is full .*; free some space on it, .* and run the same command again; the store is as it was"


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), RunFailed, FULL),
        (OSError(errno.EFBIG, "File too large"), RunFailed, FULL),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), RunFailed, FULL),
        (duckdb.IOException("Could not write: No space left on device"), RunFailed, FULL),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"), RunFailed, FULL),
        (duckdb.OutOfMemoryException("max_temp_directory_size reached"), RunFailed, FULL),
        (
            duckdb.OutOfMemoryException("no"),
            RunFailed,
            r"too little memory; raise ingest\.memory_limit_mib; the store is",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied"),
            RunFailed,
            "cannot be written .*; make the folder writable",
        ),
        (OSError(errno.EROFS, "Read-only file system"), RunFailed, "cannot be written .*; make the folder writable"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory"), InputError, "cannot be made .*; name another --store"),
        (FileExistsError(errno.EEXIST, "File exists"), InputError, "cannot be made .*; name another --store"),
        (OSError(errno.EIO, "Input/output error"), OSError, "Input/output error"),
        (duckdb.ParserException("syntax"), duckdb.ParserException, "syntax"),
    ],
)
def test_what_goes_wrong_while_a_store_is_written(tmp_path, error, kind, says):
    with pytest.raises(kind, match=says) as caught, writing_to(tmp_path / "store"):
        raise error
    assert caught.type is not RunFailed or str(tmp_path / "store") in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            duckdb.InvalidInputException("no magic bytes\nmore"),
            UnreadableInput,
            r"cannot be read \(.*bytes\); check that",
        ),
        (duckdb.InvalidInputException("Error when sniffing file"), UnreadableInput, "its CSV form cannot be made out"),
        (duckdb.IOException("No space left on device"), duckdb.IOException, "No space"),
    ],
)
def test_what_goes_wrong_while_a_raw_file_is_read(tmp_path, error, kind, says):
    with pytest.raises(kind, match=says), reading(tmp_path / "a.csv"):
        raise error


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file"), "there is no such file; check the path"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory"), "there is no such file; check the path"),
        (IsADirectoryError(errno.EISDIR, "Is a directory"), "this is a directory; name the files in it"),
        (PermissionError(errno.EACCES, "denied"), "permission denied; make the file readable for this user"),
        (OSError(errno.EIO, "Input/output error"), "cannot be read (Input/output error); check the path and the disk"),
    ],
)
def test_why_a_file_cannot_be_opened(error, says):
    assert unreadable(error) == says


def test_a_statement_tells_how_far_it_is_and_never_goes_back(monkeypatch):
    monkeypatch.setattr("nextcart.events.progress.POLL_SECONDS", 0.001)
    told = []
    with duckdb.connect() as connection, watched(connection, lambda *step: told.append(step), "count", 1000):
        connection.execute("set threads = 1")
        connection.execute("select sum(hash(i)) from range(60_000_000) as t(i)").fetchall()
    done = [step[1] for step in told]
    assert done == sorted(done)
    assert (told[0], told[-1]) == (("count", 0, 1000), ("count", 1000, 1000))


def test_a_statement_that_nobody_watches_has_no_thread(monkeypatch):
    monkeypatch.setattr("nextcart.events.progress.threading.Thread", None)
    with duckdb.connect() as connection, watched(connection, no_progress, "count", 1):
        assert connection.execute("select 1").fetchall() == [(1,)]


def test_a_statement_that_fails_has_not_ended(monkeypatch):
    told = []
    with (
        duckdb.connect() as connection,
        pytest.raises(duckdb.BinderException),
        watched(connection, lambda *step: told.append(step), "count", 5),
    ):
        connection.execute("select nothing")
    assert told == [("count", 0, 5)]
