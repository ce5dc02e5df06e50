# Quicklime. "make" alone lists what there is to make.

GO      ?= go
FUZZTIME ?= 10s
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo devel)
COMMANDS := $(patsubst %/,./%,$(sort $(dir $(wildcard agent/cmd/*/main.go registrar/cmd/*/main.go verifier/cmd/*/main.go tenant/cmd/*/main.go))))

# The product has no cgo. Where git cannot tell the version, neither can Go.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-X quicklime/wire/daemon.Version=$(VERSION)"
BUILD += $(if $(shell git describe --always 2>/dev/null),,-buildvcs=false)

.PHONY: help build demo test check mutants systemd vm vm-matrix vm-programs bench bench-all fuzz deps clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

build: ## build every program into bin/
	$(BUILD) -o bin/ $(COMMANDS)

demo: ## install what the demo needs, build, and tell the whole story on this machine
	@.ci/deps demo
	@$(MAKE) --no-print-directory build
	bin/quicklime-demo

test: ## install what the tests need and run them with the race detector
	@.ci/deps test
	$(GO) test -race ./...

check: ## gofmt, vet, staticcheck, go.mod, the rules about imports
	@.ci/run format vet staticcheck modules imports checks

mutants: ## take each check out and see its test fail; ONLY=I17: those of one invariant, file or test
	@.ci/deps test
	$(GO) run ./.ci/mutants -only '$(ONLY)'

systemd: ## the shipped units under a real systemd, in namespaces of this machine; as root
	@.ci/deps systemd
	@.ci/run systemd

vm: vm-programs ## the story on a real kernel in a virtual machine: Debian's 6.1, IMA, a software TPM
	bin/vm/vm $(VMFLAGS)

vm-matrix: vm-programs ## the same with every kernel on every boot path, Secure Boot among them
	bin/vm/vm --kernels 6.1,6.12 --paths direct,ovmf,secureboot,grub,systemd-boot,uki $(VMFLAGS)

vm-programs:
	@.ci/deps vm
	@$(MAKE) --no-print-directory build
	$(BUILD) -o bin/vm/ ./testdata/vm ./testdata/vm/guest

bench: ## what the project promises about speed, against limits in the same run
	@.ci/deps demo
	@GO='$(GO)' .ci/numbers

bench-all: ## run every Go benchmark
	@.ci/deps demo
	$(GO) test -run '^$$' -bench . -benchmem ./...

fuzz: ## run each fuzz target for FUZZTIME (10s)
	@GO='$(GO)' FUZZTIME='$(FUZZTIME)' .ci/fuzz

deps: ## install what demo and tests need beyond git, make and Go (Debian)
	@.ci/deps test

clean: ## remove what was built
	rm -rf bin .demo
