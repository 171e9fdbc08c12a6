# Jobs' files are kept to their max_output by project quotas: on ext4 and XFS, with containers and with bubblewrap, two daemons on one
# file system; and measured where quotas are not in force.
# Needs: suite image
# Limit: 1800
. /hand/lib.sh

most=$((8 << 20))
install -m 0755 /hand/bin/uwsd /srv/
export RUST_BACKTRACE=0

# A repository of 4 MiB, one of 12.
for size in 2 6; do
    git init -q "/srv/git/$size"
    head -c "${size}M" /dev/urandom >"/srv/git/$size/data"
    git -C "/srv/git/$size" add data
    git -C "/srv/git/$size" -c user.name=a -c user.email=a@example.org commit -q -m data
done
git daemon --base-path=/srv/git --export-all --listen=127.0.0.1 &

begin() { # NAME KIND STATE_DIR PORT
    local user=
    [ "$2" = process ] || user=$'image = "uwsd-test:latest"\npull = "never"\nuser = "1234:1234"'
    mkdir -p "$3"
    cat >"/srv/$1.toml" <<END
[backend]
kind = "$2"
[sources]
git_protocols = ["git"]
[queue]
max_running = 4
cpus = 8
[disk]
refuse_below = "16MiB"
clean_below = "8MiB"
[service.ocps]
$user
network = "none"
cpus = 0.5
memory = "256MiB"
max_output = "$most"
END
    /srv/uwsd serve --config "/srv/$1.toml" --state-dir "$3" --listen "127.0.0.1:$4" 2>"/srv/$1.log" &
    daemon=$! port=$4 jobs=$3/jobs name=$1
    await 60 "$1 to be ready" curl -sf -o /dev/null "http://127.0.0.1:$4/readyz"
    note "$1: $(grep -o 'max_output is .*' "/srv/$1.log")"
}
quit() {
    kill "$daemon"
    wait "$daemon" || fail "$name: $(tail -n 20 "/srv/$name.log")"
}

field() { sed -n "s/.*\"$1\":\"\\?\\([^,\"}]*\\).*/\\1/p" <<<"$2"; }
submit() { # COMMAND [REPOSITORY]
    local answer
    answer=$(curl -sS --fail-with-body -X PUT -H 'Content-Type: application/json' \
        --data "{\"command\": \"$1\", \"url\": \"${2:+git://127.0.0.1/$2}\"}" "http://127.0.0.1:$port/api/v1/job") ||
        fail "$answer"
    id=$(field jobId "$answer")
}
ended() { # ID
    local phase
    phase=$(curl -sS "http://127.0.0.1:$port/api/v1/job/$1/phase")
    [[ $phase =~ completed|error|aborted ]]
}
# What a job's directories take at most while it runs, in $largest.
watch() { # ID
    local taken deadline=$((SECONDS + 120))
    largest=0
    until ended "$1"; do
        taken=$(du -scB1 "$jobs/$1"/{src,out,home} 2>/dev/null | tail -n 1 | cut -f1)
        if [ "${taken:-0}" -gt "$largest" ]; then largest=$taken; fi
        [ $SECONDS -lt $deadline ] || fail "$1 does not end: $(tail -n 20 "/srv/$name.log")"
    done
}
# Runs a command, and sees its end; of the exit code a pattern: REASON EXIT-CODE COMMAND [REPOSITORY]
expect() {
    local answer seen taken
    submit "$3" "${4:-}"
    watch "$id"
    answer=$(curl -sS "http://127.0.0.1:$port/api/v1/job/$id")
    seen="$(field reason "$answer") $(field exitCode "$answer")"
    taken=$(du -scB1 "$jobs/$id"/{src,out,home} | tail -n 1 | cut -f1)
    note "$name: $seen, $(field message "$answer"): at most $largest bytes seen, $taken at the end"
    [[ $seen == "$1 "$2 ]] || fail "not $1 $2, but $seen: $answer"
    [ "$largest" -le $most ] && [ "$taken" -le $most ] || [ "${measured:-}" ] || fail "more than $most"
}
destroy() { # ID
    curl -sS --fail-with-body -o /dev/null -X DELETE "http://127.0.0.1:$port/api/v1/job/$1"
}
too_much='head -c 20M /dev/zero >$JOB_OUTPUT_DIR/x'
scattered='for n in $(seq 300); do mkdir -p $HOME/$n && head -c 50000 /dev/zero >$HOME/$n/a && cp $HOME/$n/a $JOB_OUTPUT_DIR/$n || exit 7; done'

# What the file system of the directory has in our range: id, KiB used, hard limit in KiB, inodes; only ids with any of it.
projects() { repquota -Pnv "$1" 2>/dev/null | awk '/^#1900/ && $3 + $5 + $6 > 0 { print $1, $3, $5, $6 }'; }

all() { # FILE-SYSTEM
    local first ids before
    before=$(projects "$1")
    expect ok 0 'head -c 3M /dev/zero >$JOB_OUTPUT_DIR/x && mv $JOB_OUTPUT_DIR/x $HOME/y && cp $HOME/y $JOB_OUTPUT_DIR/x'
    ids=("$id")
    expect output-too-large 1 "$too_much"
    ids+=("$id")
    expect output-too-large 0 "$too_much || exit 0"
    ids+=("$id")
    # It is slow enough to be seen and ended before it fails.
    expect output-too-large '*' "$scattered"
    ids+=("$id")
    # A source counts, also one that is too large by itself; but that ends the job, not the checkout.
    expect ok 0 'cd $JOB_SOURCE_DIR && git status && cp data $JOB_OUTPUT_DIR' 2
    ids+=("$id")
    measured=yes expect output-too-large 1 'echo >$JOB_OUTPUT_DIR/x' 6
    ids+=("$id")
    # One that goes on is ended, and one beside it has room of its own.
    submit 'sleep 4; head -c 6M /dev/zero >$JOB_OUTPUT_DIR/x'
    first=$id
    expect output-too-large 143 "$too_much; trap 'exit 143' TERM; sleep 600 & wait"
    ids+=("$id" "$first")
    watch "$first"
    [ "$(field reason "$(curl -sS "http://127.0.0.1:$port/api/v1/job/$first")")" = ok ] || fail "the one beside it"
    projects "$1"
    [ "$(projects "$1" | wc -l)" = $(($(wc -w <<<"$before") / 4 + 8)) ] || fail "no project for each"
    for id in "${ids[@]}"; do destroy "$id"; done
    await 30 "files to go" nothing_in "$jobs"
    # What the other daemon has stays.
    [ "$(projects "$1")" = "$before" ] || fail "left over: $(projects "$1")"
}
nothing_in() { [ -z "$(ls "$1")" ]; }

say "ext4, bubblewrap"
begin process process /srv/process 8001
all /
say "a daemon that is killed finds what was set"
submit "sleep 5; $too_much"
await 30 "it to run" test -e "$jobs/$id/out"
sleep 2
{ kill -9 "$daemon" && wait "$daemon"; } 2>/dev/null || true
begin process process /srv/process 8001
watch "$id"
answer=$(curl -sS "http://127.0.0.1:$port/api/v1/job/$id")
[ "$(field reason "$answer")" = output-too-large ] || fail "$answer"
say "a job whose preparation is cut short begins anew"
for point in directories cloned created; do
    quit
    before=$(projects / | wc -l)
    UWSD_TEST_CRASH=$point begin process process /srv/process 8001
    # It may die before it answers, and then has kept the job all the same.
    (submit 'head -c 3M /dev/zero >$JOB_OUTPUT_DIR/x' 2) 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
    begin process process /srv/process 8001
    id=$(curl -sS "http://127.0.0.1:$port/api/v1/job" | grep -o '"jobId":"[0-9a-f]*' | sed -n 1p | cut -d'"' -f4)
    watch "$id"
    answer=$(curl -sS "http://127.0.0.1:$port/api/v1/job/$id")
    [ "$(field reason "$answer")" = ok ] || fail "$answer"
    note "$point: $(($(projects / | wc -l) - before)) project more"
    [ "$(projects / | wc -l)" = $((before + 1)) ] || fail "after $point: $(projects /)"
done
say "a job that has its files counted as nobody's is measured"
measured=yes expect output-too-large 143 "chattr -p 0 \$JOB_OUTPUT_DIR && $too_much; trap 'exit 143' TERM; sleep 600 & wait"
say "what the doctor says"
said=$(UWSD_STATE_DIR=/srv/process /srv/uwsd doctor --config /srv/process.toml | grep max_output)
echo "$said"
grep -q 'kept by project quotas' <<<"$said" || fail "doctor"

say "ext4, containers, beside the other daemon"
first_daemon=$daemon
systemctl start docker
docker import /hand/image.tar uwsd-test:latest >/dev/null
begin docker docker /srv/docker 8002
all /
quit
daemon=$first_daemon name=process
quit

say "XFS"
truncate -s 600M /srv/xfs.img
mkfs.xfs -q /srv/xfs.img
mkdir /srv/xfs
mount -o loop,pquota /srv/xfs.img /srv/xfs
begin xfs process /srv/xfs/state 8003
all /srv/xfs
quit

say "ext4 that counts, and does not keep the limits"
truncate -s 200M /srv/ext4.img
mke2fs -q -t ext4 -O quota,project -E quotatype=prjquota /srv/ext4.img
mkdir /srv/ext4
mount -o loop /srv/ext4.img /srv/ext4
begin ext4 process /srv/ext4/state 8004
measured=yes
expect output-too-large 143 "$too_much; trap 'exit 143' TERM; sleep 600 & wait"
quit
grep -q 'max_output is measured every 2 s' /srv/ext4.log || fail "$(cat /srv/ext4.log)"
