# Everything that people and CI run. Each target installs the Debian packages it lacks, with sudo when not root, and
# says so; Rust comes from rustup, which reads rust-toolchain.toml.

# What the lab and the demo run: nft as the other program, ip and unshare for the namespaces.
LAB_PACKAGES := nftables iproute2 util-linux procps
# What the test oracle is compiled against.
ORACLE_PACKAGES := libnftnl-dev libmnl-dev pkg-config
# What the kernel with IPVS is made of, and what is used in it.
VM_PACKAGES := gcc make flex bison bc libc6-dev xz-utils debian-archive-keyring ipvsadm ipset iptables
# What the image has beside Portolan, and whose commit it is.
IMAGE_PACKAGES := iptables ca-certificates git
KERNEL := $(abspath $(or $(CARGO_TARGET_DIR),target)/vm/linux)
# Cargo starts test binaries with it.
IN_VM = CARGO_TARGET_$(shell rustc --print host-tuple | tr a-z- A-Z_)_RUNNER='$(CURDIR)/e2e/vm/run $(KERNEL)'
# The demo's.
MODE ?= nftables
# Before a program that needs IPVS.
IN_KERNEL = $(if $(filter ipvs,$(MODE)),e2e/vm/run $(KERNEL))
# Tests that neither `cargo test` nor `--all-targets` takes for one.
BY_HAND := --test kube_proxy --test endpointslices --test http_parity --test switching_kube_proxy
# Tests that end with the count of what they tried.
COUNTED := --test scenarios --test trace --test orders --test properties --test rejected

# Tests that are for each mode, beside the scenarios.
OF_IPVS := --test repair --test restart --test manifests --test properties

CARGO ?= cargo
# Named to cargo so that a static C library is meant for the binary alone, and not for the build's own plug-ins.
HOST = $(shell rustc --print host-tuple)
INSTALL := ./e2e/install-packages
# etcd, the API server, kubeadm, kube-proxy: beside what cargo builds.
CONTROLPLANE := $(or $(CARGO_TARGET_DIR),target)/controlplane
# What judges the chart, there as well.
HELM := $(or $(CARGO_TARGET_DIR),target)/helm
SCHEMAS := $(or $(CARGO_TARGET_DIR),target)/kubernetes-validate

.PHONY: help build image demo test test-vm kernel test-cluster test-chart test-kube-proxy summary lint compiled controlplane helm bench compare deny
help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

build: ## The optimised binary, static: target/static/portolan
	RUSTFLAGS="-C target-feature=+crt-static" $(CARGO) build --locked --release -p portolan --target $(HOST)
	install -D target/$(HOST)/release/portolan target/static/portolan

# The version stands in Cargo.toml alone.
IMAGE = target/image/portolan-$(shell sed -n 's/^version = "\(.*\)"$$/\1/p' Cargo.toml)-$(shell dpkg --print-architecture).tar
image: build ## The image, as an OCI archive in target/image, without docker or a registry
	$(INSTALL) $(IMAGE_PACKAGES)
	./charts/image/build target/static/portolan $(IMAGE)

demo: $(if $(filter ipvs,$(MODE)),kernel) ## A small cluster in network namespaces: Services, curl, drift and its repair, in MODE=nftables, iptables or ipvs
	$(INSTALL) $(LAB_PACKAGES) curl iptables $(if $(filter ipvs,$(MODE)),ipvsadm)
	$(CARGO) build --locked -p portolan -p portolan-e2e --bins
	@[ -z "$(IN_KERNEL)" ] || [ -e $(KERNEL) ] || { echo "NOT SHOWN, for there is no kernel for it: ipvs mode."; exit 1; }
	$(IN_KERNEL) target/debug/demo $(MODE)

test: ## All tests, with real packets; those in a real cluster need Go 1.26
	$(INSTALL) $(LAB_PACKAGES) $(ORACLE_PACKAGES) $(IMAGE_PACKAGES)
	$(MAKE) --jobs=2 controlplane helm compiled
	$(MAKE) kernel
	$(CARGO) test --locked --workspace --all-features
	@if [ -e $(KERNEL) ]; then $(MAKE) test-vm; else echo "NOT RUN, for there is no kernel for them: the flows of ipvs mode, and SCTP."; fi
	@./e2e/controlplane/build $(CONTROLPLANE) 2>/dev/null || \
		echo "NOT RUN, for there is no Go 1.26: the tests of Portolan in a real cluster (e2e/tests/cluster.rs)."
	@./e2e/chart/build $(HELM) 2>/dev/null || echo "NOT RUN, for there is no Go 1.26: the tests of the chart (e2e/tests/chart)."
	@./e2e/chart/schemas $(SCHEMAS) 2>/dev/null || echo "NOT RUN, for there is no Python with venv: the chart against the schemas of Kubernetes."
	@echo "Not run here: make test-kube-proxy, which judges the scenarios by the real kube-proxy (it needs Go and takes minutes)."

# Everything but the tests themselves, so that Go and Rust compile at the same time.
compiled: lint
	$(CARGO) build --locked -p portolan
	$(CARGO) test --locked --workspace --all-features --no-run

test-vm: kernel ## What needs a kernel with IPVS and SCTP: all of ipvs mode, and SCTP in all modes
	$(INSTALL) $(LAB_PACKAGES) iptables ipvsadm ipset
	$(CARGO) build --locked -p portolan
	$(IN_VM) $(CARGO) test --locked -p portolan-netlink --test kernel ipvs
	$(IN_VM) $(CARGO) test --locked -p portolan-ipvs --test kernel
	$(IN_VM) $(CARGO) test --locked -p portolan-e2e --test counters -- ipvs
	$(IN_VM) $(CARGO) test --locked -p portolan-e2e --test daemon -- 'each mode has its own families'
	$(IN_VM) $(CARGO) test --locked -p portolan-e2e --test daemon -- "ipvs mode"
	$(IN_VM) $(CARGO) test --locked -p portolan-e2e --test drain
	$(IN_VM) $(CARGO) test --locked -p portolan-e2e --test scenarios -- sctp
	$(IN_VM) $(CARGO) test --locked -p portolan-e2e --test scenarios -- ipvs/
	$(IN_VM) $(CARGO) test --locked -p portolan-e2e --test beside -- ipvs/
	$(IN_VM) $(CARGO) test --locked -p portolan-e2e $(OF_IPVS) -- ipvs/
	$(IN_VM) $(CARGO) test --locked -p portolan-e2e --test switching -- "and ipvs"

kernel:
	$(INSTALL) $(VM_PACKAGES)
	./e2e/vm/build $(KERNEL) || { code=$$?; [ $$code = 3 ] && [ "$$CI" != true ]; }

# Without Go the tests that need it say that they are not run; who relies on CI must not take silence for consent.
controlplane:
	./e2e/controlplane/build $(CONTROLPLANE) || { code=$$?; [ $$code = 3 ] && [ "$$CI" != true ]; }

# Made before the tests, which have no network: helm, and the schemas of Kubernetes.
helm:
	./e2e/chart/build $(HELM) || { code=$$?; [ $$code = 3 ] && [ "$$CI" != true ]; }
	./e2e/chart/schemas $(SCHEMAS) || { code=$$?; [ $$code = 3 ] && [ "$$CI" != true ]; }

test-chart: helm controlplane ## The chart: every value, bad ones, five releases' schemas, a real API server (needs Go 1.26, Python with venv)
	$(INSTALL) $(LAB_PACKAGES)
	$(CARGO) build --locked -p portolan
	$(CARGO) test --locked -p portolan-e2e --test chart -- --nocapture

test-cluster: ## Portolan, or kube-proxy with PORTOLAN_CLUSTER_PROXY=kube-proxy, in a real cluster (needs Go 1.26)
	$(INSTALL) $(LAB_PACKAGES) iptables
	$(CARGO) build --locked -p portolan
	$(CARGO) test --locked -p portolan-e2e

test-kube-proxy: ## The real kube-proxy in Portolan's place, and the real EndpointSlice controller (needs Go 1.26, takes minutes)
	$(INSTALL) $(LAB_PACKAGES) iptables
	$(CARGO) build --locked -p portolan
	$(CARGO) test --locked -p portolan-e2e $(BY_HAND)

summary: ## What the tests prove, counted: scenarios, flows as packets, rejected objects, orders, random worlds and histories
	$(INSTALL) $(LAB_PACKAGES)
	$(CARGO) build --locked -p portolan
	@$(CARGO) test --locked -p portolan-e2e $(COUNTED) 2>/dev/null | sed -n 's|^     Running tests/\(.*\)\.rs.*|\n\1|p; /^[0-9][0-9]* /p; /^test result/p'

lint: ## Format, clippy and documentation, with warnings as errors
	$(INSTALL) $(ORACLE_PACKAGES)
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	$(CARGO) clippy --locked -p portolan-e2e $(BY_HAND) --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --all-features --no-deps --document-private-items --quiet

bench: ## Speed and memory, as tables
	$(INSTALL) $(LAB_PACKAGES) iptables
	$(CARGO) build --locked --release -p portolan -p portolan-bench
	target/release/portolan-bench

compare: ## Portolan beside the real kube-proxy, in one real cluster, as a table (needs Go 1.26, takes 15 minutes)
	$(INSTALL) $(LAB_PACKAGES) iptables
	./e2e/controlplane/build $(CONTROLPLANE)
	$(CARGO) build --locked --release -p portolan -p portolan-bench
	target/release/portolan-bench compare

deny: ## Licences, sources and duplicates of the dependencies (installs cargo-deny)
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --locked check bans licenses sources
