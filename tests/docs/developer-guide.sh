#!/usr/bin/env bash
# Runs every command block of the developer's guide, in this tree; to be run after the tests, which have built all of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
script=$(mktemp)
trap 'rm -f "$script"' EXIT
python3 tests/docs/blocks.py docs/developing.md >"$script"
bash "$script"
git diff --exit-code --stat config/uwsd.toml
