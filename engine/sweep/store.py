"""The file of a sweep, and beside it the folder of finished parts that a killed sweep goes on from."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from engine.sweep.errors import SweepError
from engine.sweep.rows import SCHEMA

FORMATS = (".parquet", ".csv")
_PART = re.compile(r"batches-(\d+)-(\d+)-[0-9a-f]{16}\.parquet")
_OWN = re.compile(r"batches-[\d-]+-[0-9a-f]{16}\.(parquet|spoilt)|sweep\.json|.+\.draft|lock")
ROWS = 10_000
"""Rows of one group in the Parquet file, whatever the parts were."""


class Store:
    """Where the parts of one sweep are kept until they are one file: ``FILE.parts`` beside it, for one process.

    Every file appears at once or not at all: it is written under another name, brought to the disk and renamed.

    Args:
        out: the file to make, .parquet or .csv.
        sweep: what the parts belong to, as JSON.

    Raises:
        SweepError: the file exists, another process is at it, the parts are another sweep's, or nothing can be written.
    """

    def __init__(self, out: Path, sweep: dict[str, Any]) -> None:
        if out.suffix not in FORMATS:
            raise SweepError(f"{out} must end in {' or '.join(FORMATS)}.")
        self.out, self.parts = out, out.with_name(out.name + ".parts")
        self._see_that_nothing_is_there()
        self.spoilt: list[Path] = []
        """Parts that could not be read and were set aside."""
        try:
            self.parts.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.parts / "lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            raise SweepError(f"Another process is at {out}.") from None
        except OSError as error:
            raise SweepError(f"{self.parts} cannot be written ({error.strerror or error}).") from error
        try:
            self._claim(sweep)
            self.done = self._read_parts()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()
        if not self.done:
            self._clear()

    def _clear(self) -> None:
        """Remove what is the sweep's own, and the folder if nothing else is in it."""
        with suppress(OSError):
            for path in self.parts.iterdir():
                if _OWN.fullmatch(path.name):
                    path.unlink()
            self.parts.rmdir()

    def _see_that_nothing_is_there(self) -> None:
        if os.path.exists(self.out):
            raise SweepError(f"{self.out} exists already; it is left as it is. Remove it or choose another name.")

    def _claim(self, sweep: dict[str, Any]) -> None:
        """Note whose parts these are, or see that they are this sweep's."""
        note, text = self.parts / "sweep.json", json.dumps(sweep, indent=1, ensure_ascii=False)
        if not note.exists():
            if any(not _OWN.fullmatch(path.name) for path in self.parts.iterdir()):
                raise SweepError(f"{self.parts} holds files that are no sweep's; choose another name.")
            self._write(note, lambda draft: draft.write_text(text, encoding="utf-8"))
        elif _read_text(note) != text:
            raise SweepError(
                f"{self.parts} holds parts of another sweep ({note.name} there says which). Remove the folder to start "
                "over, or choose another name."
            )

    def _read_parts(self) -> set[int]:
        """Batches that are finished; a part that cannot be read is set aside, and so its batches are trained again."""
        done: set[int] = set()
        for path, first, last in self._part_files():
            try:
                _intact(path)
            except OSError:
                self.spoilt.append(path.replace(path.with_suffix(".spoilt")))
            else:
                done.update(range(first, last + 1))
        return done

    def _part_files(self) -> Iterator[tuple[Path, int, int]]:
        found = ((path, _PART.fullmatch(path.name)) for path in self.parts.iterdir())
        ordered = sorted((int(match[1]), int(match[2]), path) for path, match in found if match)
        yield from ((path, first, last) for first, last, path in ordered)

    def add(self, block: Sequence[int], table: pa.Table) -> None:
        """Keep the rows of neighbouring batches.

        Raises:
            SweepError: they cannot be written.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink)
        data = sink.getvalue().to_pybytes()
        path = self.parts / f"batches-{block[0]:07}-{block[-1]:07}-{_digest(data)}.parquet"
        self._write(path, lambda draft: draft.write_bytes(data))
        self.done.update(block)

    def finish(self) -> Path:
        """Make one file of all parts, in order, and remove them.

        Raises:
            SweepError: it cannot be written, or somebody else wrote one.
        """
        self._see_that_nothing_is_there()
        write = _write_parquet if self.out.suffix == ".parquet" else _write_csv
        self._write(self.out, lambda draft: write(draft, self._in_order()))
        self.done.clear()
        return self.out

    def _in_order(self) -> Iterator[pa.Table]:
        """All rows, in tables of ROWS rows and a rest."""
        kept = SCHEMA.empty_table()
        for path, _, _ in self._part_files():
            kept = pa.concat_tables([kept, pq.read_table(pa.BufferReader(_intact(path)))])
            while kept.num_rows >= ROWS:
                yield kept.slice(0, ROWS).combine_chunks()
                kept = kept.slice(ROWS)
        yield kept.combine_chunks()

    def _write(self, path: Path, write: Callable[[Path], object]) -> None:
        """Write a file at once or not at all."""
        draft = path.with_name(path.name + ".draft")
        try:
            write(draft)
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
            draft.replace(path)
        except (OSError, pa.ArrowException) as error:
            draft.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or error
            raise SweepError(f"{path} cannot be written ({reason}).") from error


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _intact(path: Path) -> bytes:
    """The bytes of a part, which its name vouches for: Parquet's own checksums leave out its footer.

    Raises:
        OSError: they cannot be read, or are not what was written.
    """
    data = path.read_bytes()
    if not path.stem.endswith(_digest(data)):
        raise OSError(f"{path.name} is not what was written")
    return data


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _write_parquet(path: Path, tables: Iterator[pa.Table]) -> None:
    with pq.ParquetWriter(path, SCHEMA) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=ROWS)


def _write_csv(path: Path, tables: Iterator[pa.Table]) -> None:
    with pyarrow.csv.CSVWriter(path, SCHEMA) as writer:
        for table in tables:
            writer.write_table(table)
