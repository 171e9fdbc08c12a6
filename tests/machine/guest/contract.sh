# The backend contract suite with cgroup version 2: on Docker with its systemd driver, which is Debian's there, with cgroupfs, and on
# bubblewrap; as root and as an ordinary user in the group docker. Of the suite what hangs on groups; all of it with UWSD_TEST_WHOLE=1,
# which takes an hour where the machine is a program.
# Needs: suite image
# Limit: 900
. /hand/lib.sh
export UWSD_TEST_DOCKER=unix:///run/docker.sock UWSD_TEST_IMAGE=uwsd-test:latest UWSD_TEST_UWSD=/srv/uwsd RUST_BACKTRACE=0

# Sentences of the contract that hang on groups, or on how systemd treats them.
sentences=(out_of_memory a_child_out_of_memory a_signal_is_told an_exit_code_is_told the_memory_limit_is_seen fork_bomb the_peak_of
    everything_that_it_started_is_gone that_runs_is_adopted ended_meanwhile advisory_limits_are_told paused)

engine() { # DRIVER
    mkdir -p /etc/docker
    echo "{\"exec-opts\": [\"native.cgroupdriver=$1\"]}" >/etc/docker/daemon.json
    systemctl restart docker
    [ "$(docker info --format '{{.CgroupDriver}} {{.CgroupVersion}}')" = "$1 2" ] || fail "$(docker info)"
}

# As whom, and what: USER FILTER…
suite() {
    local user=$1
    shift
    if ! (cd "$(getent passwd "$user" | cut -d: -f6)" && runuser -u "$user" -- /srv/backend "$@" --test-threads 2 --nocapture) >/tmp/suite 2>&1; then
        cat /tmp/suite
        fail "the suite as $user"
    fi
    note "$(grep '^test result' /tmp/suite)"
    grep -o 'SKIPPED.*' /tmp/suite | sort | uniq -c || true
    ran=$(grep -c '\.\.\. ok$\|^ok$' /tmp/suite) || true
}

say "an engine with the systemd driver"
engine systemd
docker import /hand/image.tar uwsd-test:latest >/dev/null
install -m 0755 /hand/bin/{backend,uwsd} /srv/
useradd --create-home --groups docker reader

if [ -e /hand/whole ]; then
    say "all of it, as root"
    suite root
    say "all of it, as an ordinary user in the group docker"
    suite reader
else
    say "as root: as its own user, and bubblewrap"
    suite root "${sentences[@]/#/docker::own_user::}" "${sentences[@]/#/process::contract::}"
    say "as an ordinary user in the group docker"
    suite reader "${sentences[@]/#/docker::own_user::}" process::ordinary_user
fi

say "with the cgroupfs driver, as root: groups above containers"
engine cgroupfs
suite root docker::own_user::{out_of_memory,a_child_out_of_memory,the_peak_of,the_memory_limit_is_seen} docker::groups::
