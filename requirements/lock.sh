#!/usr/bin/env bash
# Writes the hashed lock files. dev.lock holds everything; the others are held to its versions, so
# that what is tested is what the images install. Needs uv. `--upgrade` moves every pin forward.
set -euo pipefail
cd "$(dirname "$0")/.."
compile=(uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header
         --python-version 3.11 pyproject.toml)
"${compile[@]}" "$@" --all-extras --group dev -o requirements/dev.lock
while read -r name extras; do
  # shellcheck disable=SC2086 # several words on purpose
  "${compile[@]}" "$@" $extras -c requirements/dev.lock -o "requirements/$name.lock" </dev/null
done <<'END'
operator --extra operator --extra otlp
trainer --extra trainer --extra otlp
trackers --extra trainer --extra otlp --extra mlflow --extra wandb
END
# Standing alone: the installer itself, and the data of the demo.
for name in bootstrap demo; do
  uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --no-deps \
    --python-version 3.11 "$@" "requirements/$name.in" -o "requirements/$name.lock"
done
