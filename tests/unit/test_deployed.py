# SPDX-License-Identifier: GPL-2.0-or-later
"""The record that a system has of its deployment, and what an update takes from it."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.plans.test_plans import job_of, manifest_of, plan_of

from swarmstrap.deployed import (
    RECORD,
    Deployed,
    boot_configuration,
    check_identity,
    check_live,
    check_update,
    read_record,
    updated,
    write_record,
)
from swarmstrap.errors import Refused
from swarmstrap.manifest import Kernel
from swarmstrap.placing import Identity
from swarmstrap.steps.system import WriteFile

CASE = Path(__file__).parent.parent / "plans" / "hooks"
MANIFEST = manifest_of(CASE)


def written() -> dict[str, WriteFile]:
    return {step.path: step for step in plan_of(CASE).steps if isinstance(step, WriteFile)}


@pytest.fixture
def found() -> Deployed:
    return read_record(written()[RECORD].content.encode())


def test_a_deployment_leaves_what_an_update_asks_for(found: Deployed) -> None:
    job = job_of(CASE)
    check_identity(found, Identity(job.deployment, job.node))
    check_update(found, MANIFEST, allow_older=False)
    assert found.mounts == ("/boot/efi", "/")
    assert found.hooks == ("20-report",)
    assert set(found.own) == written().keys() - {RECORD}
    assert read_record(write_record(found).content.encode()) == found


def test_what_was_preserved_is_no_part_of_an_update() -> None:
    steps = plan_of(CASE.parent / "preserve").steps
    (record,) = (s for s in steps if isinstance(s, WriteFile) and s.path == RECORD)
    found = read_record(record.content.encode())
    assert found.mounts == ("/boot/efi", "/")
    (home,) = (volume for volume in found.volumes if volume.label == "home")
    assert home.preserved


def test_the_boot_configuration_is_the_plan_s(found: Deployed) -> None:
    assert boot_configuration(found, MANIFEST) == written()["/boot/grub/grub.cfg"]
    kernel = Kernel("6.12.1-1-amd64", "boot/vmlinuz-6.12.1-1-amd64", "boot/initrd.img-6.12.1-1")
    newer = replace(MANIFEST, facts=replace(MANIFEST.facts, kernels=(kernel,)))
    text = boot_configuration(found, newer)
    assert text is not None
    assert "linux /boot/vmlinuz-6.12.1-1-amd64 root=UUID=" in text.content
    foreign = replace(found, own=("/etc/fstab",))
    assert boot_configuration(foreign, newer) is None


def test_the_arguments_of_the_new_image_are_its_own(found: Deployed) -> None:
    facts = replace(MANIFEST.facts, kernel_arguments=("quiet", "console=tty1"))
    words = replace(found, kernel_arguments="rd.md.uuid=1 console=ttyS1")
    text = boot_configuration(words, replace(MANIFEST, facts=facts))
    assert text is not None
    assert " ro quiet rd.md.uuid=1 console=ttyS1\n" in text.content


def test_what_a_running_system_cannot_make_of_itself(found: Deployed) -> None:
    check_live(found, own_initramfs=False)
    with pytest.raises(Refused, match=r"initramfs was made on the node.*--mode update does it"):
        check_live(found, own_initramfs=True)
    with pytest.raises(Refused, match="started from the ESP"):
        check_live(replace(found, own=("/etc/kernel/cmdline",)), own_initramfs=False)


def test_an_older_image_is_refused_unless_it_is_asked_for(found: Deployed) -> None:
    older = replace(MANIFEST, version="11", created="2025-01-01T00:00:00Z")
    with pytest.raises(Refused, match=r"debian 11 of 2025.* is older than what is there, 12\.1"):
        check_update(found, older, allow_older=False)
    check_update(found, older, allow_older=True)
    check_update(found, replace(older, name="other"), allow_older=False)
    assert updated(found, older).version == "11"


@pytest.mark.parametrize("identity", [Identity("d-2", "node7"), Identity("d-2026-001", "node8")])
def test_a_system_of_somebody_else(found: Deployed, identity: Identity) -> None:
    with pytest.raises(Refused, match="the system there is node7's of deployment d-2026-001"):
        check_identity(found, identity)


@pytest.mark.parametrize("data", [None, b"", b"{}", b"\xff"])
def test_what_is_no_system_of_ours(data: bytes | None) -> None:
    with pytest.raises(Refused, match=r"deployed\.json"):
        read_record(data)
