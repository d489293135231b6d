#!/usr/bin/env bash
# Everything that can be said about the code without running it; each line is a tool with its settings in the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=$PWD/.venv/bin
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { printf '\n== %s\n' "$1"; }

say "ruff: rules"
"$bin/ruff" check .
say "ruff: format"
"$bin/ruff" format --check .
say "mypy: strict on the base rooms, serving and the stack"
"$bin/mypy" --cache-dir "${MYPY_CACHE_DIR:-.mypy_cache}"
say "dbt: the project parses"
# No server is asked: the profile's addresses only have to be there.
(cd dbt_project && "$bin/dbt" --quiet --no-use-colors parse --profiles-dir . \
  --target-path "$scratch/target" --log-path "$scratch/logs")
say "docker-compose.yml"
"$bin/python" -m infra.compose_check
