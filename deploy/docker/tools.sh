#!/usr/bin/env bash
# Installs what the image's build needs, unless it is there: the first layer of the Dockerfile's builder.
set -euo pipefail

# The same versions as `cargo xtask build-ebpf` and `cargo xtask image` use; a test compares them.
bpf_linker=0.13.0
cyclonedx=0.5.9
llvm=22

if [[ ${CARGO_NET_OFFLINE:-} == true ]]; then
    echo "Nothing is installed without a network: the base has to have it."
    exit
fi
# Not pinned: older versions vanish from the mirrors with each security update.
apt-get update -q
apt-get install -qy --no-install-recommends rustc-web libstd-rust-web-dev-bpf
if ! command -v bpf-linker; then
    apt-get install -qy --no-install-recommends \
        "llvm-$llvm-dev" "libpolly-$llvm-dev" zlib1g-dev libzstd-dev libxml2-dev
    LLVM_PREFIX=/usr/lib/llvm-$llvm cargo install --locked --root /usr/local \
        --no-default-features --features "llvm-$llvm" "bpf-linker@$bpf_linker"
fi
if ! command -v cargo-cyclonedx; then
    # Unoptimised: it runs for a second.
    CARGO_PROFILE_DEV_DEBUG=none cargo install --locked --debug --root /usr/local "cargo-cyclonedx@$cyclonedx"
fi
# Neither belongs into a layer. cargo has unpacked sources of the tools only.
rm -rf /var/lib/apt/lists/* "$CARGO_TARGET_DIR"
