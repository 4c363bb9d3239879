# SPDX-License-Identifier: GPL-2.0-or-later
"""The command lines of arrays, LVM and LUKS, each as a whole."""

import shlex

import pytest

from swarmstrap.effects.disks import arrays, crypt, lvm, stack
from swarmstrap.effects.system import sealing
from swarmstrap.errors import StepFailed
from swarmstrap.layout import RaidLevel, RaidMetadata
from swarmstrap.steps.storage import MakeArray, MakeCrypt, MakeGroup, MakeLogical, MakePool
from swarmstrap.steps.system import SealKey
from swarmstrap.units import GiB
from swarmstrap.volumes import ArrayVolume, CryptVolume, LogicalVolume

UUID = "0d5c2f0e-2bd6-5a31-9f70-3c1f3d3f0a01"
ARRAY = ArrayVolume("system", UUID)
NODES = ["/dev/sda2", "/dev/sdb2", "/dev/sdc2", "/dev/sdd2"]
NAMED = "--run --homehost=any --name=system --uuid=0d5c2f0e:2bd65a31:9f703c1f:3d3f0a01"
VAULT = MakeCrypt(CryptVolume("vault", UUID), ARRAY, "server")


@pytest.mark.parametrize(
    ("level", "metadata", "spares", "rest"),
    [
        (0, "1.2", 0, "--raid-devices=4"),
        (1, "1.0", 0, "--raid-devices=4 --bitmap=internal --assume-clean"),
        (1, "1.2", 2, "--raid-devices=2 --spare-devices=2 --bitmap=internal --assume-clean"),
        (4, "1.2", 0, "--raid-devices=4 --bitmap=internal"),
        (5, "1.2", 1, "--raid-devices=3 --spare-devices=1 --bitmap=internal"),
        (6, "1.1", 0, "--raid-devices=4 --bitmap=internal"),
        (10, "1.2", 0, "--raid-devices=4 --bitmap=internal --assume-clean"),
    ],
)
def test_an_array(level: RaidLevel, metadata: RaidMetadata, spares: int, rest: str) -> None:
    whole = (ARRAY,) * 4
    step = MakeArray(ARRAY, level, whole[spares:], whole[:spares], metadata)
    assert shlex.join(arrays.create_arguments(step, NODES)) == (
        f"mdadm --create /dev/md/system {NAMED} --metadata={metadata} --level={level} {rest} "
        "/dev/sda2 /dev/sdb2 /dev/sdc2 /dev/sdd2"
    )


def test_an_array_that_is_there() -> None:
    step = MakeArray(ARRAY, 1, (ARRAY, ARRAY), (), "1.2")
    assert shlex.join(arrays.assemble_arguments(step, NODES[:2])) == (
        "mdadm --assemble /dev/md/system --run --homehost=any "
        "--uuid=0d5c2f0e:2bd65a31:9f703c1f:3d3f0a01 /dev/sda2 /dev/sdb2"
    )


def test_a_group() -> None:
    step = MakeGroup("system", (ARRAY,))
    assert [shlex.join(words) for words in lvm.group_commands(step, ["/dev/md127"])] == [
        "lvm pvcreate --dataalignment=1m /dev/md127",
        "lvm vgcreate --physicalextentsize=4m system /dev/md127",
    ]


def test_volumes_of_a_group() -> None:
    root, pool = LogicalVolume("system", "root"), LogicalVolume("system", "pool")
    assert shlex.join(lvm.logical_arguments(MakeLogical(root, 4 * GiB, ""))) == (
        "lvm lvcreate --size=4294967296b --wipesignatures=y --name=root system"
    )
    assert shlex.join(lvm.pool_arguments(MakePool(pool, 4 * GiB))) == (
        "lvm lvcreate --type=thin-pool --size=4294967296b --name=pool system"
    )
    assert shlex.join(lvm.logical_arguments(MakeLogical(root, 64 * GiB, "pool"))) == (
        "lvm lvcreate --type=thin --virtualsize=68719476736b --thinpool=pool --name=root system"
    )


def test_a_luks_volume() -> None:
    assert shlex.join(crypt.format_arguments(VAULT, "/dev/sda3")) == (
        "cryptsetup luksFormat --batch-mode --type=luks2 --key-file=- --pbkdf=argon2id "
        "--pbkdf-memory=65536 --pbkdf-parallel=4 --pbkdf-force-iterations=4 "
        f"--uuid={UUID} /dev/sda3"
    )
    assert shlex.join(crypt.open_arguments(VAULT, "/dev/sda3")) == (
        "cryptsetup open --type=luks2 --key-file=- /dev/sda3 vault"
    )


@pytest.mark.parametrize(("pcrs", "words"), [((), ""), ((7,), "7"), ((0, 7), "0+7")])
def test_a_key_that_systemd_asks_a_tpm2_for(pcrs: tuple[int, ...], words: str) -> None:
    """Without the words for PCRs, systemd would take 7 by itself."""
    step = SealKey(VAULT.volume, VAULT.device, "systemd", pcrs)
    assert shlex.join(sealing.cryptenroll_arguments(step, "/dev/sda3")) == (
        f"systemd-cryptenroll --wipe-slot=tpm2 --tpm2-device=auto --tpm2-pcrs={words} /dev/sda3"
    )


@pytest.mark.parametrize(
    ("pcrs", "policy"), [((), "{}"), ((0, 7), '{"pcr_bank": "sha256", "pcr_ids": "0,7"}')]
)
def test_a_key_that_clevis_asks_a_tpm2_for(pcrs: tuple[int, ...], policy: str) -> None:
    step = SealKey(VAULT.volume, VAULT.device, "clevis", pcrs)
    words = "clevis luks bind -y -k - -d /dev/sda3 tpm2"
    assert sealing.bind_arguments(step, "/dev/sda3") == [*words.split(), policy]


@pytest.mark.parametrize("secrets", [{}, {"vault": ""}, {"other": "word"}])
def test_no_secret_no_luks_volume(secrets: dict[str, str]) -> None:
    """Before anything is looked for or written."""
    with pytest.raises(StepFailed, match="the job has no secret for LUKS volume vault"):
        stack.carry_out(VAULT, secrets)
