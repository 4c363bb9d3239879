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
from swarmstrap_server.images.signing import Key
from swarmstrap_server.site.paths import SitePaths

Role = Literal["current", "next", "allowed", "revoked"]

_KEY = re.compile(r"((?:ssh|ecdsa|sk)-\S+ AAAA[0-9A-Za-z+/]+=*)(?: +(.+))?")
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
        if is_next and _public(following).exists():
            raise BadInput(
                f"there is a next key already: {_public(following)}",
                hint="swarmstrap key rotate makes it the current one",
            )
        if given is None:
            key = Key.generate(following)
        elif is_next:
            self._check_new(given)
            key = adopt(given, following)
        else:
            key = Key(given)
        self._check_new(key.path)
        lines = self._allowed()
        replace(self._paths.allowed_signers, (_ended(lines) + key.allowed_signers()).encode())
        text, comment = _read(_public(key.path))
        return Listed(text, "next" if is_next else "allowed", comment)

    def rotate(self) -> Listed:
        """The next key signs from now on; what the current one signed still counts."""
        following = self._paths.next_publisher
        if not _public(following).exists():
            raise BadInput(
                "there is no next key", hint="make one: swarmstrap key add, then initramfs"
            )
        if _public(self._paths.publisher).exists():
            self._retire(self._paths.publisher)
        _move(following, self._paths.publisher)
        text, comment = _read(_public(self._paths.publisher))
        return Listed(text, "current", comment)

    def revoke(self, wanted: str) -> Listed:
        """Nothing that the key ever signed counts from now on. `wanted` is a fingerprint, or a file
        with a public key.
        """
        found = self._find(wanted)
        if found.role == "current":
            raise BadInput(
                f"{found.fingerprint} is the key that signs now",
                hint="first swarmstrap key add, key rotate and image sign --all",
            )
        revoked, comment = self._revoked(), f" {found.comment}" if found.comment else ""
        replace(
            self._paths.revoked_keys, f"{_ended(revoked)}{found.key}{comment}\n".encode(), 0o644
        )
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
        key, _ = _read(_public(path))
        for listed in self.ls():
            if listed.key == key:
                said = "was revoked" if listed.role == "revoked" else "is allowed already"
                raise BadInput(f"{listed.fingerprint} {said}", hint="see swarmstrap key ls")

    def _own(self) -> Iterator[tuple[Path, Role]]:
        yield _public(self._paths.publisher), "current"
        yield _public(self._paths.next_publisher), "next"

    def _retire(self, path: Path) -> None:
        """Kept, in case somebody wants it back, under a name that nothing looks for."""
        name = re.sub(r"\W", "", fingerprint(_read(_public(path))[0]).removeprefix("SHA256:"))
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
    public = _public(given)
    try:
        shutil.copyfile(public, _public(place))
        if given != public:
            replace(place, given.read_bytes(), 0o600)
    except OSError as error:
        raise BadInput(f"cannot read the key {error.filename}: {error.strerror}") from error
    return Key(place)


def _public(path: Path) -> Path:
    return path if path.suffix == ".pub" else path.with_name(f"{path.name}.pub")


def _read(public: Path) -> tuple[str, str]:
    """The key and its comment."""
    try:
        found = _KEY.match(public.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read the key {public}: {error}") from error
    if found is None:
        raise BadInput(f"{public} is no public key", hint="name the .pub file of an SSH key")
    return found[1], (found[2] or "").strip()


def _keys(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        found = None if line.startswith("#") else _KEY.search(line)
        if found is not None:
            yield found[1], (found[2] or "").strip()


def _ended(text: str) -> str:
    """Ready for another line."""
    return text if text.endswith("\n") or not text else f"{text}\n"


def _move(source: Path, target: Path) -> None:
    if source.exists():
        source.rename(target)
    _public(source).rename(_public(target))
