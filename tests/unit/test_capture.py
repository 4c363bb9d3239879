# SPDX-License-Identifier: GPL-2.0-or-later
"""What a capture keeps, leaves out and says; and that the same tree gives the same bytes."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from tests.trees import ELF_X86_64, nasty_system, needs_root, scratch, small_system

from swarmstrap.errors import BadInput
from swarmstrap.index import Entry, Index, decode
from swarmstrap.manifest import INDEX_FILE, Kernel
from swarmstrap_server.images import compress, strip
from swarmstrap_server.images.facts import inside, natural, read_architecture, read_facts
from swarmstrap_server.images.framing import FRAME, Framer
from swarmstrap_server.images.library import ImageStore
from swarmstrap_server.images.publish import Published, publish
from swarmstrap_server.images.signing import Key
from swarmstrap_server.images.source import CaptureFailed
from swarmstrap_server.images.sources.directory import Directory, OpenFile
from swarmstrap_server.images.walk import Walk


@pytest.fixture
def place() -> Iterator[Path]:
    with scratch() as path:
        yield path


@pytest.fixture
def source(place: Path) -> Path:
    root = place / "source"
    small_system(root)
    return root


def files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def walk(root: Path) -> Walk:
    return Walk(Directory(root))


def walked(root: Path) -> dict[bytes, int]:
    """Path and size of all that a capture would hold."""
    return {entry.path: entry.size for entry in walk(root)}


def index_of(published: Published) -> Index:
    return decode(compress.decompress((published.directory / INDEX_FILE).read_bytes()))


@needs_root
def test_same_tree_same_bytes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    key = Key.generate(place / "publisher")
    (place / "one").mkdir()
    nasty_system(place / "one")
    subprocess.run(["cp", "-a", place / "one", place / "two"], check=True)
    images = [
        publish(
            Directory(place / tree), "same", "1", ImageStore(place / f"images-{tree}"), key, level=3
        )
        for tree in ("one", "two")
    ]
    for name in sorted(os.listdir(images[0].directory)):
        one, two = ((image.directory / name).read_bytes() for image in images)
        assert one == two, name


def test_versions_share_the_frames_away_from_a_change(place: Path, source: Path) -> None:
    for number in range(400):
        (source / f"file{number:03}").write_bytes(os.urandom(200_000))
    key, store = Key.generate(place / "publisher"), ImageStore(place / "images")
    before = index_of(publish(Directory(source), "system", "1", store, key, level=1))
    (source / "file200").write_bytes(b"another size and content")
    (source / "file200a").write_bytes(b"a new file")
    after = index_of(publish(Directory(source), "system", "2", store, key, level=1))
    old = {frame.sha256 for frame in before.frames}
    changed = [frame for frame in after.frames if frame.sha256 not in old]
    assert len(before.frames) >= 8
    # The one with the change; the root's, whose time changed; perhaps one until cuts meet again.
    assert 1 <= len(changed) <= 4


def test_frames_are_as_large_as_said(source: Path) -> None:
    for number in range(3000):
        (source / f"small{number}").write_bytes(bytes(number * 7))
    for number in range(8):
        (source / f"middle{number}").write_bytes(bytes(FRAME - number * 1_000_000))
    (source / "large").write_bytes(bytes(3 * FRAME + 1))
    sizes = [len(frame.data) for frame in Framer(walk(source))]
    assert max(sizes) <= FRAME * 3 // 2
    assert sum(sizes) / len(sizes) > FRAME / 2
    assert all(size % 512 == 0 for size in sizes[:-1])


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


def test_secrets_are_told(place: Path, source: Path) -> None:
    for name, data in SECRETS.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    key, store = Key.generate(place / "publisher"), ImageStore(place / "images")
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


@needs_root
def test_mounts_below_the_source_are_left_out(source: Path) -> None:
    files(source, "a b/hidden", "other/kept")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0711", "tmpfs", source / "a b"], check=True)
    try:
        files(source, "a b/mounted")
        taken = walk(source)
        paths = [entry.path for entry in taken]
    finally:
        subprocess.run(["umount", source / "a b"], check=True)
    assert b"a b" in paths
    assert b"other/kept" in paths
    assert not any(path.startswith(b"a b/") for path in paths)
    assert taken.left_out == ["'a b': what is mounted there (tmpfs)"]


@needs_root
def test_a_filesystem_of_the_same_system_is_crossed_into(source: Path) -> None:
    files(source, "boot/hidden")
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source / "boot"], check=True)
    try:
        files(source, "boot/kernel")
        (source / "boot/efi").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", source / "boot/efi"], check=True)
        files(source, "boot/efi/loader")
        both = [source / "boot", source / "boot/efi"]
        assert b"boot/efi/loader" in {entry.path for entry in Walk(Directory(source, both))}
        taken = Walk(Directory(source, both[:1]))
        assert b"boot/kernel" in {entry.path for entry in taken}
        assert taken.left_out == ["'boot/efi': what is mounted there (tmpfs)"]
        assert Directory(source, both).reaches(source / "boot/efi/images")
        assert not Directory(source, both[:1]).reaches(source / "boot/efi/images")
    finally:
        subprocess.run(["umount", "-R", source / "boot"], check=True)
    with pytest.raises(BadInput, match=r"nothing is mounted at .*boot"):
        Directory(source, both)
    with pytest.raises(BadInput, match=r"/proc is a filesystem of the kernel's \(proc\)"):
        Directory(Path("/"), [Path("/proc")])


@pytest.mark.parametrize("source", ["/proc", "/sys", "/proc/self", "/dev/null", "/missing"])
def test_not_a_system(source: str) -> None:
    with pytest.raises(BadInput, match=r"no directory|filesystem of the kernel's"):
        Directory(Path(source))


class Busy(Directory):
    """Somebody writes to the file `log` whenever it is opened, `times` times."""

    def __init__(self, root: Path, times: int) -> None:
        super().__init__(root)
        self.log = root / "log"
        self.times = times

    @contextmanager
    def open(self, entry: Entry) -> Iterator[OpenFile]:
        with super().open(entry) as data:
            if entry.path == b"log" and self.times:
                self.times -= 1
                with self.log.open("a") as log:
                    log.write("more")
            yield data


def test_a_file_that_changes_is_read_again(source: Path) -> None:
    files(source, "log")
    framer = Framer(Walk(Busy(source, 3)))
    data = b"".join(frame.data for frame in framer)
    assert b"logmoremoremore" in data
    assert {entry.path: entry.size for entry in framer.entries}[b"log"] == 15


def test_a_file_that_does_not_stop_to_change_is_an_error(source: Path) -> None:
    files(source, "log")
    with pytest.raises(CaptureFailed, match="'log' changed while it was captured"):
        list(Framer(Walk(Busy(source, 99))))


def test_a_large_file_that_changes_is_an_error(source: Path) -> None:
    (source / "log").write_bytes(bytes(FRAME + 1))
    with pytest.raises(CaptureFailed, match="'log' changed while it was captured"):
        list(Framer(Walk(Busy(source, 1))))


def test_a_file_that_goes_away(source: Path) -> None:
    files(source, "a", "b", "c")
    os.link(source / "b", source / "d")

    class Leaving(Directory):
        @contextmanager
        def open(self, entry: Entry) -> Iterator[OpenFile]:
            if entry.path == b"b":
                (source / "b").unlink()
            with super().open(entry) as data:
                yield data

    framer = Framer(Walk(Leaving(source)))
    list(framer)
    kinds = {entry.path: entry.kind for entry in framer.entries}
    assert b"b" not in kinds
    assert kinds[b"d"] == "f"
    assert framer.warnings == ["'b' went away while it was captured"]


def test_facts(source: Path) -> None:
    files(
        source,
        "boot/vmlinuz-6.1.0-9-amd64",
        "boot/vmlinuz-6.1.0-10-amd64",
        "boot/initrd.img-6.1.0-10-amd64",
        "boot/vmlinuz-0-rescue-abc",
        "usr/lib/grub/i386-pc/normal.mod",
        "usr/lib/grub/x86_64-efi/normal.mod",
        "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
        "usr/lib/grub/grub-mkconfig_lib",
        "sbin/ifup",
    )
    (source / "vmlinuz").symlink_to("boot/vmlinuz-6.1.0-10-amd64")
    wants = source / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "networking.service").symlink_to("/lib/systemd/system/networking.service")
    facts = read_facts(Directory(source))
    assert (facts.os_id, facts.os_name, facts.os_version) == ("test", "Test 1", "1")
    assert facts.kernels == (
        Kernel("6.1.0-10-amd64", "boot/vmlinuz-6.1.0-10-amd64", "boot/initrd.img-6.1.0-10-amd64"),
        Kernel("6.1.0-9-amd64", "boot/vmlinuz-6.1.0-9-amd64", ""),
    )
    assert facts.grub_targets == ("i386-pc", "x86_64-efi")
    assert facts.network_stack == "ifupdown"
    (wants / "NetworkManager.service").symlink_to("/nowhere")
    assert read_facts(Directory(source)).network_stack == "networkmanager"
    (wants / "systemd-networkd.service").symlink_to("/nowhere")
    assert read_facts(Directory(source)).network_stack == "systemd-networkd"


def test_architecture_is_the_images_own(source: Path) -> None:
    assert read_architecture(Directory(source)) == "x86_64"
    (source / "bin/sh").unlink()
    (source / "bin/dash").write_bytes(ELF_X86_64[:18] + b"\xb7\x00")
    (source / "bin/sh").symlink_to("/bin/dash")
    assert read_architecture(Directory(source)) == "aarch64"
    shutil.rmtree(source / "bin")
    with pytest.raises(BadInput, match="no program that tells its architecture"):
        read_architecture(Directory(source))


@pytest.mark.parametrize(
    ("machine", "order", "name"),
    [
        (21, "little", "ppc64le"),
        (21, "big", "ppc64"),
        (22, "big", "s390x"),
        (243, "little", "riscv64"),
        (9999, "little", "elf-9999-little"),
    ],
)
def test_architectures(
    source: Path, machine: int, order: Literal["little", "big"], name: str
) -> None:
    head = bytearray(ELF_X86_64)
    head[5] = 1 if order == "little" else 2
    head[18:20] = machine.to_bytes(2, order)
    (source / "bin/sh").write_bytes(head)
    assert read_architecture(Directory(source)) == name


def test_links_do_not_lead_out_of_the_image(source: Path) -> None:
    (source / "loop").symlink_to("loop")
    (source / "up").symlink_to("../../../../../../etc/os-release")
    (source / "absolute").symlink_to("/etc")
    tree = Directory(source)
    release = tree.look(b"etc/os-release")
    assert release is not None
    assert inside(tree, "loop") is None
    assert inside(tree, "up") == inside(tree, "absolute/os-release") == release.entry
    assert inside(tree, "absolute/passwd") is None


def test_versions_in_natural_order() -> None:
    assert sorted(["6.10.0", "6.9.1", "6.9.1-rc2", "6.9"], key=natural) == [
        "6.9",
        "6.9.1",
        "6.9.1-rc2",
        "6.10.0",
    ]
