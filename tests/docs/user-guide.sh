#!/usr/bin/env bash
# Runs every command block of the user's guide against a daemon, as a reader would: with the addresses that stand there.
#
#   tests/docs/user-guide.sh PROGRAMS      PROGRAMS: the folder with uwsd and uwsctl
#
# Needs root: it has a network namespace of its own, so that nothing of the host is in the way. UWSD_TEST_PYTHON has pyVO.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
programs=$(realpath "$1")
if [ "${2:-}" != inside ]; then
    exec unshare --net "$0" "$programs" inside
fi
ip link set lo up

work=$(mktemp -d)
pids=()
end() {
    local code=$?
    trap - EXIT
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null && tail --pid="$pid" -f /dev/null || true
    done
    if [ "$code" != 0 ]; then tail -n 20 "$work/daemon.log" >&2 || true; fi
    rm -rf "$work"
    exit "$code"
}
trap end EXIT

git init -q -b main "$work/scripts"
cat >"$work/scripts/reduce.sh" <<'END'
echo "reduced $NIGHT at $(git -C "$JOB_SOURCE_DIR" rev-parse --short HEAD)" > "$JOB_OUTPUT_DIR/night.txt"
END
git -C "$work/scripts" add .
git -C "$work/scripts" -c user.name=guide -c user.email=guide@localhost commit -qm "reduce a night"
git clone -q --bare "$work/scripts" "$work/served/scripts.git"
git daemon --base-path="$work/served" --export-all --listen=127.0.0.1 --reuseaddr >"$work/git.log" 2>&1 &
pids+=($!)

cat >"$work/uwsd.toml" <<'END'
[backend]
kind = "process"

[sources]
git_protocols = ["git"]

[service.ocps]
kill_grace = "2s"
memory = "256MiB"

[service.cutout]
memory = "256MiB"
command = ["/bin/sh", "-c", "echo \"$1 $2\" > $JOB_OUTPUT_DIR/result.txt", "cutout", "{RA}", "{DEC}"]
parameters = [{ name = "RA", type = "real", unit = "deg" }, { name = "DEC", type = "real", unit = "deg" }]
END
PATH=$programs:$PATH
export PATH
uwsd serve --config "$work/uwsd.toml" --state-dir "$work/state" >"$work/daemon.log" 2>&1 &
pids+=($!)
for _ in $(seq 100); do
    if curl -fsS -o /dev/null http://127.0.0.1:8080/readyz 2>/dev/null; then break; fi
    sleep 0.1
done

python3 tests/docs/blocks.py docs/user.md >"$work/guide.sh"
mkdir "$work/reader"
cd "$work/reader"
bash "$work/guide.sh" 2>&1 | tee "$work/said"

# What a reader is promised to see, and a command that prints something else would not notice.
saw() {
    if ! grep -qF -- "$1" "$work/said"; then
        echo "the guide's commands never printed: $1" >&2
        exit 1
    fi
}
saw '<vosi:available>true'
saw COMPLETED
saw counting
saw '"reason":"nonzero"'
saw 'no such night'
saw 'reduced 20310304 at '
saw ABORTED
saw decrad
saw 'RA is "east"'
saw '10.68 41.27'
