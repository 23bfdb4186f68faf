#!/bin/bash
# Makes of the tiny guest a disk that boots by itself, as images from elsewhere do: a FAT file system with a boot
# loader (syslinux), the kernel and its initramfs. Its BIOS start takes no kernel from the host.
#
#   usage: bootable-disk.sh GUEST_IMAGE_FOLDER DISK.qcow2      (the folder is what build.sh made)
#
# As there: packages are downloaded and unpacked, never installed; no loop devices, no mounts; the disk appears complete
# or not at all, and one that is newer than the guest is left as it is.
set -euo pipefail
umask 022

fail() { echo "bootable-disk: $*" >&2; exit 1; }

[ $# = 2 ] || fail 'usage: bootable-disk.sh GUEST_IMAGE_FOLDER DISK.qcow2'
guest=$1 disk=$2
[ -e "$guest/image.json" ] || fail "$guest holds no guest: run build.sh $guest"
if [ "$disk" -nt "$guest/image.json" ] && [ "$disk" -nt "${BASH_SOURCE[0]}" ]; then
  echo "bootable-disk: $disk is up to date"
  exit 0
fi

work=$(mktemp -d "$(dirname "$disk")/bootable-disk.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The download sandbox user could not write here.
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download syslinux mtools dosfstools) ||
  fail 'the packages could not be downloaded; run apt-get update and look at its errors'
for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/tools"; done
# syslinux calls mtools by name.
PATH=$work/tools/usr/bin:$work/tools/usr/sbin:$work/tools/sbin:$PATH

arguments=$(sed -n 's/.*"kernelArguments": "\(.*\)",/\1/p' "$guest/image.json")
printf 'DEFAULT baton\nLABEL baton\n  KERNEL vmlinuz\n  APPEND initrd=initrd.img %s\n' "$arguments" >"$work/syslinux.cfg"

truncate -s 64M "$work/disk.raw"
mkfs.fat -F 16 -n BATON "$work/disk.raw" >/dev/null
mcopy -i "$work/disk.raw" "$guest/vmlinuz" "$guest/initrd.img" "$work/syslinux.cfg" ::
syslinux --install "$work/disk.raw"
qemu-img convert -f raw -O qcow2 "$work/disk.raw" "$work/disk.qcow2"
chmod 644 "$work/disk.qcow2"
mv "$work/disk.qcow2" "$disk"
echo "bootable-disk: $disk"
