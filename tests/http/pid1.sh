#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# systemd as process 1 of its own namespaces, over this machine's files; what it writes there is gone afterwards.
# pid1.sh FOLDER TREE SCRIPT: FOLDER is for its files, TREE has units and build/venv, and SCRIPT is run once basic.target
# is reached. What the script says goes to FOLDER/said.
set -euo pipefail
folder=$1 tree=$2 script=$3

mount --make-rprivate /
mkdir "$folder/top"
mount -t tmpfs tmpfs "$folder/top"
root=$folder/top/root
mkdir "$folder/top/upper" "$folder/top/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$folder/top/upper,workdir=$folder/top/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
touch "$root/dev/console"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mkdir -p "$root/run/systemd"
echo -n trial >"$root/run/systemd/container"

ip link set lo up
ip link add lan0 type bridge
ip addr add 192.0.2.1/24 dev lan0
ip addr add 192.0.2.9/24 dev lan0
ip link set lan0 up

cp "$script" "$root/opt/script"
touch "$folder/said" "$root/opt/said"
mount --bind "$folder/said" "$root/opt/said"
ln -sf "$tree/build/venv/bin/swarmstrap" "$root/usr/bin/swarmstrap"
# Nothing that this machine's administrator has switched on.
rm -rf "$root/etc/systemd/system"
mkdir "$root/etc/systemd/system"
cp "$tree"/systemd/*.service "$root/etc/systemd/system/"
# An installed server does not lie where the sandbox of its unit hides it, in /tmp.
for unit in swarmstrap.service swarmstrap-seed@.service; do
    mkdir "$root/etc/systemd/system/$unit.d"
    printf '[Service]\nBindReadOnlyPaths=%s\n' "$tree" >"$root/etc/systemd/system/$unit.d/trial.conf"
done
for unit in mdadm-shutdown.service tmp.mount systemd-tmpfiles-setup.service; do
    ln -s /dev/null "$root/etc/systemd/system/$unit"
done
cat >"$root/etc/systemd/system/trial.service" <<'END'
[Unit]
After=basic.target
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/sh /opt/script
StandardOutput=append:/opt/said
StandardError=append:/opt/said
ExecStopPost=/bin/systemctl --no-block --force poweroff
END
printf '[Unit]\nWants=trial.service basic.target\n' >"$root/etc/systemd/system/trial.target"

cd "$root"
mkdir -p before
pivot_root . before
umount -l /before
exec env -i container=trial PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=trial.target --log-target=console --show-status=no
