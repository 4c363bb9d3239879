# SPDX-License-Identifier: GPL-2.0-or-later
"""The units under a systemd of their own: what their sandboxes forbid is nothing that they need.

No container and no virtual machine: systemd is process 1 of new namespaces (`pid1.sh`), and a
script there does what an administrator does.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 240.0
SITE = """
dhcp:
  mode: full
  interface: lan0
  range: [192.0.2.100, 192.0.2.200]
  network: 192.0.2.0/24
"""
SCRIPT = f"""
echo systemd runs
say() {{
    state=$(systemctl show -p ActiveState,SubState,Result,NRestarts "${{2:-swarmstrap}}")
    echo "$1:" $state
}}
swarmstrap init --address 192.0.2.1
mkdir -p /opt/tree/bin && cp -L /bin/sh /opt/tree/bin/
swarmstrap capture /opt/tree tiny:1
cat >>/srv/swarmstrap/site.yaml <<END{SITE}END
systemctl start swarmstrap && say started
swarmstrap status
ss -Hulnp | sed -n 's/.*\\(:67\\|192.0.2.1:69\\) .*"dnsmasq".*/dnsmasq listens at \\1/p'
pgrep -f "swarm\\.seeder 192\\.0\\.2\\.1" >/dev/null && echo the seeder runs
mkdir -p /etc/swarmstrap/lab
echo SERVER=http://192.0.2.1:8080 >/etc/swarmstrap/lab/seed.conf
echo OPTIONS=--address 192.0.2.9 >>/etc/swarmstrap/lab/seed.conf
cp /srv/swarmstrap/keys/allowed_signers /etc/swarmstrap/lab/
systemctl start swarmstrap-seed@lab && say seeding swarmstrap-seed@lab
stat -c '%U keeps its images' /var/lib/swarmstrap-seed/lab/.
for second in $(seq 30); do
    [ -e /var/lib/swarmstrap-seed/lab/tiny/1/manifest.json ] && echo it has the image && break
    sleep 1
done
journalctl -u swarmstrap-seed@lab
systemctl stop swarmstrap-seed@lab && say seeded swarmstrap-seed@lab
systemctl reload swarmstrap && sleep 5 && say reloaded
journalctl -u swarmstrap | sed -n 's/.*\\(site and images are read again\\)/\\1/p'
systemctl restart swarmstrap && say restarted
kill -KILL "$(systemctl show -p MainPID --value swarmstrap)"
sleep 6
systemctl start swarmstrap && say killed
swarmstrap status
systemctl stop swarmstrap && say stopped
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="namespaces need root")


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """For systemd to be the root of."""
    base = next((path for path in _CGROUPS if (path / "cgroup.procs").exists()), None)
    if base is None:
        pytest.skip("no cgroup of version 2 is mounted, in which systemd could be process 1")
    path = base / f"swarmstrap-{os.getpid()}"
    path.mkdir()
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):  # Linux 5.14
            (path / "cgroup.kill").write_text("1")
        for folder in sorted(path.rglob("*/"), reverse=True):
            with contextlib.suppress(OSError):
                folder.rmdir()
        with contextlib.suppress(OSError):
            path.rmdir()


_CGROUPS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))


def said_under_systemd(folder: Path, cgroup: Path) -> str:
    script = folder / "script"
    script.write_text(SCRIPT)
    (folder / "said").touch()
    join = f'echo $$ > {cgroup}/cgroup.procs; exec "$@"'
    argv = ["sh", "-c", join, "sh", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
    argv += ["--cgroup", "--uts", "--ipc", "--net", "--", "bash", str(ROOT / "tests/http/pid1.sh")]
    argv += [str(folder), str(ROOT), str(script)]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            output, _ = process.communicate(timeout=SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    said = (folder / "said").read_text()
    if not said:
        pytest.skip(f"systemd cannot be process 1 here: {output.strip()}")
    return said + output


def test_server_and_seeder_run_in_their_units(tmp_path: Path, cgroup: Path) -> None:
    said = said_under_systemd(tmp_path, cgroup)
    running = "ActiveState=active SubState=running"
    for moment in ("started", "seeding", "reloaded", "restarted", "killed"):
        assert re.search(rf"^{moment}: Result=success NRestarts=[01] {running}", said, re.M), said
    for moment in ("seeded", "stopped"):
        assert re.search(rf"^{moment}: Result=success .*ActiveState=inactive", said, re.M), said
    assert said.count("seeder runs, ") == 2, said
    for line in (
        "dnsmasq listens at :67",
        "dnsmasq listens at 192.0.2.1:69",
        "the seeder runs",
        "swarmstrap-seed keeps its images",
        "it has the image",
        "site and images are read again",
    ):
        assert line in said.splitlines(), said
