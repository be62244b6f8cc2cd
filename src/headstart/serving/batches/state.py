"""Files and batches of a server on disk: `headstart serve --state FOLDER`.

Contents of files are files; what is known of files and batches, and the answers of batches that are not whole
yet, is in SQLite, which has each answer as soon as it is there. One server has a folder.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import time
from typing import Any
from uuid import uuid4

from headstart.errors import HeadstartError
from headstart.folder import LOCK, atomic
from headstart.lock import locked
from headstart.serving.request_error import RequestError
from headstart.serving.settings import Limits

DATABASE = "state.sqlite3"
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY, endpoint TEXT NOT NULL, input_file_id TEXT NOT NULL, completion_window TEXT NOT NULL,
    metadata TEXT, status TEXT NOT NULL, created_at INTEGER NOT NULL, total INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
    answer_bytes INTEGER NOT NULL DEFAULT 0, in_progress_at INTEGER,
    finalizing_at INTEGER, completed_at INTEGER, failed_at INTEGER,
    cancelling_at INTEGER, cancelled_at INTEGER,
    output_file_id TEXT, error_file_id TEXT, errors TEXT);
CREATE TABLE IF NOT EXISTS answers (
    batch TEXT NOT NULL, place INTEGER NOT NULL, failed INTEGER NOT NULL, answer BLOB NOT NULL,
    PRIMARY KEY (batch, place));
"""
OPEN = ("validating", "in_progress", "finalizing", "cancelling")
"""What a batch is until it has ended."""


@dataclass(frozen=True)
class StoredFile:
    """What is known of a file."""

    id: str
    filename: str
    purpose: str
    bytes: int
    created_at: int


@dataclass(frozen=True)
class Batch:
    """What is known of a batch."""

    id: str
    endpoint: str
    input_file_id: str
    completion_window: str
    metadata: str | None
    """JSON."""
    status: str
    created_at: int
    total: int = 0
    completed: int = 0
    failed: int = 0
    answer_bytes: int = 0
    """Of answers that are in no file yet."""
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: str | None = None
    """JSON."""


class State:
    """What a server keeps. Used from one event loop alone, but for `write_answers`."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        """
        Raises:
            HeadstartError: another server has the folder, it is none, or it holds something else.
        """
        self.folder, self.limits = folder, limits
        if folder.exists() and not folder.is_dir():
            raise HeadstartError(f"--state {folder} is no folder; name an empty or a new one")
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as held:
            held.enter_context(locked(folder / LOCK, folder))
            others = sorted(path.name for path in folder.iterdir() if path.name != LOCK)
            if others and DATABASE not in others:
                raise HeadstartError(
                    f"--state {folder} holds other files ({', '.join(others[:4])}); name an empty or a new "
                    "folder"
                )
            try:
                self._database = held.enter_context(closing(self._connect()))
                self._database.executescript(SCHEMA)
                known = {row["id"] for row in self._database.execute("SELECT id FROM files")}
            except sqlite3.DatabaseError as error:
                raise HeadstartError(
                    f"{folder / DATABASE} cannot be read ({error}); put a copy of it back, or name another "
                    "folder"
                ) from None
            (folder / "files").mkdir(exist_ok=True)
            for path in (folder / "files").iterdir():
                if path.name not in known:  # left by a process that was killed
                    path.unlink()
            self._held = held.pop_all()

    def close(self) -> None:
        """Let another server have the folder."""
        self._held.close()

    # --- Files ----------------------------------------------------------------------------------------

    def path(self, identity: str) -> Path:
        """Where the content of a file is."""
        return self.folder / "files" / identity

    def add_file(self, content: bytes, filename: str, purpose: str) -> StoredFile:
        """Keep a file.

        Raises:
            RequestError: there are too many, or no room.
        """
        (count,) = self._database.execute("SELECT COUNT(*) FROM files").fetchone()
        if count >= self.limits.files:
            raise RequestError(
                400, "storage_full", f"there are {count:,} files already; delete some at /v1/files"
            )
        self.refuse_full(len(content))
        identity = f"file-{uuid4().hex}"
        with atomic(self.path(identity)) as temporary:
            temporary.write_bytes(content)
        try:
            with self._database:
                return self._enter(identity, filename, purpose)
        except BaseException:
            self.path(identity).unlink()
            raise

    def file(self, identity: str) -> StoredFile:
        """What is known of a file.

        Raises:
            RequestError: there is none of that name.
        """
        row = self._row("SELECT * FROM files WHERE id = ?", identity)
        if row is None:
            raise RequestError(404, "file_not_found", f"there is no file {identity[:100]!r}", "file_id")
        return StoredFile(**row)

    def files(self, purpose: str | None) -> list[StoredFile]:
        """All of a purpose, or all, the newest first."""
        found = self._database.execute(
            "SELECT * FROM files WHERE ?1 IS NULL OR purpose = ?1 ORDER BY created_at DESC, rowid DESC",
            (purpose,),
        )
        return [StoredFile(**row) for row in found]

    def delete_file(self, identity: str) -> None:
        """Delete a file.

        Raises:
            RequestError: there is none of that name, or a batch reads it.
        """
        self.file(identity)
        marks = ", ".join("?" * len(OPEN))
        reading = f"SELECT id FROM batches WHERE input_file_id = ? AND status IN ({marks})"
        if (batch := self._row(reading, identity, *OPEN)) is not None:
            raise RequestError(
                409, "file_in_use", f"{batch['id']} reads the file; cancel it, or wait for its end", "file_id"
            )
        with self._database:
            self._database.execute("DELETE FROM files WHERE id = ?", (identity,))
        self.path(identity).unlink(missing_ok=True)

    def refuse_full(self, more: int) -> None:
        """Refuse to keep so many bytes more than there may be.

        Raises:
            RequestError: see above.
        """
        (files,) = self._database.execute("SELECT COALESCE(SUM(bytes), 0) FROM files").fetchone()
        (answers,) = self._database.execute("SELECT COALESCE(SUM(answer_bytes), 0) FROM batches").fetchone()
        if files + answers + more > self.limits.state_bytes:
            raise RequestError(
                400,
                "storage_full",
                f"files may take {self.limits.state_bytes:,} bytes together; delete some at /v1/files",
            )

    # --- Batches --------------------------------------------------------------------------------------

    def add_batch(
        self, endpoint: str, input_file: str, window: str, metadata: Mapping[str, str] | None
    ) -> Batch:
        """Take a batch up; the oldest that have ended are forgotten beyond the limit.

        Raises:
            RequestError: there is no such file, or too many batches wait.
        """
        self.file(input_file)
        waiting = sum(one.status in OPEN for one in self.batches())
        if waiting >= self.limits.batches:
            raise RequestError(429, "queue_full", f"{waiting} batches are waiting already; ask again later")
        said = None if metadata is None else json.dumps(metadata)
        made = Batch(f"batch_{uuid4().hex}", endpoint, input_file, window, said, "validating", int(time()))
        names = ", ".join(field.name for field in fields(Batch))
        marks = ", ".join("?" * len(fields(Batch)))
        ended = [one.id for one in self.batches() if one.status not in OPEN][self.limits.batches :]
        with self._database:
            self._database.execute(
                f"INSERT INTO batches ({names}) VALUES ({marks})", tuple(asdict(made).values())
            )
            self._database.executemany("DELETE FROM batches WHERE id = ?", [(one,) for one in ended])
        return made

    def batch(self, identity: str) -> Batch:
        """What is known of a batch.

        Raises:
            RequestError: there is none of that name.
        """
        row = self._row("SELECT * FROM batches WHERE id = ?", identity)
        if row is None:
            raise RequestError(404, "batch_not_found", f"there is no batch {identity[:100]!r}", "batch_id")
        return Batch(**row)

    def batches(self) -> list[Batch]:
        """All of them, the newest first."""
        found = self._database.execute("SELECT * FROM batches ORDER BY created_at DESC, rowid DESC")
        return [Batch(**row) for row in found]

    def next_batch(self) -> Batch | None:
        """The oldest that has not ended."""
        return next((one for one in reversed(self.batches()) if one.status in OPEN), None)

    def move(self, batch: Batch, status: str, **values: Any) -> Batch:
        """Note that a batch is something else from now on."""
        with self._database:
            self._set(batch, status, **values)
        return self.batch(batch.id)

    # --- Answers --------------------------------------------------------------------------------------

    def answered(self, batch: Batch) -> set[int]:
        """The places of the lines that have an answer."""
        found = self._database.execute("SELECT place FROM answers WHERE batch = ?", (batch.id,))
        return {row["place"] for row in found}

    def answer(self, batch: Batch, place: int, failed: bool, answer: bytes) -> None:
        """Keep the answer to a line."""
        count = "failed" if failed else "completed"
        with self._database:
            self._database.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?)", (batch.id, place, failed, answer)
            )
            counted = f"{count} = {count} + 1, answer_bytes = answer_bytes + ?"
            self._database.execute(f"UPDATE batches SET {counted} WHERE id = ?", (len(answer), batch.id))

    def write_answers(self, batch: Batch, failed: bool, identity: str) -> bool:
        """Write the answers of a batch, in the order of its lines, as the content of a file. For a thread.

        Returns whether there are any.
        """
        database = self._connect()
        try:
            rows = database.execute(
                "SELECT answer FROM answers WHERE batch = ? AND failed = ? ORDER BY place", (batch.id, failed)
            )
            first = rows.fetchone()
            if first is None:
                return False
            with atomic(self.path(identity)) as temporary, temporary.open("wb") as file:
                file.write(first["answer"] + b"\n")
                for row in rows:
                    file.write(row["answer"] + b"\n")
        finally:
            database.close()
        return True

    def end(self, batch: Batch, status: str, output: str | None, failed: str | None, **values: Any) -> None:
        """A batch has ended, and its files are there."""
        with self._database:
            for identity, name in ((output, "output"), (failed, "errors")):
                if identity is not None:
                    self._enter(identity, f"{batch.id}_{name}.jsonl", "batch_output")
            values |= {"output_file_id": output, "error_file_id": failed, "answer_bytes": 0}
            self._set(batch, status, **values)
            self._database.execute("DELETE FROM answers WHERE batch = ?", (batch.id,))

    # Within a transaction:

    def _enter(self, identity: str, filename: str, purpose: str) -> StoredFile:
        made = StoredFile(identity, filename, purpose, self.path(identity).stat().st_size, int(time()))
        self._database.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?)", tuple(asdict(made).values()))
        return made

    def _set(self, batch: Batch, status: str, **values: Any) -> None:
        values |= {"status": status, f"{status}_at": int(time())}
        settings = ", ".join(f"{name} = ?" for name in values)
        self._database.execute(f"UPDATE batches SET {settings} WHERE id = ?", (*values.values(), batch.id))

    def _row(self, query: str, *values: Any) -> dict[str, Any] | None:
        row = self._database.execute(query, values).fetchone()
        return None if row is None else dict(row)

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.folder / DATABASE, timeout=60, check_same_thread=False)
        database.row_factory = sqlite3.Row
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        return database


def page(found: Sequence[Any], after: str | None, limit: int) -> list[Any]:
    """So many of a list that come after one."""
    names = [one.id for one in found]
    first = names.index(after) + 1 if after in names else 0
    return list(found[first : first + limit])
