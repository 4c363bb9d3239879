#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# dracut module: the Swarmstrap agent, the programs it calls, and drivers for any machine.
#
# Taken from the environment:
#   swarmstrap_stage  tree with Python and the agent (python -m swarmstrap_server.installer.stage DIR)
#   swarmstrap_keys   folder with ca.crt, allowed_signers and, if there are any, revoked_keys and
#                     floors.json; set but empty: they are appended afterwards

# What the agent runs. All of them, or there is no initramfs.
swarmstrap_programs=(
    ip dhclient udevadm modprobe kmod
    sgdisk blkid lsblk wipefs blockdev findmnt mount umount swapon swapoff
    mke2fs mkfs.ext4 e2fsck mkfs.xfs mkfs.vfat mkfs.btrfs btrfs mkswap
    mdadm lvm dmsetup thin_check cryptsetup
    sfdisk resize2fs xfs_growfs
    efibootmgr kexec chroot unshare ssh-keygen
)
# By which the last filesystem of a disk image grows, where the package is installed.
swarmstrap_optional=(ntfsresize)
# Names of arrays and volumes as Debian makes them, and others where their rules differ. Not the rules
# that start what lies on disks (64-md-raid-assembly, 69-lvm): the agent alone decides about that.
swarmstrap_rules=(63-md-raid-arrays.rules 95-dm-notify.rules)
swarmstrap_rules_somewhere=(
    55-dm.rules 56-lvm.rules 60-persistent-storage-dm.rules
    10-dm.rules 11-dm-lvm.rules 13-dm-disk.rules
)
# For hooks and a person in the rescue shell, beside what dracut's base module brings.
swarmstrap_shell=(bash busybox sync timeout)
swarmstrap_applets=(
    awk basename clear cmp cut date dd df diff dirname du env expr find free grep gunzip gzip head
    hexdump id ifconfig kill killall less lsmod md5sum mktemp more nc nslookup pidof ping printf ps
    sha256sum sort stat stty tail tar tee top touch true tty uptime vi watch wc wget which xargs xz
)

check() {
    return 255
}

depends() {
    echo base udev-rules
}

installkernel() {
    local _not_wired='wireless|wan|wwan|can|ppp|slip|plip|hamradio|ieee802154'
    _not_wired+='|arcnet|appletalk|hippi|fddi|wireguard'

    # These a node cannot do without: a kernel that lacks one is refused.
    hostonly='' instmods -c \
        ext4 xfs btrfs vfat nls_cp437 nls_ascii nls_utf8 nls_iso8859-1 efivarfs \
        raid0 raid1 raid10 raid456 dm_thin_pool dm_crypt xts ecb essiv algif_skcipher \
        sd_mod ahci ata_piix nvme virtio_blk virtio_scsi virtio_net e1000 e1000e igb \
        af_packet xhci_pci usb_storage usbhid hid_generic || return 1

    hostonly='' dracut_instmods -o -P ".*/drivers/net/($_not_wired)/.*" "=drivers/net"
    hostonly='' instmods \
        "=drivers/ata" "=drivers/block" "=drivers/cdrom" "=drivers/infiniband" "=drivers/md" \
        "=drivers/message" "=drivers/mmc" "=drivers/nvdimm" "=drivers/nvme" "=drivers/scsi" \
        "=drivers/ufs" "=drivers/usb/storage" \
        "=drivers/hv" "=drivers/pci" "=drivers/virtio" "=drivers/xen" \
        "=drivers/hid" "=drivers/input/keyboard" "=drivers/input/serio" "=drivers/usb/host" \
        "=drivers/watchdog" "=drivers/char/ipmi" virtio_console virtio_rng tpm_tis \
        aesni_intel "=fs/nls" isofs udf squashfs overlay loop crc32c_generic crc32c_intel \
        8021q bridge
}

install() {
    local _stage=${swarmstrap_stage-/usr/lib/swarmstrap/stage}
    local _keys=${swarmstrap_keys-/etc/swarmstrap}
    local _name

    [[ -x $_stage/usr/bin/swarmstrap-agent ]] ||
        swarmstrap_fail "no agent in $_stage;" \
            "make it with: python -m swarmstrap_server.installer.stage $_stage"
    cp -a "$_stage/." "$initdir/" || swarmstrap_fail "cannot copy $_stage"

    for _name in ${_keys:+ca.crt allowed_signers}; do
        [[ -s $_keys/$_name ]] ||
            swarmstrap_fail "no $_keys/$_name; copy it from the site's keys folder"
        inst_simple "$_keys/$_name" "/etc/swarmstrap/$_name"
    done
    for _name in ${_keys:+revoked_keys floors.json}; do
        [[ -e $_keys/$_name ]] && inst_simple "$_keys/$_name" "/etc/swarmstrap/$_name"
    done

    swarmstrap_need "${swarmstrap_programs[@]}" "${swarmstrap_shell[@]}"
    inst_multiple -o "${swarmstrap_optional[@]}"
    inst_rules "${swarmstrap_rules[@]}" "${swarmstrap_rules_somewhere[@]}"
    for _name in "${swarmstrap_rules[@]}"; do
        # Without them, dmsetup and lvm would wait for names that nobody makes.
        [[ -e $initdir$udevdir/rules.d/$_name ]] ||
            swarmstrap_fail "no udev rules $_name (Debian packages mdadm and dmsetup)"
    done
    for _name in "${swarmstrap_applets[@]}"; do
        [[ -e $initdir/usr/bin/$_name ]] || ln -s busybox "$initdir/usr/bin/$_name"
    done
    for _name in reboot poweroff halt; do
        [[ -e $initdir/usr/sbin/$_name ]] || ln -s ../bin/busybox "$initdir/usr/sbin/$_name"
    done

    # pyudev opens it by name, so nothing that dracut reads refers to it.
    inst_libdir_file "libudev.so.1*" || swarmstrap_fail "no libudev.so.1 (Debian package libudev1)"
    inst_multiple -o "/lib/modprobe.d/*.conf" /usr/lib/systemd/network/99-default.link
    inst_simple "$moddir/dhclient-script.sh" /usr/lib/swarmstrap/dhclient-script

    inst_hook cmdline 20 "$moddir/swarmstrap-root.sh"
    inst_hook pre-mount 00 "$moddir/swarmstrap-boot.sh"
}

swarmstrap_need() {
    local _program
    local -a _missing=()
    for _program; do
        find_binary "$_program" >/dev/null || _missing+=("$_program")
    done
    ((${#_missing[@]} == 0)) ||
        swarmstrap_fail "programs not found: ${_missing[*]}; install the packages that have them"
    inst_multiple "$@" || swarmstrap_fail "programs could not be copied"
}

# dracut ignores the status of install(): leaving is the only way to have no half initramfs.
swarmstrap_fail() {
    dfatal "swarmstrap: $*"
    exit 1
}
