# A virtual machine that runs one script and goes; to be sourced. The caller has $machines, the folder of tests/machine/image.sh, and
# $bed, its own temporary folder.

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# Why there can be no machine on this host, in $why.
can_boot() {
    why=''
    if [ "$(id -u)" != 0 ]; then
        why="it takes root to make a machine's disk"
    elif [ "$(dpkg --print-architecture)" != amd64 ]; then
        why="the machines are of amd64"
    else
        tests/bed/packages.sh binutils debootstrap dpkg-dev e2fsprogs python3-minimal qemu-system-x86 util-linux
    fi
    [ -z "$why" ]
}

# The processor of the machines, in $accelerator: the host's own by /dev/kvm, where Debian's kernel really runs by it (not all hosts with
# the device can: where they are guests themselves it may stand still), else one that qemu emulates, which is ten times as slow.
choose_accelerator() { # SUITE
    accelerator=(-accel "tcg,thread=multi,tb-size=1024" -cpu max)
    [ -w /dev/kvm ] || { note "no /dev/kvm: qemu emulates the processor"; return 0; }
    # Without a disk it panics, and the machine ends.
    if timeout 10 qemu-system-x86_64 -nodefaults -display none -no-reboot -machine q35 -accel kvm -cpu host -m 512 \
        -kernel "$machines/machine-$1.kernel" -append "panic=-1 console=ttyS0" -serial "file:$bed/console" >"$bed/qemu" 2>&1 &&
        grep -q 'Kernel panic' "$bed/console"; then
        accelerator=(-accel kvm -cpu host)
        note "by /dev/kvm"
    else
        note "/dev/kvm does not run Debian's kernel here: qemu emulates the processor"
    fi
}

# Boots Debian $1 and runs the guest's script $2 there, which sees the folder $3 as /hand; ends with what the script ended with.
# Nothing stays: what the machine writes goes to a file that has no name. It has no network but its own loopback, and ends after the
# seconds of the script's line `# Limit: …`.
run_in_machine() { # SUITE SCRIPT FOLDER
    local suite=$1 script=$2 hand=$3 begun=$SECONDS code=0 disk=$machines/machine-$1 limit
    limit=$(sed -n 's/^# Limit: //p' "$script")
    cp tests/machine/guest/{begin,lib}.sh "$hand/"
    cp "$script" "$hand/script"
    rm -f "$bed/hand.img"
    truncate --size "$(($(du -sm --apparent-size "$hand" | cut -f1) * 5 / 4 + 32))M" "$bed/hand.img"
    mke2fs -q -t ext4 -L hand -d "$hand" "$bed/hand.img"
    : >"$bed/said"
    tail --lines +1 --follow --sleep-interval 0.2 "$bed/said" &
    local tail=$!
    TMPDIR=$bed timeout --kill-after 10 "${limit:-300}" qemu-system-x86_64 -nodefaults -display none -no-reboot \
        -machine q35 "${accelerator[@]}" -smp 2 -m 4G -nic none \
        -drive "file=$disk.img,format=raw,if=virtio,snapshot=on,cache=unsafe" \
        -drive "file=$bed/hand.img,format=raw,if=virtio,readonly=on" \
        -device virtio-rng-pci -device virtio-serial \
        -chardev "file,id=said,path=$bed/said" -device virtserialport,chardev=said,name=machine \
        -serial "file:$bed/console" -kernel "$disk.kernel" -initrd "$disk.initrd" \
        -append "root=/dev/vda rootflags=prjquota rw console=ttyS0 panic=-1 quiet ${append:-}" </dev/null >"$bed/qemu" 2>&1 &
    machine=$!
    wait "$machine" || code=$?
    machine=''
    sleep 0.3
    kill "$tail" 2>/dev/null || true
    wait "$tail" 2>/dev/null || true
    local ended
    ended=$(sed -n 's/^MACHINE ENDED WITH //p' "$bed/said" | tr -d '\r')
    note "$suite, ${script##*/}: $((SECONDS - begun)) s"
    [ "$ended" = 0 ] && return
    say "what the machine said last"
    tail -n 40 "$bed/console" "$bed/qemu"
    if [ $code = 124 ]; then fail "$script had not ended in $suite after ${limit:-300} s"; fi
    fail "$script in $suite ended with ${ended:-nothing, and the machine with $code}"
}
