"""Head and body of a response leave in one write, and nothing is ever kept back for good."""

from serving.protocol import Joined

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"


class Wire:
    """A transport that remembers each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        """Remember."""
        self.writes.append(data)

    def close(self) -> None:
        """Remember that."""
        self.closed = True

    def is_closing(self) -> bool:
        """Tell."""
        return self.closed


def test_head_and_body_are_one_write():
    """Two responses on one connection are two writes, each whole."""
    wire = Wire()
    joined = Joined(wire)
    for _ in range(2):
        joined.write(HEAD)
        joined.write(b"{}")
    assert wire.writes == [HEAD + b"{}", HEAD + b"{}"]


def test_a_body_that_looks_like_a_head_is_not_kept_back():
    """Whatever follows a head leaves at once, and so does a later piece of the same body."""
    wire = Wire()
    joined = Joined(wire)
    joined.write(HEAD)
    joined.write(HEAD)
    joined.write(b"more")
    assert wire.writes == [HEAD + HEAD, b"more"]


def test_continue_is_not_kept_back():
    """The client that waits for 100 Continue gets it before it sends its body."""
    wire = Wire()
    Joined(wire).write(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert wire.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]


def test_closing_flushes_the_head():
    """A response without a body is sent when the connection closes."""
    wire = Wire()
    joined = Joined(wire)
    joined.write(HEAD)
    joined.close()
    assert wire.writes == [HEAD]
    assert joined.is_closing()
