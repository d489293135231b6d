"""A million entries of lists: put, loaded at start, looked up; beside the YAML file that they were before."""

import tempfile

from bench import stack
from bench.figures import Figure, Section, at_most
from bench.lake.bronze import namespace

ENTRIES, ADDS = 1_000_000, 20


def measure(count: int = ENTRIES, adds: int = ADDS) -> Section:
    """Measure in a process, a state folder and topics of their own."""
    with namespace() as name, tempfile.TemporaryDirectory(prefix="bench-") as home:
        own = stack.variables() | {"SERVING_NAMESPACE": name, "LAKEHOUSE_HOME": home}
        found = stack.report("serving", "lists", "measure", str(count), str(adds), environment=own)
    old, looked = found["old"], found["lookup_us"]
    return Section(
        f"Lists of {found['entries']:,} entries",
        [
            Figure(
                "one entry, from the command's send to the lookup",
                "ms",
                [s * 1e3 for s in found["added_s"]],
                at_most(100),
            ),
            Figure("the same before: YAML read again", "ms", [old["read_s"] * 1e3]),
            Figure("loaded at start from the copy", "s", [found["start_s"]], at_most(5)),
            Figure("read from Kafka, without a copy", "s", [found["read_s"]]),
            Figure("a CSV file checked", "s", [found["check_s"]]),
            Figure("and sent to Kafka", "s", [found["send_s"]]),
            Figure("memory", "MB", [found["megabytes"]], at_most(300)),
            Figure("lookup of a card on the list", "us", [looked["hit"]]),
            Figure("lookup of any other", "us", [looked["miss"]], at_most(1)),
            Figure("the same before: on the list", "us", [old["lookup_us"]["hit"]]),
            Figure("the same before: any other", "us", [old["lookup_us"]["miss"]]),
        ],
    )
