"""Head and body of a response leave in one write, and nothing is ever kept back for good."""

import asyncio

import pytest

from serving.http.protocol import Joined

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


@pytest.fixture(autouse=True)
def loop():
    """A running loop to the eye of the code under test; a test turns it by hand."""
    made = asyncio.new_event_loop()
    asyncio._set_running_loop(made)
    yield made
    asyncio._set_running_loop(None)
    made.close()


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


def test_a_head_without_a_body_leaves_with_the_next_turn_of_the_loop(loop):
    """The answer to HEAD has no body: its head is not kept back for good."""
    wire = Wire()
    Joined(wire).write(HEAD)
    assert wire.writes == []
    asyncio._set_running_loop(None)
    loop.run_until_complete(asyncio.sleep(0))
    asyncio._set_running_loop(loop)
    assert wire.writes == [HEAD]
