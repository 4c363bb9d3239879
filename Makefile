# SPDX-License-Identifier: GPL-2.0-or-later
# Everything made here lies in build/, which git ignores. Needs Debian 12, root, git and make.

PYTHON   := /usr/bin/python3
BIN      := build/venv/bin
SITE     := build/demo/site
IMAGE    := debian
SHELLS   := .ci/run $(shell git ls-files 'dracut/*.sh' 'boot/*.sh' 'tests/*.sh' 2>/dev/null)
FAST     := tests/unit tests/fuzz tests/plans tests/disk tests/http tests/swarm
# A virtual node alone keeps one core busy. So they come in two streams of about the same length;
# in front of the second one are the tiers without any.
SEVERAL  := $(addprefix tests/vm/test_,rehearsal.py failing_disks.py refused_nodes.py refused_disks.py disk_image.py hardware_matrix.py update.py)
ONE      := tests/dracut $(filter-out $(SEVERAL),$(sort $(wildcard tests/vm/test_*.py)))
LONGEST  := --durations=0 --durations-min=20

# Where `make install` puts things; DESTDIR goes before what is not below PREFIX.
PREFIX  := /opt/swarmstrap
DESTDIR :=

# What the server calls and the initramfs carries; libparted and gcc build pyparted.
SERVER_PACKAGES := \
	python3 python3-venv python3-dev gcc pkg-config libparted-dev ca-certificates \
	dracut-core linux-image-amd64 kmod cpio zstd udev iproute2 isc-dhcp-client iputils-arping procps \
	binutils systemd gdisk util-linux dosfstools e2fsprogs xfsprogs kexec-tools efibootmgr \
	openssh-client ipmitool busybox-static dnsmasq-base ipxe rsync lz4 mtools git \
	libarchive-tools qemu-utils fdisk partclone btrfs-progs ntfs-3g \
	mdadm lvm2 thin-provisioning-tools cryptsetup-bin shim-signed grub-efi-amd64-signed
# What rehearsals, the demo and the tests call besides.
LAB_PACKAGES := \
	ipxe-qemu qemu-system-x86 ovmf mmdebstrap debian-archive-keyring attr acl tar \
	openipmi openssh-server skopeo xz-utils bzip2 netplan.io ifupdown \
	swtpm libtss2-esys-3.0.2-0 libtss2-rc0 \
	shellcheck shfmt iptables chromium
# What the swarm is measured beside.
BENCH_PACKAGES := aria2 udpcast rsync curl zstd tar iproute2

# $(call debian_packages,NAMES) installs those that are missing.
define debian_packages
	@mkdir -p build
	@missing=$$(for p in $(1); do \
		dpkg-query -W -f '$${Status}\n' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		echo "installing Debian packages:" $$missing; \
		apt-get -q update >build/packages.log 2>&1 && \
		DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install $$missing \
			>>build/packages.log 2>&1 || { tail -n 20 build/packages.log; exit 1; }; \
	fi
endef

.DEFAULT_GOAL := help
.PHONY: help check test fast vm demo hardware-matrix initramfs bench bench-apply bench-overlap bench-swarm bench-swarm-mixed bench-swarm-fast bench-faults bench-boot bench-fleet bench-simulation fuzz install pictures screenshots clean

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18

build/.packages: Makefile
	$(call debian_packages,$(SERVER_PACKAGES) $(LAB_PACKAGES))
	@touch $@

build/.venv: pyproject.toml build/.packages
	@test -x $(BIN)/python || $(PYTHON) -m venv build/venv
	@echo "installing Python packages into build/venv"
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[server,dev,bench]' >build/pip.log 2>&1 \
		|| { tail -n 20 build/pip.log; exit 1; }
	@touch $@

check: build/.venv ## ruff, mypy, walls, shell; under two minutes
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --cache-dir build/import_linter >build/walls.log || { cat build/walls.log; exit 1; }
	@shellcheck --shell=bash --exclude=SC2154 $(SHELLS)
	@shfmt -i 4 -d $(SHELLS)
	@$(BIN)/pytest --quiet tests/unit/test_tree.py >build/tree.log || { cat build/tree.log; exit 1; }

test: check ## every tier, virtual nodes included; under 40 minutes from nothing
	@# A shell has what it runs in the background ignore interrupts, which a test sends.
	@env --default-signal=INT sh -c '$(BIN)/pytest $(FAST); fast=$$?; \
		$(BIN)/pytest $(LONGEST) $(ONE) && exit $$fast' >build/second.log 2>&1 & second=$$!; \
	$(BIN)/pytest $(LONGEST) $(SEVERAL); first=$$?; \
	wait $$second; second=$$?; cat build/second.log; exit $$((first + second))

fast: build/.venv ## the tiers that need no virtual node
	$(BIN)/pytest $(FAST)

vm: build/.venv ## virtual nodes only
	$(BIN)/pytest tests/vm

initramfs: build/.venv ## the installer's kernel and initramfs, in build/initramfs
	@$(BIN)/swarmstrap --site $(SITE) init --address 10.77.0.1
	@$(BIN)/swarmstrap --site $(SITE) initramfs

demo: build/.venv ## three virtual nodes, from power-on to their own disk, over one swarm
	@$(BIN)/python -m swarmstrap_server.lab.demo --out build/demo

hardware-matrix: build/.venv ## one image on unlike machines and layouts; ROWS=luks,btrfs for some of them
	@$(BIN)/python -m swarmstrap_server.lab.matrix --demo build/demo --out build/hardware-matrix --only '$(ROWS)'

pictures: build/.venv ## the README's pictures, taken during a demo
	@$(BIN)/python -m swarmstrap_server.lab.demo --out build/demo --pictures docs/pictures

screenshots: build/.venv ## the dashboard of a thousand simulated nodes, for docs/dashboard.md
	@$(BIN)/python -m tests.http.screenshots --out docs/pictures

bench: build/.venv ## ratios against named peers, see docs/benchmarks.md
	@$(BIN)/python -m tests.bench.run

bench-apply: build/.venv ## apply beside GNU tar and bsdtar on ext4, xfs, btrfs; build/bench/apply.json
	@$(BIN)/python -m tests.bench.run --only apply --rounds 3

bench-overlap: build/.venv ## downloading and writing at once, 250 Mbit/s to as fast as it goes; build/bench/overlap.json
	@$(BIN)/python -m tests.bench.overlap --rounds 3

# SYSTEMS=swarmstrap,aria2 SCENARIO=racks NODES=1,2,4 RATE=8 (Mbit/s) PAYLOAD=200 (MB) ROUNDS=3 PLOTS=docs
SWARM_WORDS = $(if $(SYSTEMS),--systems $(SYSTEMS)) $(if $(SCENARIO),--scenarios $(SCENARIO)) \
	$(if $(NODES),--nodes $(NODES)) $(if $(RATE),--rate $(RATE)) $(if $(PAYLOAD),--payload $(PAYLOAD)) \
	$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PLOTS),--plots $(PLOTS)) $(if $(AGAIN),--again)

bench-swarm: build/.venv ## 1 to 32 nodes beside rsync, HTTP, udpcast, aria2; says first how long
	$(call debian_packages,$(BENCH_PACKAGES))
	@$(BIN)/python -m tests.bench.swarm side-by-side $(SWARM_WORDS)

bench-swarm-mixed: build/.venv ## slow nodes, late ones, racks; build/bench/swarm-mixed.json
	@$(BIN)/python -m tests.bench.swarm mixed $(SWARM_WORDS)

bench-swarm-fast: build/.venv ## 16 Mbit/s to as fast as it goes, beside HTTP
	@$(BIN)/python -m tests.bench.swarm fast $(SWARM_WORDS)

bench-faults: build/.venv ## what servers, cables and nodes that fail cost a swarm; build/bench/faults.json
	@$(BIN)/python -m tests.bench.faults $(if $(FAULTS),--only $(FAULTS))

bench-boot: build/.venv ## kernel and initramfs for 1 to 16 nodes; build/bench/bootfetch.json, seven minutes
	@$(BIN)/python -m tests.bench.bootfetch

bench-fleet: build/.venv ## simulated nodes for one core of a server; build/bench/fleet.json; NODES=500,1000
	@$(BIN)/python -m tests.bench.fleet $(if $(NODES),--nodes $(NODES)) $(if $(FETCH),--fetch $(FETCH))

bench-simulation: build/.venv ## swarms of 30 to 10,000 nodes by the server's policy; MOST=1000 for fewer
	@$(BIN)/python -m tests.bench.simulation --most $(or $(MOST),10000)

fuzz: build/.venv ## hostile images, ten minutes a target
	@$(BIN)/python -m tests.fuzz --minutes 10

install: ## the commands into /opt/swarmstrap, dracut's module and systemd's units where they look
	$(call debian_packages,$(SERVER_PACKAGES))
	$(PYTHON) -m venv $(PREFIX)
	$(PREFIX)/bin/pip install --quiet --disable-pip-version-check '.[server]'
	$(PREFIX)/bin/python -m swarmstrap_server.installer.stage $(DESTDIR)/usr/lib/swarmstrap/stage
	install -D -m 755 -t $(DESTDIR)/usr/lib/dracut/modules.d/50swarmstrap dracut/50swarmstrap/*.sh
	install -D -m 644 -t $(DESTDIR)/usr/lib/systemd/system systemd/*.service
	install -d $(DESTDIR)/usr/bin
	ln -sf $(PREFIX)/bin/swarmstrap $(DESTDIR)/usr/bin/swarmstrap

clean: ## remove build/
	rm -rf build
