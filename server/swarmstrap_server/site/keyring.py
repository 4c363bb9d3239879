# SPDX-License-Identifier: GPL-2.0-or-later
"""The publisher's keys over the years: one signs now, one will sign next, others still count or
never will again.

`keys/allowed_signers` and `keys/revoked_keys` are OpenSSH's own files, and may be edited by hand.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from swarmstrap.errors import BadInput
from swarmstrap.sshsig import fingerprint
from swarmstrap_server.files import replace
from swarmstrap_server.images.signing import PUBLIC, Key, public_half
from swarmstrap_server.site.paths import SitePaths

Role = Literal["current", "next", "allowed", "revoked"]

# The first bytes of a revocation list in OpenSSH's binary format (PROTOCOL.krl).
_KRL = b"SSHKRL\n\0"


@dataclass(frozen=True, slots=True)
class Listed:
    """`key` is `KIND BASE64`; `role` is what it counts for at this site."""

    key: str
    role: Role
    comment: str

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.key)


class Keyring:
    def __init__(self, paths: SitePaths) -> None:
        self._paths = paths

    def ls(self) -> tuple[Listed, ...]:
        """Those that count first."""
        roles: dict[str, Role] = {}
        for public, role in self._own():
            if public.exists():
                roles[_read(public)[0]] = role
        revoked = dict(_keys(self._revoked()))
        allowed = [
            Listed(key, roles.get(key, "allowed"), comment)
            for key, comment in _keys(self._allowed())
            if key not in revoked
        ]
        return (*allowed, *(Listed(key, "revoked", said) for key, said in revoked.items()))

    def add(self, given: Path | None, *, is_next: bool) -> Listed:
        """Allow the key in the file `given`, or a new one, which then is the next.

        Of the next key that is given both halves are kept, where both are there.
        """
        following = self._paths.next_publisher
        if is_next and public_half(following).exists():
            raise BadInput(
                f"there is a next key already: {public_half(following)}",
                hint="swarmstrap key rotate makes it the current one",
            )
        if given is None:
            self._check_signing_here()
            key = Key.generate(following)
        elif is_next:
            self._check_new(given)
            key = adopt(given, following)
        else:
            key = Key(given)
        self._check_new(key.path)
        lines = _ended(self._allowed()) + key.allowed_signers()
        replace(self._paths.allowed_signers, lines.encode())
        text, comment = _read(key.path)
        return Listed(text, "next" if is_next else "allowed", comment)

    def rotate(self) -> tuple[Listed | None, Listed]:
        """The next key signs from now on; what the current one signed still counts. Both are
        returned, the one before first.
        """
        following = self._paths.next_publisher
        if not public_half(following).exists():
            raise BadInput(
                "there is no next key", hint="make one: swarmstrap key add, then initramfs"
            )
        before = next((key for key in self.ls() if key.role == "current"), None)
        if public_half(self._paths.publisher).exists():
            self._retire(self._paths.publisher)
        _move(following, self._paths.publisher)
        text, comment = _read(self._paths.publisher)
        return before, Listed(text, "current", comment)

    def revoke(self, wanted: str) -> Listed:
        """Nothing that the key ever signed counts from now on. `wanted` is a fingerprint, or a file
        with a public key.
        """
        found = self._find(wanted)
        if found.role == "current":
            raise BadInput(
                f"{found.fingerprint} is the key that signs now",
                hint="first swarmstrap key add, then key rotate",
            )
        line = f"{found.key} {found.comment}".rstrip()
        replace(self._paths.revoked_keys, f"{_ended(self._revoked())}{line}\n".encode())
        kept = (line for line in self._allowed().splitlines(True) if found.key not in line)
        replace(self._paths.allowed_signers, "".join(kept).encode())
        if found.role == "next":
            self._retire(self._paths.next_publisher)
        return found

    def _find(self, wanted: str) -> Listed:
        known = {listed.fingerprint: listed for listed in self.ls()}
        path = Path(wanted)
        if path.is_file():
            key, comment = _read(path)
            listed = known.get(fingerprint(key), Listed(key, "allowed", comment))
        elif wanted in known:
            listed = known[wanted]
        else:
            raise BadInput(
                f"no key {wanted!r}",
                hint="say a fingerprint of swarmstrap key ls, or a .pub file",
            )
        if listed.role == "revoked":
            raise BadInput(f"{listed.fingerprint} was revoked already")
        return listed

    def _check_new(self, path: Path) -> None:
        key, _ = _read(path)
        for listed in self.ls():
            if listed.key == key:
                said = "was revoked" if listed.role == "revoked" else "is allowed already"
                raise BadInput(f"{listed.fingerprint} {said}", hint="see swarmstrap key ls")

    def _check_signing_here(self) -> None:
        publisher = self._paths.publisher
        if public_half(publisher).exists() and not publisher.exists():
            raise BadInput(
                "the publisher's key is not on this machine, nor should the next one be",
                hint="make it where the other one is: ssh-keygen; then key add --next KEY.pub",
            )

    def _own(self) -> Iterator[tuple[Path, Role]]:
        yield public_half(self._paths.publisher), "current"
        yield public_half(self._paths.next_publisher), "next"

    def _retire(self, path: Path) -> None:
        """Kept, in case somebody wants it back, under a name that nothing looks for."""
        name = re.sub(r"\W", "", fingerprint(_read(path)[0]).removeprefix("SHA256:"))
        _move(path, path.with_name(f"retired-{name[:8]}"))

    def _allowed(self) -> str:
        path = self._paths.allowed_signers
        return path.read_text() if path.exists() else ""

    def _revoked(self) -> str:
        path = self._paths.revoked_keys
        content = path.read_bytes() if path.exists() else b""
        if content.startswith(_KRL):
            raise BadInput(
                f"{path} is a KRL, which only OpenSSH can change",
                hint=f"add to it with ssh-keygen -k -u -f {path} FILE.pub",
            )
        return content.decode()


def adopt(given: Path, place: Path) -> Key:
    """Copy a key to `place`; only a private half that was given is there afterwards."""
    public = public_half(given)
    try:
        shutil.copyfile(public, public_half(place))
        if given != public:
            replace(place, given.read_bytes(), 0o600)
    except OSError as error:
        raise BadInput(f"cannot read the key {error.filename}: {error.strerror}") from error
    return Key(place)


def _read(path: Path) -> tuple[str, str]:
    """The public half and its comment."""
    kind, blob, *comment = Key(path).public.split(maxsplit=2)
    return f"{kind} {blob}", "".join(comment)


def _keys(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        found = None if line.startswith("#") else PUBLIC.search(line)
        if found is not None:
            yield found[1], (found[2] or "").strip()


def _ended(text: str) -> str:
    """Ready for another line."""
    return text if text.endswith("\n") or not text else f"{text}\n"


def _move(source: Path, target: Path) -> None:
    if source.exists():
        source.rename(target)
    public_half(source).rename(public_half(target))
