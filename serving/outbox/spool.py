"""Records on their way to Kafka, on this machine's disk first: appended before the caller is answered, sent in order.

A folder of segments, each a run of entries: length and CRC-32 of what follows, the entry's topic, key, header and
value. `sent` has the place up to which Kafka has acknowledged everything. An append is one write to the operating
system: a process that is killed loses nothing; a machine that loses power loses what was not yet flushed to disk.
"""

import fcntl
import logging
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from errors import ServerError

log = logging.getLogger(__name__)
SEGMENT_BYTES = 64 * 1024 * 1024
FRAME = struct.Struct("<II")
PARTS = struct.Struct("<BHH")
PLACE = struct.Struct("<QQ")


class Entry(NamedTuple):
    """One record for Kafka: which topic (by its number in the caller's list), key, value, and a header if not empty."""

    topic: int
    key: bytes
    value: bytes
    header: bytes = b""


class Place(NamedTuple):
    """Where an entry begins: segment and byte."""

    segment: int
    byte: int


class Spool:
    """The folder of one process. One thread appends, one reads; ServerError when another process has it."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, made if it is not there; a torn entry at its end, never acknowledged to anybody, goes."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise ServerError(f"{folder} is another scorer's: give this one a port of its own") from error
        self._cursor = os.open(folder / "sent", os.O_RDWR | os.O_CREAT, 0o600)
        self.sent = self._first()
        self.end = self._recovered()
        self._file = self._opened()

    def append(self, entries: Sequence[Entry]) -> Place:
        """Put entries at the end, all or none, and return the place after them; ServerError: the disk refuses."""
        content = b"".join(map(_packed, entries))
        try:
            written = self._file.write(content)
            if written != len(content):
                raise OSError(f"{written} of {len(content)} bytes written")  # noqa: TRY301 - one remedy for both
        except OSError as error:
            os.ftruncate(self._file.fileno(), self.end.byte)
            raise ServerError(f"{self._folder}: a decision cannot be recorded: {error}; free disk space") from error
        after = self.end = Place(self.end.segment, self.end.byte + len(content))
        if after.byte >= SEGMENT_BYTES:
            self._file.close()
            self.end = Place(after.segment + 1, 0)
            self._file = self._opened()
        return after

    def read(self, start: Place, most: int) -> list[tuple[Entry, Place]]:
        """Return up to `most` entries from `start` on, each with the place after it.

        ServerError if an entry that was appended cannot be read: the disk has changed it.
        """
        end = self.end
        with self._path(start.segment).open("rb") as file:
            read = list(islice(_entries(file, start.byte), most))
        if read:
            return [(entry, Place(start.segment, byte)) for entry, byte in read]
        if start.segment < end.segment and start.byte >= self._path(start.segment).stat().st_size:
            return self.read(Place(start.segment + 1, 0), most)
        if start < end:
            raise ServerError(
                f"{self._path(start.segment)}: the entry at byte {start.byte} cannot be read, what follows waits; "
                "move the file away and start again to send what came later"
            )
        return []

    def acknowledge(self, place: Place) -> None:
        """Note that all before `place` is on Kafka; segments that are done with are deleted."""
        os.pwrite(self._cursor, PLACE.pack(*place), 0)
        for segment in range(self.sent.segment, place.segment):
            self._path(segment).unlink(missing_ok=True)
        self.sent = place

    @property
    def waiting_bytes(self) -> int:
        """Bytes that Kafka does not have yet, about."""
        return (self.end.segment - self.sent.segment) * SEGMENT_BYTES + self.end.byte - self.sent.byte

    def flush(self) -> None:
        """Have the operating system put everything on the disk."""
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Close the files; what is not sent stays for the next start."""
        self._file.close()
        os.close(self._cursor)
        self._lock.close()

    def _path(self, segment: int) -> Path:
        return self._folder / f"{segment:012d}.log"

    def _opened(self) -> BinaryIO:
        return self._path(self.end.segment).open("ab", buffering=0)

    def _first(self) -> Place:
        stored = os.pread(self._cursor, PLACE.size, 0)
        segments = sorted(self._folder.glob("*.log"))
        place = Place(*PLACE.unpack(stored)) if len(stored) == PLACE.size else Place(0, 0)
        oldest = int(segments[0].stem) if segments else place.segment
        return place if place.segment >= oldest else Place(oldest, 0)

    def _recovered(self) -> Place:
        """Return the place after the last whole entry; what follows it is kept beside the segment, as `.torn`."""
        segments = sorted(self._folder.glob("*.log"))
        if not segments:
            return Place(self.sent.segment, 0)
        newest, byte = segments[-1], 0
        with newest.open("r+b") as file:
            for _, after in _entries(file, 0):
                byte = after
            file.seek(byte)
            if torn := file.read():
                newest.with_suffix(".torn").write_bytes(torn)
                log.warning("%s: its last %d bytes were no whole entry and stand in .torn", newest, len(torn))
                file.truncate(byte)
        return Place(int(newest.stem), byte)


def _packed(entry: Entry) -> bytes:
    parts = PARTS.pack(entry.topic, len(entry.key), len(entry.header))
    body = b"".join((parts, entry.key, entry.header, entry.value))
    return FRAME.pack(len(body), zlib.crc32(body)) + body


def _entries(file: BinaryIO, start: int) -> Iterator[tuple[Entry, int]]:
    """Yield whole entries from byte `start` on, each with the byte after it, until a torn one or the last."""
    file.seek(start)
    byte = start
    while len(frame := file.read(FRAME.size)) == FRAME.size:
        length, crc = FRAME.unpack(frame)
        body = file.read(length)
        if len(body) < length or zlib.crc32(body) != crc:
            return
        topic, key_length, header_length = PARTS.unpack_from(body)
        header = PARTS.size + key_length
        value = header + header_length
        byte += FRAME.size + length
        yield Entry(topic, body[PARTS.size : header], body[value:], body[header:value]), byte
