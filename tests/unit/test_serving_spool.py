"""The spool keeps what was appended, in order, whatever ends its process; a torn or damaged entry is never silent."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import ServerError
from serving.outbox import spool as spools
from serving.outbox.spool import Entry, Place, Spool

ENTRY = st.builds(Entry, st.integers(0, 3), st.binary(max_size=70), st.binary(max_size=300), st.binary(max_size=40))
ENTRIES = st.lists(ENTRY)


def entries(spool, most=10_000):
    """Return everything that the spool has not acknowledged."""
    found, at = [], spool.sent
    while read := spool.read(at, most):
        found += [entry for entry, _ in read]
        at = read[-1][1]
    return found


@given(batches=st.lists(ENTRIES, max_size=8), segment=st.sampled_from([1, 200, 10_000]))
def test_what_is_appended_is_read_in_order(tmp_path_factory, batches, segment):
    """Over any batches and any size of segments, also by a process that opens the folder later."""
    folder = tmp_path_factory.mktemp("spool")
    before, spools.SEGMENT_BYTES = spools.SEGMENT_BYTES, segment
    try:
        spool = Spool(folder)
        for batch in batches:
            spool.append(batch)
        wanted = [entry for batch in batches for entry in batch]
        assert entries(spool, 3) == wanted
        spool.close()
        again = Spool(folder)
        assert entries(again) == wanted
        again.close()
    finally:
        spools.SEGMENT_BYTES = before


def test_what_is_acknowledged_is_not_read_again(tmp_path, monkeypatch):
    """The place that was sent is kept, and segments before it are deleted."""
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 100)
    spool = Spool(tmp_path)
    for number in range(10):
        spool.append([Entry(0, b"k", b"%d" % number * 60)])
    (_, third) = spool.read(spool.sent, 3)[0], spool.read(spool.sent, 1)[0][1]
    spool.acknowledge(third)
    spool.close()
    again = Spool(tmp_path)
    assert [entry.value[:1] for entry in entries(again)] == [b"%d" % number for number in range(1, 10)]
    again.acknowledge(again.end)
    assert again.waiting_bytes == 0
    assert len(list(tmp_path.glob("*.log"))) == 1
    again.close()


def test_a_torn_end_is_cut_and_kept(tmp_path):
    """A process killed in an append leaves half an entry: the ones before are sent, the half stands beside."""
    spool = Spool(tmp_path)
    spool.append([Entry(0, b"k", b"whole")])
    end = spool.append([Entry(0, b"k", b"half")])
    spool.close()
    (log,) = tmp_path.glob("*.log")
    os.truncate(log, end.byte - 2)
    again = Spool(tmp_path)
    assert [entry.value for entry in entries(again)] == [b"whole"]
    assert log.with_suffix(".torn").read_bytes().endswith(b"ha")
    again.append([Entry(0, b"k", b"next")])
    assert [entry.value for entry in entries(again)] == [b"whole", b"next"]
    again.close()


def test_a_damaged_entry_is_named(tmp_path):
    """A byte that the disk changed under a running process is an error that names the file, not silence."""
    spool = Spool(tmp_path)
    spool.append([Entry(0, b"k", b"first"), Entry(0, b"k", b"second")])
    (log,) = tmp_path.glob("*.log")
    with log.open("r+b") as file:
        file.seek(15)
        file.write(b"\xff")
    with pytest.raises(ServerError, match=r"000000000000\.log: the entry at byte 0"):
        spool.read(Place(0, 0), 10)
    spool.close()


def test_a_disk_that_refuses_leaves_no_half(tmp_path, monkeypatch):
    """An append that fails is an error to its caller, and what comes after it is read whole."""
    spool = Spool(tmp_path)
    spool.append([Entry(0, b"k", b"first")])
    file = spool._file

    class Full:
        """A file whose disk takes four bytes more."""

        def write(self, content):
            file.write(content[:4])
            raise OSError(28, "No space left on device")

        def __getattr__(self, name):
            return getattr(file, name)

    monkeypatch.setattr(spool, "_file", Full())
    with pytest.raises(ServerError, match="free disk space"):
        spool.append([Entry(0, b"k", b"lost to nobody")])
    monkeypatch.setattr(spool, "_file", file)
    spool.append([Entry(0, b"k", b"second")])
    assert [entry.value for entry in entries(spool)] == [b"first", b"second"]
    spool.close()


def test_two_processes_do_not_share_a_folder(tmp_path):
    """The second one is refused, with what to do."""
    spool = Spool(tmp_path)
    with pytest.raises(ServerError, match="a port of its own"):
        Spool(tmp_path)
    spool.close()
