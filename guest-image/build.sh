#!/bin/bash
# Builds the tiny guest image: the distribution's kernel and a busybox/dropbear initramfs, booted directly, with an
# empty disk on which the guest counts its boots. Small enough to boot in seconds where there is no KVM.
#
#   usage: build.sh OUTPUT_FOLDER        -> vmlinuz initrd.img disk.qcow2 image.json
#
# Everything comes from packages of Debian or Ubuntu, downloaded and unpacked, never installed. No loop devices, no
# mounts. The folder appears complete or not at all; one that is newer than these sources is left as it is.
# Needs (as root, x86-64): apt, dpkg, cpio, kmod, zstd, qemu-utils.
set -euo pipefail
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fail() { echo "guest-image: $*" >&2; exit 1; }

output=${1:-}
[ -n "$output" ] || fail 'usage: build.sh OUTPUT_FOLDER'
[ "$(id -u)" = 0 ] || fail 'run me as root: the initramfs holds device nodes'
[ "$(dpkg --print-architecture)" = amd64 ] || fail 'only x86-64 hosts are supported'
for tool in apt-get apt-cache dpkg-deb cpio depmod modprobe zstd qemu-img sha256sum; do
  command -v "$tool" >/dev/null || fail "$tool is missing: apt-get install cpio kmod zstd qemu-utils"
done

mkdir -p "$(dirname "$output")"
output=$(cd "$(dirname "$output")" && pwd)/$(basename "$output")

up_to_date() {
  [ -e "$output/image.json" ] || return 1
  [ -z "$(find "$here" -type f -newer "$output/image.json" -print -quit)" ]
}
if up_to_date; then
  echo "guest-image: $output is up to date"
  exit 0
fi

work=$(mktemp -d "$output.build.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work"/{packages,kernel,userland,image}

# --- packages ---------------------------------------------------------------------------------------------------
package_exists() { apt-cache show "$1" >/dev/null 2>&1; }
package_exists busybox || apt-get -qq update || fail 'apt has no package lists and cannot fetch them'

# A package and all it needs, without what it only suggests.
closure() {
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances "$@" |
    grep '^[a-z0-9]' | sort -u
}
# The kernel's meta package names the kernel of the day; its recommended boot loader and tools are not wanted here.
kernel_packages() {
  local meta
  for meta in linux-image-cloud-amd64 linux-image-virtual; do
    package_exists "$meta" || continue
    apt-cache depends --important "$meta" | sed -n 's/^ *|\{0,1\}Depends: \(linux-[a-z]*-[0-9].*\)/\1/p' | while read -r image; do
      echo "$image"
      apt-cache depends --important "$image" | sed -n 's/^ *Depends: \(linux-modules-[0-9].*\)/\1/p'
    done | sort -u
    return
  done
}
kernels=$(kernel_packages)
[ -n "$kernels" ] || fail 'apt knows no kernel for virtual machines; is the main component enabled?'

echo "guest-image: downloading $(echo $kernels), busybox, dropbear"
# The download sandbox user could not write here.
(cd "$work/packages" && apt-get -qq -o APT::Sandbox::User=root download $kernels busybox $(closure dropbear-bin)) ||
  fail 'the packages could not be downloaded; run apt-get update and look at its errors'
for package in "$work"/packages/*.deb; do
  case ${package##*/} in
    linux-*) dpkg-deb -x "$package" "$work/kernel" ;;
    *) dpkg-deb -x "$package" "$work/userland" ;;
  esac
done

# --- root file system -------------------------------------------------------------------------------------------
root=$work/root
# Newer releases ship their modules under /usr/lib only.
[ -d "$work/kernel/lib/modules" ] || { mkdir -p "$work/kernel/lib" && mv "$work/kernel/usr/lib/modules" "$work/kernel/lib/"; }
kernel_version=$(ls "$work/kernel/lib/modules")
mkdir -p "$root"/{bin,sbin,etc/dropbear,etc/acpi/PWRF,proc,sys,dev,run,tmp,root,lib,lib64,persist,var/log,www/cgi-bin}
mkdir -p "$root/lib/modules/$kernel_version"

# Modules in the order in which init inserts them, dependencies first.
depmod -b "$work/kernel" "$kernel_version"
for module in virtio_pci virtio_net virtio_blk virtio_balloon virtio_rng button evdev ext4 virtio_scsi sd_mod; do
  modprobe -S "$kernel_version" -d "$work/kernel" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
done | awk '!seen[$0]++' | while read -r file; do
  name=$(basename "$file")
  case $name in
    *.zst) zstd -q -d "$file" -o "$root/lib/modules/$kernel_version/${name%.zst}" && echo "${name%.zst}" ;;
    *.xz) xz -dc "$file" >"$root/lib/modules/$kernel_version/${name%.xz}" && echo "${name%.xz}" ;;
    *) cp "$file" "$root/lib/modules/$kernel_version/$name" && echo "$name" ;;
  esac
done >"$root/lib/modules/order"

busybox=$(find "$work/userland" -path '*bin/busybox' -type f | head -1)
cp "$busybox" "$root/bin/busybox"
for applet in $("$busybox" --list); do
  [ "$applet" = busybox ] || ln -s /bin/busybox "$root/bin/$applet"
done
cp "$(find "$work/userland" -path '*sbin/dropbear' -type f)" "$root/sbin/dropbear"
cp "$(find "$work/userland" -path '*bin/dropbearkey' -type f)" "$root/bin/dropbearkey"
find "$work/userland" \( -path '*/x86_64-linux-gnu/lib*.so.*' -o -path '*/x86_64-linux-gnu/libc.so.6' \) | while read -r library; do
  case ${library##*/} in
    libtomcrypt.so.* | libtommath.so.* | libgmp.so.* | libcrypt.so.* | libz.so.* | libc.so.6 | libresolv.so.2 | \
      libnss_files.so.* | libutil.so.1 | libm.so.6) cp -L "$library" "$root/lib/" ;;
  esac
done
cp -L "$(find "$work/userland" -name 'ld-linux-x86-64.so.2' | head -1)" "$root/lib64/"

install -m 755 "$here/init" "$root/init"
install -m 755 "$here/udhcpc.script" "$root/etc/udhcpc.script"
install -m 755 "$here/power-button.sh" "$root/etc/acpi/PWRF/00000080"
# busybox httpd runs this one for / when there is no index.html.
install -m 755 "$here/status.cgi" "$root/www/cgi-bin/index.cgi"
printf 'root:x:0:0:root:/root:/bin/sh\ndebian:x:0:0:debian:/root:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\n' >"$root/etc/group"
printf 'root:*:19000:0:99999:7:::\ndebian:*:19000:0:99999:7:::\n' >"$root/etc/shadow"
printf '/bin/sh\n' >"$root/etc/shells"
printf '127.0.0.1 localhost\n' >"$root/etc/hosts"
printf 'hosts: files dns\npasswd: files\n' >"$root/etc/nsswitch.conf"
mknod -m 600 "$root/dev/console" c 5 1
mknod -m 666 "$root/dev/null" c 1 3

# --- artifacts --------------------------------------------------------------------------------------------------
image=$work/image
(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc --quiet -R 0:0) | zstd -q -12 -o "$image/initrd.img"
cp "$work/kernel/boot/vmlinuz-$kernel_version" "$image/vmlinuz"
qemu-img create -q -f qcow2 "$image/disk.qcow2" 64M

file_entry() {
  local file=$image/$2
  printf '    "%s": { "file": "%s", "sha256": "%s", "size": %s%s }' \
    "$1" "$2" "$(sha256sum "$file" | cut -d' ' -f1)" "$(stat -c %s "$file")" "${3:-}"
}
{
  printf '{\n  "name": "baton-tiny",\n  "kernelArguments": "console=ttyS0 quiet panic=5",\n  "files": {\n'
  file_entry disk disk.qcow2 ', "format": "qcow2"' && printf ',\n'
  file_entry kernel vmlinuz && printf ',\n'
  file_entry initrd initrd.img
  printf '\n  }\n}\n'
} >"$image/image.json"
chmod 644 "$image"/*
chmod 755 "$image"

rm -rf "$output"
# Never into a folder that another build has put there meanwhile.
mv -T "$image" "$output"
echo "guest-image: $output holds $(cd "$output" && ls | tr '\n' ' ')"
