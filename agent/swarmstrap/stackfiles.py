# SPDX-License-Identifier: GPL-2.0-or-later
"""What an installed system has to know to find its arrays and LUKS volumes again. Pure.

systemd has to be told which volume has a key in the TPM2; clevis answers whoever asks.
"""

from collections.abc import Iterable, Iterator

from swarmstrap.manifest import Facts
from swarmstrap.stacking import Making
from swarmstrap.steps.storage import MakeArray, MakeCrypt, MakeGroup
from swarmstrap.steps.system import WriteFile
from swarmstrap.volumes import mdadm_uuid

_DEBIAN = ("debian", "ubuntu")
_ASKING = "tpm2-device=auto"  # crypttab(5)


def stack_files(making: Iterable[Making], facts: Facts) -> Iterator[WriteFile]:
    """mdadm.conf and crypttab, where there is something to say."""
    made = list(making)
    if arrays := [step for step in made if isinstance(step, MakeArray)]:
        path = "/etc/mdadm/mdadm.conf" if facts.os_id in _DEBIAN else "/etc/mdadm.conf"
        yield WriteFile(path, mdadm_conf(arrays), 0o644)
    if crypts := [step for step in made if isinstance(step, MakeCrypt)]:
        yield WriteFile("/etc/crypttab", crypttab(crypts, facts), 0o600)


def mdadm_conf(arrays: Iterable[MakeArray]) -> str:
    lines = ["# Written by Swarmstrap.", "HOMEHOST <ignore>", "MAILADDR root"]
    for array in arrays:
        uuid = mdadm_uuid(array.volume.uuid)
        lines.append(f"ARRAY /dev/md/{array.volume.name} metadata={array.metadata} UUID={uuid}")
    return "\n".join([*lines, ""])


def crypttab(crypts: Iterable[MakeCrypt], facts: Facts) -> str:
    """All are opened in the initramfs, where a person at the console is asked once."""
    lines = ["# <name> <device> <key> <options>"]
    for crypt in crypts:
        early = "initramfs" if facts.os_id in _DEBIAN else "x-initrd.attach"
        if asks_tpm2(crypt, facts):
            early = f"{_ASKING},x-initrd.attach"
        lines.append(f"{crypt.volume.name} UUID={crypt.volume.uuid} none luks,discard,{early}")
    return "\n".join([*lines, ""])


def asks_tpm2(crypt: MakeCrypt, facts: Facts) -> bool:
    """Whether systemd has to be told to."""
    return crypt.key == "tpm2" and facts.tpm2_unlocker == "systemd"


def assembling(making: Iterable[Making], facts: Facts) -> Iterator[str]:
    """For an initramfs that was made elsewhere: dracut's starts what the command line names, and
    that of Debian's cryptsetup takes `cryptopts` for its crypttab.
    """
    for step in making:
        if isinstance(step, MakeArray):
            yield f"rd.md.uuid={mdadm_uuid(step.volume.uuid)}"
        elif isinstance(step, MakeCrypt):
            name, uuid = step.volume.name, step.volume.uuid
            yield f"rd.luks.name={uuid}={name}"
            if asks_tpm2(step, facts):
                yield f"rd.luks.options={uuid}={_ASKING},discard"
                continue
            yield f"cryptopts=target={name},source=UUID={uuid},luks,discard"
        elif isinstance(step, MakeGroup):
            yield f"rd.lvm.vg={step.name}"
