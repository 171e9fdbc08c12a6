# What the machine's own unit runs at its start: the script that the test handed in, once everything is up, and then the end. What that
# says goes to a channel of its own, so that the kernel's words and those of systemd do not come between.
until [ -c /dev/virtio-ports/machine ] || [ -b /dev/ubda ]; do sleep 0.1; done
channel=/dev/virtio-ports/machine
if [ -b /dev/ubda ]; then
    channel=/dev/ttyS0
    stty -F $channel raw
fi
exec </dev/null >$channel 2>&1

state=$(systemctl is-system-running --wait)
printf '   %s, kernel %s, %s, systemd is %s after %s s\n' "$(. /etc/os-release; echo "$PRETTY_NAME")" "$(uname -r)" \
    "$(stat -fc %T /sys/fs/cgroup)" "$state" "$(cut -d. -f1 /proc/uptime)"
cd /root
export HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
code=0
bash /hand/script ${arguments:-} || code=$?
echo "MACHINE ENDED WITH $code"
sync
systemctl poweroff --force --force # nothing is kept, and a network file system may never let go
