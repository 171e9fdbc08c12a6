# Processes as jobs, and the end of the package; then Debian 13. To be sourced by tests/package/run.

run_processes() {
    say "the process backend, with its drop-in: a job outlives a restart"
    apt install --no-install-recommends bubblewrap
    in_box sh -c 'mkdir -p /etc/systemd/system/uwsd.service.d &&
        cp /usr/share/doc/uwsd/examples/process-backend.conf /etc/systemd/system/uwsd.service.d/'
    write /etc/uwsd/conf.d/process.toml <<<$'[backend]\nkind = "process"'
    docker_job=$job
    in_box systemctl daemon-reload
    in_box systemctl restart uwsd
    run_ok 'echo in a sandbox; ls /run'
    [ "$words" = "in a sandbox" ] || fail "its output is: $words"
    job=$(in_box uwsctl submit 'exec sleep 4321' 2>/dev/null)
    await 30 "the job" is_in_phase "$job" EXECUTING
    local process
    process=$(in_box pgrep -f '^sleep 4321')
    in_box systemctl restart uwsd
    is_in_phase "$job" EXECUTING || fail "after the restart it is $(phase_of "$job")"
    [ "$(in_box pgrep -f '^sleep 4321')" = "$process" ] || fail "it is not the same process"
}

end_of_life() {
    say "removed: the daemons are stopped, jobs in containers and as processes run on"
    apt remove uwsd
    local unit
    for unit in uwsd.service uwsd.socket uwsd@beside.service; do
        [ "$(property $unit ActiveState)" = inactive ] || fail "$unit is $(property $unit ActiveState)"
    done
    in_box pgrep -f '^sleep 4321' >/dev/null || fail "the job that is a process has ended"
    [ "$(in_box docker inspect --format '{{.State.Running}}' "uwsd-$docker_job")" = true ] || fail "the container has ended"
    in_box grep -q '^max_running = 7' /etc/uwsd/uwsd.toml || fail "the edited configuration is gone"

    say "installed again, it goes on with the job, and the second instance runs again"
    apt install --no-install-recommends "/packages/${package##*/}"
    is_in_phase "$job" EXECUTING || fail "it is $(phase_of "$job")"
    [ "$(property uwsd@beside.service ActiveState)" = active ] || fail "the second instance is $(property uwsd@beside.service ActiveState)"

    say "purged: jobs end, nothing is left, and what was mounted below the state is not touched"
    local uid
    uid=$(in_box id -u uwsd)
    write /srv/archive/precious.txt <<<kept
    in_box sh -c 'mkdir -p "/var/lib/uwsd/a mount" && mount --bind /srv/archive "/var/lib/uwsd/a mount"'
    in_box cp /var/lib/dpkg/info/uwsd.postrm /srv/again
    give_podman /usr/share/doc/uwsd/examples/podman-socket.conf
    apt purge uwsd
    ! in_box test -e /etc/systemd/system/podman.socket.d || fail "without its group Podman's socket would not start"
    note "$(grep 'is mounted' <<<"$words" || echo "nothing was said of the mount")"
    in_box grep -qx kept /srv/archive/precious.txt || fail "the purge went into a mount"
    in_box sh -c 'umount "/var/lib/uwsd/a mount" && rmdir "/var/lib/uwsd/a mount" /var/lib/uwsd' || fail "more than the mount is left"
    in_box env DPKG_MAINTSCRIPT_PACKAGE=uwsd /srv/again purge || fail "a second purge fails"
    nothing_is_left "$uid"
}

# The drop-in of docs/engines.md; the box has no Podman, and needs none for it.
give_podman() { # FILE
    in_box mkdir -p /etc/systemd/system/podman.socket.d
    in_box cp "$1" /etc/systemd/system/podman.socket.d/podman-socket.conf
    in_box systemctl daemon-reload
}

# Whatever has our name, our user or our label.
nothing_is_left() { # UID
    local left
    ! in_box getent passwd uwsd || fail "the user is left"
    ! in_box getent group uwsd || fail "the group is left"
    ! in_box dpkg-query --show uwsd 2>/dev/null || fail "dpkg knows the package"
    left=$(in_box docker ps --all --quiet --filter label=org.uwsd.instance)
    [ -z "$left" ] || fail "containers are left: $left"
    left=$(in_box sh -c 'ps -o pid,args --no-headers -u "$1"; pgrep -a "uwsd|bwrap"' sh "$1" || true)
    [ -z "$left" ] || fail "processes are left: $left"
    left=$(in_box systemctl list-unit-files --no-legend 'uwsd*' || true) # 1 where there is none
    [ -z "$left" ] || fail "units are left: $left"
    left=$(in_box systemctl list-units --no-legend --plain 'uwsd*')
    [ -z "$left" ] || fail "systemd remembers units: $left"
    left=$(in_box find / -xdev \( -path /proc -o -path /sys -o -path /packages -o -path /var/lib/docker \) -prune -o \
        \( -name '*uwsd*' -o -uid "$1" -o -gid "$1" \) -print)
    left+=$(in_box find /run /tmp \( -name '*uwsd*' -o -uid "$1" -o -gid "$1" \))
    [ -z "$left" ] || fail "files are left: $left"
    note "no file, process, user, unit or container"
}

trixie() {
    say "Debian 13: the same package is installed, with its engine, and runs a job"
    apt install "/packages/${package##*/}"
    in_box test -x /usr/bin/bwrap || fail "what it recommends was not installed"
    check_units
    prepare_jobs
    in_box systemctl restart uwsd
    await 30 "the daemon to be ready" is_ready
    run_ok 'echo "job of $(id -u)"'
    local uid
    uid=$(in_box id -u uwsd)
    [ "$words" = "job of $uid" ] || fail "its output is: $words"

    say "purged while the engine is away, it says what is left to do"
    start_job 'sleep 1000'
    local instance
    instance=$(in_box sed -n 2p /var/lib/uwsd/engine)
    in_box systemctl stop --quiet docker.socket docker.service
    # Somebody else's drop-in of that name is not ours to remove.
    write /srv/podman-socket.conf <<<$'[Socket]\nSocketGroup=adm'
    give_podman /srv/podman-socket.conf
    apt purge uwsd
    in_box grep -qx SocketGroup=adm /etc/systemd/system/podman.socket.d/podman-socket.conf || fail "another drop-in of Podman's is gone"
    grep -q "filter label=org.uwsd.instance=$instance" <<<"$words" || fail "it does not say how: $words"
    in_box systemctl start docker.service
    in_box sh -c "$(sed -n 's/^uwsd:   //p' <<<"$words")" >/dev/null || fail "what it says does not work"
    nothing_is_left "$uid"
}
