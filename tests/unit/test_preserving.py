# SPDX-License-Identifier: GPL-2.0-or-later
"""What an update leaves alone, path by path."""

import pytest

from swarmstrap.errors import BadInput
from swarmstrap.preserving import DEFAULT, Rules, check_pattern
from swarmstrap_server.images.strip import RULES

STRIPPED = {
    "machine-id": ("etc/machine-id",),
    "dbus-machine-id": ("var/lib/dbus/machine-id",),
    "ssh-host-keys": (
        "etc/ssh/ssh_host_ed25519_key",
        "etc/ssh/ssh_host_rsa_key.pub",
        "etc/dropbear/dropbear_rsa_host_key",
        "etc/dropbear-initramfs/dropbear_rsa_host_key",
        "etc/dropbear/initramfs/dropbear_rsa_host_key",
    ),
    "host-ids": (
        "etc/hostid",
        "etc/nvme/hostnqn",
        "etc/iscsi/initiatorname.iscsi",
        "etc/multipath/wwids",
        "etc/lvm/devices/system.devices",
        "etc/lvm/backup/vg0",
    ),
    "initramfs-needs": (
        "usr/share/initramfs-tools/modules.d/swarmstrap",
        "etc/dracut.conf.d/50-swarmstrap.conf",
        "etc/mkinitcpio.conf.d/50-swarmstrap.conf",
    ),
    "random-seeds": (
        "var/lib/systemd/random-seed",
        "var/lib/urandom/random-seed",
        "var/lib/random-seed",
        "boot/loader/random-seed",
        "boot/efi/loader/random-seed",
    ),
    "dhcp-leases": ("var/lib/dhcp/dhclient.leases", "var/lib/wicked/x", "etc/dhcpcd.duid"),
    "persistent-nics": ("etc/udev/rules.d/70-persistent-net.rules",),
    "resume-device": ("etc/initramfs-tools/conf.d/resume",),
    "cloud-init": ("var/lib/cloud/instance/user-data",),
    "cloud-network": (
        "etc/netplan/50-cloud-init.yaml",
        "etc/network/interfaces.d/50-cloud-init",
        "etc/cloud/cloud.cfg.d/50-curtin-networking.cfg",
    ),
    "subscriptions": (
        "etc/sysconfig/rhn/systemid",
        "etc/pki/consumer/cert.pem",
        "etc/zypp/credentials.d/SCCcredentials",
        "etc/insights-client/machine-id",
    ),
    "pairings": ("var/lib/bluetooth/00:11/info",),
    "swap-files": ("swap.img", "swapfile", "swap/swapfile"),
    "crash-dumps": ("var/crash/1", "var/lib/systemd/coredump/1"),
    "account-backups": ("etc/shadow-",),
    "rotated-logs": ("var/log/journal/1/system.journal", "var/lib/lastlog/lastlog2.db"),
    "logs": ("var/log/dpkg.log",),
    "package-caches": ("var/cache/apt/archives/bash.deb", "var/lib/apt/lists/deb.example.net"),
    "temporary": ("tmp/x", "var/tmp/x", "run/x"),
    "lost-and-found": ("lost+found",),
    "container-marks": (".dockerenv",),
    "histories": ("root/.bash_history", "home/ann/.lesshst"),
    "user-caches": ("root/.cache/x", "home/ann/.cache/x"),
}
RULES_OF_A_NODE = Rules(DEFAULT)


def stays(path: str, rules: Rules = RULES_OF_A_NODE) -> bool:
    return rules.untouched(path.encode()) or rules.may_add(path.encode())


def test_what_capture_strips_from_an_image_stays_on_a_node() -> None:
    assert {rule.name for rule in RULES} == STRIPPED.keys()
    lost = [path for paths in STRIPPED.values() for path in paths if not stays(path)]
    assert lost == []


@pytest.mark.parametrize(
    "path",
    [
        "usr/bin/tool",
        "etc/passwd",
        "opt/old",
        "usr/local/bin/old",
        "boot/vmlinuz-6.1.0-1",
        "homes",
        "var/logs",
        "var/lib/dpkg/info/old.list",
        "var/lib/rpm/Packages",
        "tmp",
        "boot",
        "lost+founds",
    ],
)
def test_the_image_decides(path: str) -> None:
    assert not stays(path)


@pytest.mark.parametrize(
    ("pattern", "kept", "others"),
    [
        ("/opt/data", ("opt/data", "opt/data/a/b"), ("opt/database", "opt", "x/opt/data")),
        ("/opt/*/data", ("opt/a/data", "opt/b/data/c"), ("opt/a/b/data", "opt/data")),
        ("/etc/key?.[ch]", ("etc/key1.c", "etc/keyx.h"), ("etc/key.c", "etc/key/.c")),
        ("/etc/[!a-m]*", ("etc/nothing",), ("etc/apt",)),
        ("/srv/a.b", ("srv/a.b",), ("srv/axb",)),
        ("/srv/ü", ("srv/ü",), ()),
    ],
)
def test_patterns(pattern: str, kept: tuple[str, ...], others: tuple[str, ...]) -> None:
    rules = Rules([check_pattern(pattern)])
    assert [path for path in kept if not rules.untouched(path.encode())] == []
    assert [path for path in others if rules.untouched(path.encode())] == []


@pytest.mark.parametrize("pattern", ["", "/", "home", "/a/", "/a//b", "/a/../b", "/./a", "/a\nb"])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(BadInput, match="cannot preserve"):
        check_pattern(pattern)


def test_nothing_is_preserved_of_a_fresh_deployment() -> None:
    assert not any(stays(path, Rules.nothing()) for paths in STRIPPED.values() for path in paths)
