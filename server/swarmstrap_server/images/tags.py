# SPDX-License-Identifier: GPL-2.0-or-later
"""Moving names: `debian:stable` is whatever version it was last given to. One file for a store."""

from pathlib import Path

import msgspec

from swarmstrap.errors import BadInput
from swarmstrap_server.files import locked, replace

# By image, then by tag: the version.
Tagged = dict[str, dict[str, str]]


class Tags:
    def __init__(self, root: Path) -> None:
        self._root = root
        self.path = root / ".tags.json"

    def all(self) -> Tagged:
        """Raises BadInput when the file cannot be read."""
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Tagged)
        except FileNotFoundError:
            return {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadInput(
                f"{self.path}: {error}", hint="mend it, or remove it and tag again"
            ) from error

    def of(self, name: str) -> dict[str, str]:
        """The versions of one image by tag."""
        return self.all().get(name, {})

    def set(self, name: str, tag: str, version: str) -> None:
        with locked(self._root):
            known = self.all()
            self._write({**known, name: {**known.get(name, {}), tag: version}})

    def remove(self, name: str, tag: str) -> None:
        with locked(self._root):
            known = self.all()
            if tag not in known.get(name, {}):
                tags = ", ".join(known.get(name, {})) or "none"
                raise BadInput(f"{name}:{tag} is no tag", hint=f"tags of {name}: {tags}")
            del known[name][tag]
            self._write(known)

    def forget(self, name: str, version: str) -> None:
        """Remove all tags of a version."""
        with locked(self._root):
            known = self.all()
            if version in known.get(name, {}).values():
                known[name] = {tag: v for tag, v in known[name].items() if v != version}
                self._write(known)

    def _write(self, tagged: Tagged) -> None:
        kept = {name: tags for name, tags in tagged.items() if tags}
        replace(self.path, msgspec.json.format(msgspec.json.encode(kept, order="sorted")) + b"\n")
