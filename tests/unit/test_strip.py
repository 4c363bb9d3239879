# SPDX-License-Identifier: GPL-2.0-or-later
"""What is stripped from a capture, and which secrets are told."""

import os
from pathlib import Path

import pytest
from tests.trees import files, small_system

from swarmstrap.errors import BadInput
from swarmstrap_server.images import strip
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.sources.directory import Directory
from swarmstrap_server.images.walk import Walk


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    small_system(root)
    return root


def walk(root: Path) -> Walk:
    return Walk(Directory(root))


def test_what_must_not_be_cloned(source: Path) -> None:
    files(
        source,
        "etc/machine-id",
        "etc/ssh/ssh_host_ed25519_key",
        "etc/ssh/ssh_host_ed25519_key.pub",
        "etc/ssh/sshd_config",
        "var/lib/dbus/machine-id",
        "var/lib/dhcp/dhclient.leases",
        "var/lib/systemd/random-seed",
        "var/log/syslog",
        "var/log/syslog.1",
        "var/log/apt/history.log",
        "var/log/journal/0123/system.journal",
        "var/cache/apt/archives/partial/x.deb",
        "var/cache/apt/archives/bash.deb",
        "var/lib/apt/lists/archive.example_Packages",
        "tmp/x/y",
        "var/tmp/z",
        "run/pid",
        "root/.bash_history",
        "root/.cache/pip/x",
        "root/.profile",
        "etc/shadow-",
        "etc/netplan/50-cloud-init.yaml",
        "etc/netplan/60-ours.yaml",
        "etc/pki/consumer/key.pem",
        "etc/pki/tls/cert.pem",
        "var/cache/pacman/pkg/bash.tar.zst",
        "var/lib/wicked/lease.xml",
        "var/crash/core",
        "swap.img",
        "home/me/tmp/kept",
        ".dockerenv",
        "lost+found/x",
        "etc/initramfs-tools/conf.d/resume",
        "etc/udev/rules.d/70-persistent-net.rules",
    )
    taken = walk(source)
    found = {entry.path.decode(): entry.size for entry in taken}
    assert found["etc/machine-id"] == 0
    assert found["var/log/syslog"] == found["var/log/apt/history.log"] == 0
    kept = {path for path in found if (source / path).is_file()}
    assert kept == {
        "bin/sh",
        "etc/machine-id",
        "etc/os-release",
        "etc/ssh/sshd_config",
        "etc/netplan/60-ours.yaml",
        "etc/pki/tls/cert.pem",
        "var/log/syslog",
        "var/log/apt/history.log",
        "root/.profile",
        "home/me/tmp/kept",
    }
    emptied = {"tmp", "var/tmp", "run", "var/log/journal", "var/cache/apt/archives/partial"}
    assert emptied <= found.keys()
    summary = taken.strip.summary()
    assert "ssh-host-keys: removed 2, because nodes that share host keys" in "\n".join(summary)
    assert len(summary) == 20


def test_rules_are_switched_by_name(source: Path) -> None:
    files(source, "etc/machine-id", "tmp/x", "srv/data/y", "srv/z")
    rules = strip.chosen(["machine-id", "temporary"], ["srv/d*", "/nothing/"])
    taken = Walk(Directory(source), rules)
    found = {entry.path: entry.size for entry in taken}
    assert found[b"etc/machine-id"]
    assert b"tmp/x" in found
    assert b"srv/z" in found
    assert b"srv/data" not in found
    assert taken.strip.summary() == ("as asked, srv/d*: removed 1, because it was named",)
    assert strip.chosen(["all"], []) == ()
    with pytest.raises(BadInput, match=r"no rule machine-ids \(there are: machine-id, dbus"):
        strip.chosen(["machine-ids"], [])


SECRETS = {
    "etc/shadow": b"root:$y$j9T$abc$def:1::\nold:abcdefghijklm:1::\nopen::1::\nno:!:1::\nx:*:1::\n",
    "root/.ssh/authorized_keys": b"# mine\nssh-ed25519 AAAA me\n\n",
    "home/me/.ssh/authorized_keys": b"# none\n",
    "etc/ssl/private/a.key": b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\n",
    "root/.ssh/id": b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAA\n",
    "srv/rsa.pem": b"cert first\n-----BEGIN RSA PRIVATE KEY-----\r\nProc-Type: 4,ENCRYPTED\n",
    "srv/a.ppk": b"PuTTY-User-Key-File-3: ssh-ed25519\n",
    "srv/manual.txt": b"it begins with -----BEGIN PRIVATE KEY-----\n",
    "srv/program": b"\0-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----\0",
    "usr/lib/python3/test/key.pem": b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\n",
    "etc/NetworkManager/system-connections/home.nmconnection": b"[wifi-security]\npsk=secret\n",
    "etc/NetworkManager/system-connections/office": b"[ipv4]\nmethod=auto\n",
}


def test_secrets_are_told(tmp_path: Path, source: Path) -> None:
    for name, data in SECRETS.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    key, store = Key.generate(tmp_path / "publisher"), ImageStore(tmp_path / "images")
    warnings = publish(Directory(source), "system", "1", store, key, level=1).manifest.warnings
    assert list(warnings) == [
        "'etc/NetworkManager/system-connections/home.nmconnection' has the password of a network",
        "'etc/shadow' has the password hashes of root, old",
        "'etc/shadow' has no password at all for open",
        "'etc/ssl/private/a.key' is a private key",
        "'root/.ssh/authorized_keys' opens every node to SSH keys: 1",
        "'root/.ssh/id' is a private key",
        "'srv/a.ppk' is a private key",
        "'srv/rsa.pem' is a private key",
        "private keys below usr/lib, usr/share and usr/src, where packages have their samples: 1",
        "there is no kernel in boot/: the image cannot boot by itself",
    ]


def test_a_stripped_file_is_no_target_of_hard_links(source: Path) -> None:
    files(source, "tmp/a", "usr/b")
    os.link(source / "tmp/a", source / "usr/a")
    os.link(source / "usr/a", source / "usr/c")
    kinds = {entry.path: (entry.kind, entry.target) for entry in walk(source)}
    assert kinds[b"usr/a"] == ("f", b"")
    assert kinds[b"usr/c"] == ("h", b"usr/a")
