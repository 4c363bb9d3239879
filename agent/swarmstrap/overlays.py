# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of the site laid over an image: what may be among them, what the publisher signs of them,
and what templates become on one node. Pure.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from string import Template

import msgspec

from swarmstrap.errors import BadInput, Unplannable
from swarmstrap.steps.system import LayOverlay
from swarmstrap.units import MiB, human
from swarmstrap.wire import Job, Overlay, OverlayFile

# They ride in the job, which a server makes and a node holds in memory.
MOST_BYTES = 4 * MiB
OVERLAY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

# A `*`, `?` or `[` would be a pattern to the updates that leave these paths alone.
_PATH = re.compile(r"(?:/[^/\0-\x1f\x7f\ud800-\udfff*?\[]+)+")
# What the deployment itself says of the disks and of the node, and what no disk keeps.
_TAKEN = ("/etc/fstab", "/etc/crypttab", "/etc/machine-id", "/var/lib/swarmstrap")
_NOWHERE = ("/dev", "/proc", "/run", "/sys")


def check_overlay(overlay: Overlay) -> None:
    """Raises BadInput for what nobody may lay over an image."""
    if not OVERLAY_NAME.fullmatch(overlay.name):
        raise BadInput(f"overlay name {overlay.name!r} is not usable", hint="name it as in base")
    for file in overlay.files:
        if complaint := unfit(file):
            raise BadInput(f"overlay {overlay.name}: {complaint}", hint="see docs/overlays.md")


def unfit(file: OverlayFile) -> str:
    """Why nobody may lay `file` over an image; "" when one may."""
    path = file.path
    if not _PATH.fullmatch(path) or {".", ".."} & set(path.split("/")):
        return f"{path!r} is not a path to lay a file at"
    if _below(path, _TAKEN):
        return f"{path} is written by the deployment itself"
    if _below(path, _NOWHERE):
        return f"{path} lies on no disk of the new system"
    if not 0 <= file.mode <= 0o7777 or min(file.owner, file.group) < 0:
        return f"{path} has no mode or owner that a file can have"
    if file.kind == "link" and (not file.content or b"\0" in file.content):
        return f"{path} points to nothing"
    return ""


def _below(path: str, places: Sequence[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def listing(overlay: Overlay) -> bytes:
    """What is signed: a line of JSON with the name, and one for each file by its path, as path,
    kind, mode in octal, owner, group and the sha256 of its content in hex.
    """
    lines: list[list[str | int]] = [["overlay", overlay.name]]
    for file in sorted(overlay.files, key=lambda file: file.path):
        digest = hashlib.sha256(file.content).hexdigest()
        lines.append([file.path, file.kind, f"{file.mode:04o}", file.owner, file.group, digest])
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def size(overlay: Overlay) -> int:
    return sum(len(file.path.encode()) + len(file.content) for file in overlay.files)


def too_large(overlays: Sequence[Overlay]) -> str:
    """A complaint when one node cannot have all of them; "" otherwise."""
    whole = sum(map(size, overlays))
    if whole <= MOST_BYTES:
        return ""
    return f"overlays of {human(whole)} in all, and a node takes {human(MOST_BYTES)}"


def words_of(job: Job) -> dict[str, str]:
    """As `words`."""
    return words(job.node, job.hostname, job.groups, job.variables)


def words(
    node: str, hostname: str, groups: Sequence[str], variables: Mapping[str, str]
) -> dict[str, str]:
    """What hooks and templates may name of what the site says of a node."""
    own = {f"SWARMSTRAP_VAR_{name}": value for name, value in variables.items()}
    return own | {
        "SWARMSTRAP_NODE": node,
        "SWARMSTRAP_HOSTNAME": hostname or node,
        "SWARMSTRAP_GROUPS": " ".join(groups),
    }


def overlay_steps(overlays: Sequence[Overlay], words: Mapping[str, str]) -> Iterator[LayOverlay]:
    """In their order; raises BadInput when they are too large, Unplannable for a template that
    names what this node does not have.
    """
    if complaint := too_large(overlays):
        raise BadInput(complaint, hint="put large files into the image")
    for overlay in overlays:
        yield LayOverlay(overlay.name, tuple(_laid(overlay, file, words) for file in overlay.files))


def _laid(overlay: Overlay, file: OverlayFile, words: Mapping[str, str]) -> OverlayFile:
    if file.kind != "template":
        return file
    place = f"overlay {overlay.name}: template of {file.path}"
    try:
        text = Template(file.content.decode()).substitute(words)
    except UnicodeDecodeError as error:
        raise Unplannable(f"{place} is not UTF-8 text", hint="drop the suffix .tmpl") from error
    except KeyError as error:
        raise Unplannable(
            f"{place} names {error.args[0]}, which this node does not have",
            hint="say it in `variables` of the node or of a group; $$ stands for a dollar sign",
        ) from error
    except ValueError as error:
        reason = str(error).removeprefix("Invalid placeholder in string: ")
        raise Unplannable(
            f"{place} has a $ without a name: {reason}", hint="$$ stands for a dollar sign"
        ) from error
    return msgspec.structs.replace(file, kind="file", content=text.encode())
