#!/usr/bin/env bash
# Makes the disk of a virtual machine with Debian's own kernel, out of the root that tests/package/root.sh makes.
#
#   tests/machine/image.sh SUITE DIR
#
# As root. What is made: DIR/machine-SUITE.img (ext4, with quotas of projects), .kernel and .initrd for qemu, .linux and .linux-initrd for
# a kernel in user mode. They are kept, and made again when this script changes; remove them for newer ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

suite=$1 dir=$2
base=$dir/$suite made=$dir/machine-$suite
tests/package/root.sh "$suite" "$base"
stamp=$(cat "$base.packages" tests/machine/image.sh | sha256sum)
if [ -f "$made.img" ] && [ "$(cat "$made.stamp" 2>/dev/null)" = "$stamp" ]; then exit 0; fi

packages=(apparmor bubblewrap ca-certificates curl dbus docker-registry docker.io e2fsprogs git initramfs-tools iptables kmod linux-image-amd64 nfs-common nfs-kernel-server
    openssl python3-minimal quota stunnel4 udev user-mode-linux xfsprogs zstd)
root=$made.part log=$made.log
rm -rf --one-file-system "$root" "$made".*
trap 'rm -rf --one-file-system "$root"' EXIT

in_root() { chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$@"; }

make() {
    cp -a --reflink=auto "$base" "$root" || return
    # Nothing is started here.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 0755 "$root/usr/sbin/policy-rc.d"
    # Without its module the kernel does not mount a disk that has quotas.
    mkdir -p "$root/etc/initramfs-tools"
    printf 'quota_v2\nvirtio_pci\nvirtio_blk\next4\n' >"$root/etc/initramfs-tools/modules"
    in_root apt-get -q -y -o Acquire::Retries=3 update || return
    in_root apt-get -q -y -o Acquire::Retries=3 -o Dpkg::Options::=--force-unsafe-io install --no-install-recommends "${packages[@]}" || return
    rm "$root/usr/sbin/policy-rc.d"

    echo uwsd-test >"$root/etc/hostname"
    printf '127.0.0.1 localhost uwsd-test\n::1 localhost\n' >"$root/etc/hosts"
    rm -f "$root/etc/resolv.conf"
    printf 'LABEL=machine / ext4 errors=remount-ro,prjquota 0 1\n' >"$root/etc/fstab"
    # A test starts what it wants to have.
    in_root systemctl disable docker.service docker.socket containerd.service docker-registry.service nfs-server.service \
        apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer || return
    # The kernel in user mode lacks what nftables needs for NAT.
    in_root update-alternatives --set iptables /usr/sbin/iptables-legacy || return
    unit || return
    user_mode || return
    cp "$root"/boot/vmlinuz-* "$made.kernel" && cp "$root"/boot/initrd.img-* "$made.initrd" || return

    truncate --size 12G "$made.img.part"
    mke2fs -q -t ext4 -L machine -O quota,project -E quotatype=usrquota:grpquota:prjquota,root_owner=0:0 -d "$root" "$made.img.part" || return
    mv "$made.img.part" "$made.img"
}

# The second disk brings what is tested.
unit() {
    cat >"$root/etc/systemd/system/machine.service" <<'UNIT' || return
[Unit]
Description=What is tested in this machine
[Service]
Type=exec
ExecStartPre=/bin/mkdir -p /hand
ExecStartPre=/bin/mount -o ro LABEL=hand /hand
ExecStart=/bin/bash /hand/begin.sh
[Install]
WantedBy=multi-user.target
UNIT
    in_root systemctl enable machine.service
}

# Debian's kernel in user mode; its initrd loads what mounts a disk with quotas, and no more.
user_mode() {
    local modules release at=$root/initrd-of-linux
    modules=$(echo "$root"/usr/lib/uml/modules/*) release=${modules##*/}
    mv "$modules" "$root/lib/modules/" && in_root depmod "$release" && mv "$root/usr/bin/linux.uml" "$made.linux" || return
    mkdir -p "$at"/{bin,dev,proc,root} && cp /bin/busybox "$at/bin/" || return
    find "$root/lib/modules/$release" \( -name 'quota_tree.ko*' -o -name 'quota_v2.ko*' \) -exec cp -t "$at" {} + || return
    if compgen -G "$at/*.ko.xz" >/dev/null; then xz -d "$at"/*.ko.xz; fi
    cat >"$at/init" <<'INIT' || return
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox insmod /quota_tree.ko
/bin/busybox insmod /quota_v2.ko
/bin/busybox mount -t ext4 -o rw,prjquota /dev/ubda /root
exec /bin/busybox switch_root /root /sbin/init
INIT
    chmod 0755 "$at/init"
    (cd "$at" && find . | cpio --quiet -o -H newc | gzip -1) >"$made.linux-initrd" && rm -r "$at"
}

make >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    echo "image.sh: no machine of $suite; all of it is in $log" >&2
    exit 1
}
rm "$log"
printf '%s\n' "$stamp" >"$made.stamp"
