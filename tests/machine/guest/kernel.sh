# The machine is what the other tests take it for: cgroups of version 2 alone, a kernel that keeps peaks, quotas of projects, no network.
. /hand/lib.sh

say "the kernel has what the tests are about"
[ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ] || fail "no unified hierarchy"
! grep -q ' - cgroup ' /proc/self/mountinfo || fail "there is a hierarchy of version 1"
note "controllers: $(cat /sys/fs/cgroup/cgroup.controllers)"
for controller in cpu memory pids; do grep -qw $controller /sys/fs/cgroup/cgroup.controllers || fail "no $controller"; done
[ -f /sys/fs/cgroup/system.slice/memory.peak ] || fail "no memory.peak"
grep -q prjquota <<<"$(findmnt -no OPTIONS /)" || fail "no quotas of projects: $(findmnt -no OPTIONS /)"
note "$(quotaon -Pp / || true)" # exit code 1 says that they are on
[ "$(ls /sys/class/net)" = lo ] || fail "it has a network: $(ls /sys/class/net)"
[ "$(systemctl is-system-running)" = running ] || fail "$(systemctl --failed)"
