# Containers with a systemd of their own, and what is done in them; to be sourced. The caller has $packages, a folder that they see
# as /packages, and $bed, its own temporary folder.

. tests/bed/words.sh

# Boots the image $2 as the container $1, with further options of docker run; the recipe is explained in README.md.
boot() {
    local name=$1 image=$2 cgroups
    shift 2
    cgroup_mounts
    docker run --detach --name "$name" --hostname "$name" --network none --cgroupns host \
        --cap-add SYS_ADMIN --cap-add NET_ADMIN --cap-add SYS_PTRACE \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined \
        "${cgroups[@]}" --tmpfs /run --tmpfs /tmp:exec --volume /var/lib/docker \
        --volume "$packages:/packages:ro" "$@" "$image" /lib/systemd/systemd >/dev/null
    box=$name
    await 60 "systemd in $name" has_booted
    note "$(in_box systemctl --version | head -n 1), $(in_box sh -c '. /etc/os-release; echo "$PRETTY_NAME"')"
}

# The hierarchies of the machine, for docker run, in $cgroups. Of version 1 the folder that they are mounted in is the box's own, and
# where the machine has not mounted a hierarchy something else is mounted: else the box's systemd makes that hierarchy, for the whole
# machine, where no engine outside finds it mounted. (containerd then gives up, and misses what runs out of memory.)
cgroup_mounts() {
    local point name
    cgroups=(--tmpfs /sys/fs/cgroup)
    while read -r _ point _; do
        if [ "$point" = /sys/fs/cgroup ]; then
            cgroups=(--volume "$point:$point:rw")
            return
        fi
        cgroups+=(--volume "$point:$point:rw")
    done < <(grep -E '^[^ ]+ /sys/fs/cgroup[^ ]* cgroup2? ' /proc/self/mounts)
    for name in blkio cpu,cpuacct cpuset devices freezer hugetlb memory misc net_cls,net_prio perf_event pids rdma; do
        case " ${cgroups[*]} " in *" /sys/fs/cgroup/$name:"*) ;; *) cgroups+=(--tmpfs "/sys/fs/cgroup/$name") ;; esac
    done
}

has_booted() {
    local state
    state=$(in_box systemctl is-system-running 2>/dev/null) || true
    [ "$state" = running ]
}

# A command in the current box; what is on standard input goes there.
in_box() {
    docker exec --interactive --env DEBIAN_FRONTEND=noninteractive --env LC_ALL=C.UTF-8 "$box" "$@"
}

# apt-get in the box, whose words only matter when it fails; they are left in $words.
apt() {
    local code=0
    words=$(in_box apt-get -q -y "$@" </dev/null 2>&1 | tr -d '\r') || code=$? # dpkg writes to a terminal of apt's
    if [ $code != 0 ]; then
        printf '%s\n' "$words"
        fail "apt-get $* in $box"
    fi
}

# A file in the box, from standard input.
write() {
    in_box sh -c 'mkdir -p "$(dirname "$1")" && cat >"$1"' sh "$1"
}

# The box's own engine gets the image for jobs, and the daemon is told of it.
prepare_jobs() {
    docker save uwsd-job:latest | in_box docker load >/dev/null
    write /etc/uwsd/conf.d/jobs.toml <<'END'
[service.ocps]
image = "uwsd-job:latest"
pull = "never"
memory = "128MiB"
END
}

property() { # UNIT PROPERTY
    in_box systemctl show "$1" --property "$2" --value
}

phase_of() {
    in_box uwsctl phase "$1" 2>/dev/null || true
}

is_in_phase() { [ "$(phase_of "$1")" = "$2" ]; }

answers() { in_box uwsctl list >/dev/null 2>&1; }

# Submits a job that runs until it is ended, and waits until it does; its id is in $job, what runs it in $run.
start_job() {
    job=$(in_box uwsctl submit "$1" 2>/dev/null)
    await 30 "the job" is_in_phase "$job" EXECUTING
    run=$(container)
}

# The container of $job, with the moment when it began: the same as before, if nobody touched it.
container() {
    in_box docker inspect --format '{{.Id}} {{.State.StartedAt}} {{.State.Running}}' "uwsd-$job" 2>/dev/null || true
}

job_is_untouched() { # AFTER-WHAT
    is_in_phase "$job" EXECUTING || fail "after $1 the job is $(phase_of "$job")"
    if [ -z "$run" ] || [ "$(container)" != "$run" ]; then
        fail "after $1 the job's container is not what it was: $run, now $(container)"
    fi
}
