# SPDX-License-Identifier: GPL-2.0-or-later
"""Who in an image's initramfs could ask a TPM2 for the key of a LUKS volume.

It may be the next initramfs: a node makes one anew that lacks what it needs, by the tool that the
image carries.
"""

import re

from swarmstrap.manifest import Tpm2Unlocker
from swarmstrap.units import KiB
from swarmstrap_server.images.looking import first_bytes, names, there
from swarmstrap_server.images.source import Source

_LIBRARIES = ("usr/lib64", "usr/lib", "usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu")
_TSS = "libtss2-esys.so.0"
_DRACUT_MODULES = "usr/lib/dracut/modules.d"
_CLEVIS = ("usr/bin/clevis-luks-bind", "usr/bin/clevis-encrypt-tpm2", "usr/bin/clevis-decrypt-tpm2")
_CLEVIS_HOOK = "usr/share/initramfs-tools/hooks/clevis"
_SD_ENCRYPT = re.compile(rb"^\s*HOOKS=.*\bsd-encrypt\b", re.MULTILINE)
_MOST = 64 * KiB


def tpm2_unlocker(source: Source) -> Tpm2Unlocker:
    """systemd where both could, for nothing else has to be installed to look at its keys."""
    if not any(there(source, f"{folder}/{_TSS}") for folder in _LIBRARIES):
        return ""
    dracut = [name.lstrip("0123456789") for name in names(source, _DRACUT_MODULES)]
    if there(source, "usr/bin/systemd-cryptenroll"):
        # dracut's module is refused by dracut itself without that program.
        if "tpm2-tss" in dracut and there(source, "usr/bin/tpm2"):
            return "systemd"
        if _SD_ENCRYPT.search(first_bytes(source, "etc/mkinitcpio.conf", _MOST) or b""):
            return "systemd"
    if all(there(source, program) for program in _CLEVIS):
        if "clevis-pin-tpm2" in dracut or there(source, _CLEVIS_HOOK):
            return "clevis"
    return ""
