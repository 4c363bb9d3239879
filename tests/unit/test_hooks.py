# SPDX-License-Identifier: GPL-2.0-or-later
"""Hooks as they are run in the initramfs and, for root, in a new system of one busybox."""

import os
import select
import shutil
import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.plans.test_plans import inventory_of, job_of, manifest_of

from swarmstrap.effects.system import hooks
from swarmstrap.effects.system.hooks import environment, run_hook
from swarmstrap.errors import StepFailed
from swarmstrap.plan import make_plan
from swarmstrap.wire import Hook

CASE = Path(__file__).parent.parent / "plans" / "hooks"


def hook(script: str, *, where: str = "initramfs", timeout: float = 10.0) -> Hook:
    return Hook(
        name="10-test",
        where="chroot" if where == "chroot" else "initramfs",
        content=script.encode(),
        signature=b"",
        timeout=timeout,
    )


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_PLACE", tmp_path / "hooks")
    monkeypatch.setenv("SWARMSTRAP_TOKEN", "swordfish")


def run_and_listen(hook: Hook, root: Path, variables: dict[str, str] | None = None) -> list[str]:
    told: list[str] = []
    run_hook(hook, root, variables or {}, told.append)
    return told


def test_the_environment_is_complete_and_has_no_secret() -> None:
    job = job_of(CASE, session="swordfish")
    job = replace(job, groups=("web", "all"), variables={"role": "front"})
    inventory, manifest = inventory_of(CASE), manifest_of(CASE)
    plan = make_plan(inventory, job, manifest)
    variables = environment(job.hooks[1], Path("/target"), inventory, job, manifest, plan)
    assert variables == {
        "SWARMSTRAP_DEPLOYMENT": "d-2026-001",
        "SWARMSTRAP_NODE": "node7",
        "SWARMSTRAP_HOSTNAME": "node7",
        "SWARMSTRAP_GROUPS": "web all",
        "SWARMSTRAP_VAR_role": "front",
        "SWARMSTRAP_IMAGE": "debian",
        "SWARMSTRAP_VERSION": "12.1",
        "SWARMSTRAP_FIRMWARE": "bios",
        "SWARMSTRAP_BOOT_MAC": "52:54:00:00:00:07",
        "SWARMSTRAP_DISKS": "/dev/vda",
        "SWARMSTRAP_ROOT": "/target",
    }
    inside = environment(job.hooks[0], Path("/target"), inventory, job, manifest, plan)
    assert inside["SWARMSTRAP_ROOT"] == "/"


def test_output_is_told_and_the_environment_is_clean(tmp_path: Path) -> None:
    told = run_and_listen(
        hook('#!/bin/sh\necho "root is $SWARMSTRAP_ROOT"\nenv >&2\n'),
        tmp_path,
        {"SWARMSTRAP_ROOT": "/target"},
    )
    assert told[0] == "10-test: root is /target"
    assert not any("swordfish" in line for line in told)


def test_a_hook_that_exits_3_says_so_after_its_last_lines(tmp_path: Path) -> None:
    told: list[str] = []
    failing = hook("#!/bin/sh\nseq 100\nprintf 'no \\033[31mlicence\\n' >&2\nexit 3\n")
    with pytest.raises(StepFailed, match=r"^hook 10-test exited 3 "):
        run_hook(failing, tmp_path, {}, told.append)
    assert told[-2:] == ["10-test: 100", "10-test: no ?[31mlicence"]
    assert len(told) == 20


def test_a_hook_that_never_ends_is_stopped_with_its_children(tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    endless = hook(f"#!/bin/sh\n(echo begun; sleep 60) >{held} &\nwait\n", timeout=1.0)
    began = time.monotonic()
    try:
        with pytest.raises(StepFailed, match=r"^hook 10-test: .* did not end within"):
            run_and_listen(endless, tmp_path)
        assert os.read(reader, 100) == b"begun\n"
        hung_up = select.poll()
        hung_up.register(reader, 0)
        assert hung_up.poll(10_000), "waited 10 s for the hook's child to be gone"
    finally:
        os.close(reader)
    assert time.monotonic() - began < 30


def test_a_hook_that_is_no_program_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"hook 10-test: cannot start .*Exec format error"):
        run_and_listen(hook("no shebang"), tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="a chroot needs root")
@pytest.mark.skipif(shutil.which("busybox") is None, reason="no busybox to make a system of")
def test_in_the_new_system_a_hook_sees_only_that(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("bin", "dev", "proc", "sys", "run", "etc"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox") or "", root / "bin" / "busybox")
    shell = "#!/bin/busybox sh\n"
    told = run_and_listen(
        hook(
            f"{shell}busybox touch /made\nbusybox ls /\necho $$ $SWARMSTRAP_ROOT\n", where="chroot"
        ),
        root,
        {"SWARMSTRAP_ROOT": "/"},
    )
    assert (root / "made").exists()
    assert "10-test: made" in told
    assert told[-1].endswith(" /")
    assert list((root / "run").iterdir()) == []
    with pytest.raises(StepFailed, match="hook 10-test exited 3"):
        run_and_listen(hook(f"{shell}exit 3\n", where="chroot"), root)
