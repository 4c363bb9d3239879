# SPDX-License-Identifier: GPL-2.0-or-later
"""Keys of LUKS volumes that the node's TPM2 gives out: to what they are bound, who asks. Pure.

The key that the server keeps opens the volume all the same: when the TPM is dead or another one,
and when what the key is bound to has changed.
"""

from collections.abc import Iterator

from swarmstrap.errors import Unplannable
from swarmstrap.hardware import Inventory
from swarmstrap.layout import Luks
from swarmstrap.manifest import Facts, Manifest, Tpm2Unlocker
from swarmstrap.stacking import Placed
from swarmstrap.steps.storage import MakeCrypt
from swarmstrap.steps.system import Need, SealKey
from swarmstrap.wire import Job

# Who signs what this machine starts, and whether anybody looks (PC Client Platform Firmware
# Profile, 3.3.4.8). It says nothing while Secure Boot is off.
SECURE_BOOT_PCR = 7
# What an initramfs has that asks a TPM2. systemd opens its libraries when it needs them.
_ASKING: dict[Tpm2Unlocker, tuple[str, ...]] = {
    "": (),
    "systemd": ("systemd-cryptsetup", "libtss2-esys.so.0"),
    "clevis": ("clevis-decrypt-tpm2",),
}


def sealing_steps(
    inventory: Inventory, job: Job, manifest: Manifest, placed: Placed
) -> Iterator[SealKey]:
    """Raises Unplannable when the node has nothing that could keep a key."""
    wanted = {volume.name: volume for volume in job.layout.luks}
    for made in placed.making:
        if isinstance(made, MakeCrypt) and made.key == "tpm2":
            _check_tpm(inventory, made)
            pcrs = _pcrs(inventory, wanted[made.volume.name])
            yield SealKey(made.volume, made.device, manifest.facts.tpm2_unlocker, pcrs)


def asking(inventory: Inventory, facts: Facts, made: MakeCrypt) -> tuple[list[Need], list[Need]]:
    """The modules and the programs by which the initramfs comes to the key in the TPM2."""
    if made.key != "tpm2":
        return [], []
    drivers = inventory.tpm.drivers if inventory.tpm else ()
    names = _ASKING[facts.tpm2_unlocker]
    return (
        [Need(driver, "the TPM2") for driver in drivers],
        [Need(name, str(made.volume)) for name in names],
    )


def _check_tpm(inventory: Inventory, made: MakeCrypt) -> None:
    if inventory.tpm is None or inventory.tpm.version != 2:
        found = "only a TPM of version 1" if inventory.tpm else "no TPM"
        raise Unplannable(
            f"{made.volume} is to have a key in the TPM2, and the node has {found}",
            hint="switch it on in the firmware's setup, or write `key: server`",
        )


def _pcrs(inventory: Inventory, volume: Luks) -> tuple[int, ...]:
    secure = bool(inventory.boot.secure_boot)
    if volume.tpm2_pcrs is None:
        return (SECURE_BOOT_PCR,) if secure else ()
    if SECURE_BOOT_PCR in volume.tpm2_pcrs and not secure:
        raise Unplannable(
            f"luks {volume.name} is to be bound to PCR {SECURE_BOOT_PCR}, and Secure Boot is off",
            hint="switch it on, or leave tpm2_pcrs out: that PCR would keep nobody out",
        )
    return volume.tpm2_pcrs
