# SPDX-License-Identifier: GPL-2.0-or-later
"""What nodes trust, as files of the initramfs: nothing that a server says later can change it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from swarmstrap.errors import BadInput
from swarmstrap.floors import encode
from swarmstrap_server.site.reading import Site

CA_CERTIFICATE = "/etc/swarmstrap/ca.crt"
ALLOWED_SIGNERS = "/etc/swarmstrap/allowed_signers"
REVOKED_KEYS = "/etc/swarmstrap/revoked_keys"
FLOORS = "/etc/swarmstrap/floors.json"


def baked(site: Site) -> dict[str, bytes]:
    """Contents by path; raises BadInput for a CA or a list of signers that is missing or empty.

    What is empty is there all the same, to replace what an initramfs below it has.
    """
    revoked = site.paths.revoked_keys
    return {
        CA_CERTIFICATE: _read(site.paths.ca_certificate),
        ALLOWED_SIGNERS: _read(site.paths.allowed_signers),
        REVOKED_KEYS: revoked.read_bytes() if revoked.exists() else b"",
        FLOORS: encode(site.floors),
    }


def note(files: Mapping[str, bytes], initramfs: Path) -> None:
    """Remember beside `initramfs` what was baked into it."""
    _record(initramfs).write_text(_digest(files))


def is_current(files: Mapping[str, bytes], initramfs: Path) -> bool:
    """Whether `files` are what was noted."""
    record = _record(initramfs)
    return record.exists() and record.read_text() == _digest(files)


def _record(initramfs: Path) -> Path:
    return initramfs.with_suffix(".baked")


def _digest(files: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for path, content in sorted(files.items()):
        whole.update(f"{path} {len(content)}\n".encode() + content)
    return f"{whole.hexdigest()}\n"


def _read(path: Path) -> bytes:
    hint = "swarmstrap init makes a site's keys"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}", hint=hint) from error
    if not content.strip():
        raise BadInput(f"{path} is empty", hint=hint)
    return content
