#!/usr/bin/env bash
# Every test on a stack of its own, on free ports, in a folder of its own; whatever happens, nothing of it is left.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
# Every test with its outcome and its time, a file a set.
reports=$PWD/.reports
# These JVMs live for minutes: what C2 compiles does not pay off (a quarter less processor time for Trino's first dbt run).
export JDK_JAVA_OPTIONS="-XX:TieredStopAtLevel=1 ${JDK_JAVA_OPTIONS:-}"

# A stack for a set of tests: what another set planted on Kafka must not stand in the balance of this one. Each process of
# a set has one of its own, in a folder of its name.
run() (
  home=$(mktemp -d -t lakehouse-test-XXXXXX)
  export LAKEHOUSE_TEST_HOME=$home
  end() {
    status=$?
    for stack in "$home" "$home"/gw*; do
      [ -d "$stack/run" ] || continue
      LAKEHOUSE_HOME=$stack "$python" -m infra.native down >/dev/null || status=1
      if [ "$status" -ne 0 ] && [ -n "${KEEP_LOGS:-}" ]; then
        mkdir -p "$KEEP_LOGS/${stack##*/}" && cp -r "$stack/logs/." "$KEEP_LOGS/${stack##*/}/"
      fi
    done
    rm -rf "$home"
    exit "$status"
  }
  trap end EXIT
  trap 'exit 130' INT TERM
  "$python" -m pytest --durations=15 "$@"
)

fetch() {
  "$python" -m infra.native fetch --with superset,metastore
}

# tests/scale and tests/chaos take longer than all others together: `make test-long`.
if [ "$#" -gt 0 ]; then
  fetch
  run "$@"
else
  # The unit tests need no server: they run while the servers are fetched.
  fetch &
  trap 'kill $! 2>/dev/null || true' EXIT
  "$python" -m pytest --numprocesses=auto --durations=5 --junit-xml="$reports/unit.xml" tests/unit
  wait $!
  trap - EXIT
  # Most of an integration test is waiting, so two stacks side by side take little more than half the time.
  run --numprocesses=2 --dist=loadfile --junit-xml="$reports/integration.xml" tests/integration
  run --junit-xml="$reports/e2e.xml" tests/e2e
fi
