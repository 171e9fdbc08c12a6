#!/usr/bin/env bash
# Runs every command block of the user's guide, and of the page about the UWS API, against a daemon, as a reader would: with the addresses
# that stand there.
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

# Runs the page docs/$1.md; what it said is in "$work/said".
read_page() {
    page=docs/$1.md
    python3 "$tree/tests/docs/blocks.py" "$page" --root "$work/root" >"$work/$1.sh"
    bash "$work/$1.sh" 2>&1 | tee "$work/said"
}

fail() {
    echo "$page: $*" >&2
    exit 1
}

# What a reader is promised to see, and a command that prints something else would not notice.
saw() {
    grep -qF -- "$1" "$work/said" || fail "the commands never printed: $1"
}

# What the block of the page that has $1 printed.
said_by() {
    local at
    at=$(awk -v text="$1" '/^```/ { block = NR } index($0, text) && block { print block; exit }' "$tree/$page")
    grep -qF "== $page:$at" "$work/said" || fail "no block with: $1"
    awk -v from="== $page:$at" '/^== / || / blocks of .* did what they say$/ { is = $0 == from; next } is && NF' "$work/said"
}

# The block with $1 printed a line that matches $2.
block_saw() {
    # No pipe: what grep has not read when it has found its line would be a failure of the one that writes.
    grep -qE -- "$2" <<<"$(said_by "$1")" || fail "the block with \"$1\" never printed $2: $(said_by "$1")"
}

tree=$PWD
mkdir "$work/reader"
cd "$work/reader"

# The page's name is part of what is printed before each block.
ln -s "$tree/docs" docs
read_page user
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
[ "$(said_by 'Idempotency-Key')" = 1 ] || fail "a request that was sent twice made $(said_by 'Idempotency-Key') jobs"
block_saw 'X PUT' '^\[\{"id":0,"uri":"/uws/jobs/[0-9a-f]{32}/out/hello\.txt"\}\]'
block_saw 'X PUT' '"jobId":"[0-9a-f]{32}","phase":"completed"'
block_saw 'uwsctl top' '^ocps: [0-9]+ EXECUTING, [0-9]+ QUEUED$'
block_saw 'uwsctl top' '^[0-9a-f]{32} +COMPLETED '

export UWS_ADMIN_SOCKET=$work/state/uwsd.sock
read_page uws
block_saw 'results/result"' 'hello$'
block_saw 'UPLOAD=stars' '^3$'
block_saw 'uwsctl hold' '^HELD$'
block_saw 'uwsctl hold' '^SUSPENDED$'
block_saw 'uwsctl hold' '^ABORTED$'

# The service that the page configures is one, with all that it says.
echo '[backend]' >"$work/root/etc/uwsd/uwsd.toml"
uwsd check --config "$work/root/etc/uwsd/uwsd.toml" >"$work/said" || fail "its configuration is refused: $(cat "$work/said")"
saw 60-cutout.toml
