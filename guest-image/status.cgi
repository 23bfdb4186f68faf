#!/bin/sh
# The guest's page on port 80: one "name=value" a line, for people and tests alike.
# The server passes these lines on as they are, and strict HTTP clients refuse a bare line feed.
printf 'Content-Type: text/plain\r\n\r\n'
echo "hostname=$(hostname)"
echo "uptime=$(cut -d' ' -f1 /proc/uptime)"
echo "boots=$(cat /persist/boots 2>/dev/null)"
echo "ip=$(ip -4 -o addr show | awk '$2 != "lo" { print $4 }' | tr '\n' ' ')"
for disk in /sys/block/vd* /sys/block/sd*; do
  [ -e "$disk" ] && echo "disk=$(basename "$disk") sectors=$(cat "$disk/size") serial=$(cat "$disk/serial" 2>/dev/null)"
done
for nic in /sys/class/net/e*; do
  [ -e "$nic" ] && echo "nic=$(basename "$nic") mac=$(cat "$nic/address")"
done
exit 0
