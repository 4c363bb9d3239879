# SPDX-License-Identifier: GPL-2.0-or-later
"""Another machine, by ssh: named by a URL, trusted by its host key, asked by scripts on stdin.

Nothing from a URL comes near a shell: the host and the user are narrowed here, and a path is only
ever part of a script that quotes it.
"""

import ipaddress
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes, urlsplit

from swarmstrap.command import Completed
from swarmstrap.errors import BadInput, SwarmstrapError, Unreachable, Untrusted
from swarmstrap_server.run import Conversation, conversation, run

SCHEME = "ssh://"
# Past the first keyword of ssh_config(5), a value wins over the user's own configuration.
_OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    "ClearAllForwardings=yes",
    "ConnectTimeout=20",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
)
_PORT = 22
_CONNECTION_FAILED = 255
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._-]*\$?")
_KEY = re.compile(r"^debug1: Server host key: (\S+ \S+)$", re.MULTILINE)
_OFFENDING = re.compile(r"^Offending .* key in (.+:\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Location:
    """A directory of another machine; an empty `user` is ssh's default."""

    user: str
    host: str
    port: int
    path: bytes

    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = "" if self.port == _PORT else f":{self.port}"
        return f"{SCHEME}{user}{_bracketed(self.host)}{port}{quote_from_bytes(self.path)}"

    @property
    def key(self) -> str:
        """A file name that no other directory of no other machine has."""
        port = "" if self.port == _PORT else f":{self.port}"
        path = self.path.strip(b"/")
        return f"{self.host}{port}" + (f"%2F{quote_from_bytes(path, safe='')}" if path else "")


@dataclass(frozen=True, slots=True)
class Access:
    """What of ssh's defaults is not to be used: a private key, a file of known host keys."""

    identity: Path | None = None
    known_hosts: Path | None = None


def parse_location(url: str) -> Location:
    """`ssh://[user@]host[:port][/path]`, the path with percent escapes; raises BadInput."""
    problem = ""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
    except ValueError as error:
        raise _bad(url, str(error)) from error
    path = unquote_to_bytes(parts.path or "/")
    user, host = parts.username or "", parts.netloc.rpartition("@")[2]
    host = parts.hostname or "" if host.startswith("[") else host.partition(":")[0]
    if parts.password is not None:
        problem = "a password does not belong there: use a key"
    elif "?" in url or "#" in url:
        problem = "in a path, ? is %3F and # is %23"
    elif user and not _USER.fullmatch(user):
        problem = f"{user!r} is no user's name"
    elif not _HOST.fullmatch(host) and not _is_ipv6(host):
        problem = f"{host!r} is no host"
    elif b".." in path.split(b"/") or b"\0" in path or b"\n" in path:
        problem = "the path must name a directory directly"
    location = Location(user, host, port, os.path.normpath(b"/" + path.lstrip(b"/")))
    if not problem and len(location.key) > 200:
        problem = "the path is too long"
    if problem:
        raise _bad(url, problem)
    return location


class Remote:
    """The machine of a location; every connection checks its host key."""

    def __init__(self, location: Location, access: Access) -> None:
        self.location = location
        self.ssh = ("ssh", *_ssh_options(location, access))
        self._known_hosts = str(access.known_hosts or "~/.ssh/known_hosts")
        agent = os.environ.get("SSH_AUTH_SOCK")
        self.environment = {"SSH_AUTH_SOCK": agent} if agent else {}

    def ask(self, script: str, seconds: float) -> Completed:
        """Run a shell script there, as the user who logs in; whatever its status.

        Raises Untrusted when the host key is not the known one, and Unreachable.
        """
        argv = [*self.ssh, "-v", "--", self.location.host, "exec sh -s"]
        stdin = os.fsencode(script)
        done = run(argv, timeout=seconds, stdin=stdin, env=self.environment, check=False)
        if done.returncode == _CONNECTION_FAILED:
            raise refusal(self.location, self._known_hosts, done.stderr.replace("\r", ""))
        return done

    @contextmanager
    def hold(self, shell: str, script: str) -> Iterator[Conversation]:
        """Feed `shell`, a command line, with a script that may then wait for the end of its stdin,
        which comes also when this process is killed, or the connection lost.
        """
        argv = [*self.ssh, "--", self.location.host, f"exec {shell} -s"]
        with conversation(argv, stdin=os.fsencode(script), env=self.environment) as talk:
            yield talk


def refusal(location: Location, known_hosts: str, stderr: str) -> SwarmstrapError:
    """Why ssh gave up, from what it says with -v."""
    host = location.host
    name = host if location.port == _PORT else f"[{host}]:{location.port}"
    keys = _KEY.findall(stderr)
    shown = keys[-1] if keys else "a key of no known kind"
    offending = _OFFENDING.search(stderr)
    if "HOST IDENTIFICATION HAS CHANGED" in stderr and offending:
        return Untrusted(
            f"the host key of {host} is not the known one ({offending[1]}): it shows {shown}",
            hint="another machine may be posing as it; if it was installed anew, "
            f"run: {shlex.join(['ssh-keygen', '-R', name, '-f', offending[1].rpartition(':')[0]])}",
        )
    if "Host key verification failed" in stderr:
        return Untrusted(
            f"the host key of {host} is not known: it shows {shown}",
            hint="when `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on its console says the "
            f"same, run: ssh-keyscan -p {location.port} {host} >>{known_hosts}",
        )
    said = [line for line in stderr.splitlines() if line and not line.startswith("debug")]
    if "Permission denied" in stderr:
        return Untrusted(
            f"{host} lets nobody in with the keys that ssh tried: {said[-1]}",
            hint="put a public key into authorized_keys there; name the private one by --identity",
        )
    return Unreachable(
        f"cannot reach {host}: {said[-1] if said else 'ssh said nothing'}",
        hint=f"see what `ssh -v -p {location.port} {host}` says",
    )


def _ssh_options(location: Location, access: Access) -> Iterator[str]:
    yield "-T"
    yield from ("-p", str(location.port))
    if location.user:
        yield from ("-l", location.user)
    for option in _OPTIONS:
        yield from ("-o", option)
    if access.identity is not None:
        yield from ("-o", f"IdentityFile={_value(access.identity)}", "-o", "IdentitiesOnly=yes")
    if access.known_hosts is not None:
        yield from ("-o", f"UserKnownHostsFile={_value(access.known_hosts)}")
        yield from ("-o", "GlobalKnownHostsFile=/dev/null")


def _value(path: Path) -> str:
    """A file name as a value of ssh_config(5); BadInput when there is no such file."""
    text = str(path.absolute())
    if not path.is_file():
        raise BadInput(f"there is no file {path}", hint="name a file that ssh can read")
    if '"' in text or "\n" in text:
        raise BadInput(f"ssh cannot be told of a file called {text!r}", hint="rename it")
    return '"{}"'.format(text.replace("%", "%%"))


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _bad(url: str, problem: str) -> BadInput:
    return BadInput(f"{url!r}: {problem}", hint="write ssh://[user@]host[:port]/path")
