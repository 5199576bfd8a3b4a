#!/usr/bin/env bash
# Runs in namespaces of its own: mounts what a Debian expects, then lets inside.sh run, first with the network of the
# machine (file descriptor 9), then without. All mounts and processes end with this one.
set -euo pipefail
root=$1 transcript=$2
mount --make-rprivate /
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/dev"
mount -t tmpfs tmpfs "$root/run"
for name in null zero random urandom; do
  touch "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
ip link set lo up 2>/dev/null || python3 -c '
import fcntl, socket, struct
with socket.socket() as s:
    flags = struct.pack("16sH14x", b"lo", 0x1 | 0x40)
    fcntl.ioctl(s, 0x8914, flags)'

start=$(date +%s)
within() {
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TERM=dumb DEBIAN_FRONTEND=noninteractive START="$start" \
    "${@:2}" chroot "$root" /bin/bash /trial/inside.sh "$1"
}
{
  within install nsenter --net=/proc/self/fd/9
  within run
} 9<&9 2>&1 | tee "$transcript"
