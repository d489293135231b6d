#!/usr/bin/env bash
# Every test on a stack of its own, on free ports, in a folder of its own; whatever happens, nothing of it is left.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
home=$(mktemp -d -t lakehouse-test-XXXXXX)
export LAKEHOUSE_TEST_HOME=$home

end() {
  status=$?
  LAKEHOUSE_HOME=$home "$python" -m infra.native down >/dev/null || status=1
  if [ "$status" -ne 0 ] && [ -n "${KEEP_LOGS:-}" ]; then
    mkdir -p "$KEEP_LOGS" && cp -r "$home/logs/." "$KEEP_LOGS/"
  fi
  rm -rf "$home"
  exit "$status"
}
trap end EXIT
trap 'exit 130' INT TERM

folders=()
for folder in tests/unit tests/integration tests/e2e; do
  if compgen -G "$folder/test_*.py" >/dev/null; then folders+=("$folder"); fi
done
"$python" -m pytest --durations=15 "${@:-${folders[@]}}"
