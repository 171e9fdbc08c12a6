# A virtual machine that runs one script and goes; to be sourced. The caller has $machines, the folder of tests/machine/image.sh, and
# $bed, its own temporary folder.

. tests/bed/words.sh

# Why there can be no machine on this host, in $why.
can_boot() {
    why=''
    if [ "$(id -u)" != 0 ]; then
        why="it takes root to make a machine's disk"
    elif [ "$(dpkg --print-architecture)" != amd64 ]; then
        why="the machines are of amd64"
    else
        tests/bed/packages.sh binutils busybox-static cpio debootstrap dpkg-dev e2fsprogs python3-minimal qemu-system-x86 util-linux xz-utils
    fi
    [ -z "$why" ]
}

# How the machine's kernel runs, in $kind: kvm, by /dev/kvm, where Debian's kernel really does so (some hosts have the device and
# the kernel stands still, since they are guests themselves); else linux, the same release built to be a program of the host's. By hand
# also emulated, which is ten times as slow.
choose_kind() { # SUITE
    if [ -n "$kind" ]; then return 0; fi
    kind=linux
    [ -w /dev/kvm ] || { note "no /dev/kvm: the kernel in user mode"; return 0; }
    # Without a disk it panics, and the machine ends.
    if timeout 8 qemu-system-x86_64 -nodefaults -display none -no-reboot -machine q35 -accel kvm -cpu host -m 512 \
        -kernel "$machines/machine-$1.kernel" -append "panic=-1 console=ttyS0" -serial "file:$bed/console" >"$bed/qemu" 2>&1 &&
        grep -q 'Kernel panic' "$bed/console"; then
        kind=kvm
        note "by /dev/kvm"
    else
        note "/dev/kvm does not run Debian's kernel here: the kernel in user mode"
    fi
}

qemu() { # SUITE PROCESSOR…
    local disk=$machines/machine-$1
    shift
    exec qemu-system-x86_64 -nodefaults -display none -no-reboot -machine q35 "$@" -smp 2 -m 4G -nic none \
        -drive "file=$disk.img,format=raw,if=virtio,snapshot=on,cache=unsafe" \
        -drive "file=$bed/hand.img,format=raw,if=virtio,readonly=on" \
        -device virtio-rng-pci -device virtio-serial \
        -chardev "file,id=said,path=$bed/said" -device virtserialport,chardev=said,name=machine \
        -serial "file:$bed/console" -kernel "$disk.kernel" -initrd "$disk.initrd" \
        -append "root=/dev/vda rootflags=prjquota rw console=ttyS0 panic=-1 quiet" >"$bed/qemu" 2>&1
}

# Its memory is a file, best in memory, where programs may be run from.
user_mode_linux() { # SUITE
    local disk=$machines/machine-$1
    if grep -qv noexec <<<"$(findmnt -no OPTIONS /dev/shm 2>/dev/null || echo noexec)"; then export TMPDIR=/dev/shm; fi
    exec "$disk.linux" "ubd0=$bed/written,$disk.img" "ubd1r=$bed/hand.img" "initrd=$disk.linux-initrd" mem=4G root=/dev/ubda rw quiet \
        lsm=apparmor con=null con0=null,fd:1 ssl=null ssl0=null,fd:3 >"$bed/console" 2>&1 3>"$bed/said"
}

boot() { # SUITE
    case $kind in
        kvm) qemu "$1" -accel kvm -cpu host ;;
        emulated) qemu "$1" -accel tcg,thread=multi,tb-size=1024 -cpu max ;;
        linux) user_mode_linux "$1" ;;
    esac
}

# Boots Debian $1 and runs the guest's script $2 there, which sees the folder $3 as /hand; ends with what the script ended with.
# Nothing stays of what the machine writes. It has no network but its own loopback, and ends after the seconds of the script's line
# `# Limit: …`.
run_in_machine() { # SUITE SCRIPT FOLDER
    local suite=$1 script=$2 hand=$3 begun=$SECONDS limit tail ended
    limit=$(sed -n 's/^# Limit: //p' "$script")
    if [ -f "$hand/whole" ]; then limit=7200; fi
    cp tests/machine/guest/{begin,jobs,lib}.sh tests/bed/words.sh "$hand/"
    cp "$script" "$hand/script"
    rm -f "$bed/hand.img" "$bed/written"
    truncate --size "$(($(du -sm --apparent-size "$hand" | cut -f1) * 5 / 4 + 32))M" "$bed/hand.img"
    mke2fs -q -t ext4 -L hand -d "$hand" "$bed/hand.img"
    : >"$bed/said" >"$bed/console" >"$bed/qemu"
    tail --lines +1 --follow --sleep-interval 0.2 "$bed/said" &
    tail=$!
    # All its processes have one group, by which they are ended.
    (export bed machines kind && . tests/machine/machine.sh && export -f boot qemu user_mode_linux &&
        exec setsid bash -c 'boot "$1"' bash "$suite" </dev/null) &
    machine=$!
    until ! kill -0 "$machine" 2>/dev/null || [ $((SECONDS - begun)) -gt "${limit:-300}" ]; do sleep 0.2; done
    end_machine
    sleep 0.3
    kill "$tail" 2>/dev/null || true
    wait "$tail" 2>/dev/null || true
    ended=$(tr -d '\r' <"$bed/said" | sed -n 's/^MACHINE ENDED WITH //p')
    note "$suite, ${script##*/}: $((SECONDS - begun)) s"
    if [ "$ended" = 0 ]; then return; fi
    say "what the machine said last"
    tail -n 40 "$bed/console" "$bed/qemu"
    fail "$script in $suite ended with ${ended:-nothing, within ${limit:-300} s}"
}

# Whatever is left of the machine.
end_machine() {
    [ -n "$machine" ] || return 0
    kill -KILL -- "-$machine" 2>/dev/null || true
    wait "$machine" 2>/dev/null || true
    machine=''
}
