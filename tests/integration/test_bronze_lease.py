"""The lease on Bronze, on the real object store."""

import json
import os
import time
import uuid
from dataclasses import replace

import psutil
import pytest

from clients import s3
from errors import LeaseHeldError
from streaming import lease


@pytest.fixture
def key(stack):
    return f"_leases/test-{uuid.uuid4().hex[:8]}/bronze.json"


def held_by(key, holder):
    body = json.dumps(vars(holder)).encode()
    assert s3.create(key, body, "spark")


def test_a_second_driver_is_refused_and_told_who_holds_the_lease(key):
    """While a lease is held, nobody else gets it, and the error names the process."""
    with lease.held(key), pytest.raises(LeaseHeldError, match=f"process {os.getpid()} on "):
        lease.acquire(key)


def test_a_lease_that_was_given_up_is_free(key):
    """After a driver ended in order, the next one starts at once."""
    with lease.held(key):
        pass
    with lease.held(key) as again:
        again.check()


def test_a_lease_of_a_dead_process_is_taken_at_once(key):
    """A killed driver does not keep its successor waiting, though its lease has not run out."""
    mine = lease.this_process(time.time())
    held_by(key, replace(mine, pid=2**22 + 1))
    lease.acquire(key).check()


def test_a_lease_of_another_process_with_the_same_number_is_taken(key):
    """A number used again is known by the start of its process."""
    held_by(key, replace(lease.this_process(time.time()), started=1.0))
    lease.acquire(key).check()


def test_a_lease_of_another_machine_is_respected_until_it_runs_out(key):
    """Where nobody can look whether the driver lives, its lease counts until it has expired, and no longer."""
    away = replace(lease.this_process(time.time()), host="elsewhere/1")
    held_by(key, away)
    with pytest.raises(LeaseHeldError, match="on elsewhere/1"):
        lease.acquire(key)
    found = s3.read(key, "spark")
    s3.replace(key, json.dumps(vars(replace(away, expires_at=time.time() - 1))).encode(), found.etag, "spark")
    lease.acquire(key).check()


def test_a_driver_that_lost_its_lease_may_not_write(key):
    """When somebody else has the lease, the next check stops the driver."""
    lost = lease.acquire(key)
    found = s3.read(key, "spark")
    other = replace(lost.holder, host="elsewhere/1")
    assert s3.replace(key, json.dumps(vars(other)).encode(), found.etag, "spark")
    lost.renew()
    with pytest.raises(LeaseHeldError, match="taken over"):
        lost.check()


def test_of_two_that_see_the_same_free_lease_one_wins(key):
    """The conditional write decides; the loser sees nothing but a refusal."""
    first = lease.acquire(key)
    assert s3.create(key, b"{}", "spark") is None
    assert s3.replace(key, b"{}", '"0123456789abcdef0123456789abcdef"', "spark") is None
    first.renew()
    assert not first.lost.is_set()


def test_a_lease_waits_for_the_jvm_that_outlived_its_driver(key):
    """The successor starts only when the dead driver's JVM has ended: else two would write."""
    child = psutil.Popen(["sleep", "1"])
    mine = lease.this_process(time.time())
    held_by(key, replace(mine, pid=2**22 + 1, jvm_pid=child.pid, jvm_started=child.create_time()))
    lease.acquire(key)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    child.wait()
