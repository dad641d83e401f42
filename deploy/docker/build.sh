#!/usr/bin/env bash
# Compiles the proxy with its kernel programs inside, and lays out the image's files below $1. Called by the Dockerfile.
#
# The same sources give the same bytes: locked versions, paths of the build replaced, times from SOURCE_DATE_EPOCH.
set -euo pipefail
export LC_ALL=C
root=$1
documents=$root/usr/share/doc/holysheep-proxy
target=$(rustc -vV | sed -n 's/^host: //p')
binary=$CARGO_TARGET_DIR/$target/dist/holysheep-proxy

# Cargo goes by times, and copied sources have any: those the cache was made from get an old one, all others are new.
stamp=$CARGO_TARGET_DIR/sources
sources=$(find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
if [[ -f $stamp && $(<"$stamp") == "$sources" ]]; then
    find . -type f -exec touch -d @0 {} +
    echo "The sources are those of the last build."
else
    rm -f "$stamp"
    find . -type f -exec touch {} +
    CARGO_PROFILE_DEV_DEBUG=none cargo xtask build-ebpf
    echo "The kernel programs took $SECONDS s."
fi

# Static, for an image without libraries. With `--target` the flags are not those of build scripts and macros.
# C sources (AWS-LC) name their files in messages, too. Relative relocations, of which a position-independent program has
# thousands, take bits instead of 24 bytes each; a linker that cannot do it says so and goes on. Functions that are the same
# to the byte, as many are that were made for different types, are there once; Rust's linker for amd64 can do that.
once=""
if [[ $target == x86_64-* ]]; then once="-C link-arg=-Wl,--icf=all"; fi
# Debug information and symbols are left out by flags, not by the profile: its settings are in the names by which the
# compiler finds what `cargo xtask train` has counted.
known="-Cprofile-use=$PWD/proxy/profile/requests.profdata -Cllvm-args=-inline-threshold=75"
known+=" -Cllvm-args=-pgso-lwss-only=false -Cllvm-args=-hot-callsite-threshold=1000 -Cllvm-args=-locally-hot-callsite-threshold=225"
known+=" -Cllvm-args=-no-pgo-warn-mismatch"
RUSTFLAGS="$known -C debuginfo=0 -C strip=symbols -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs $once --remap-path-prefix=$PWD=/src --remap-path-prefix=$CARGO_HOME/registry/src=/crates" \
CFLAGS="-ffile-prefix-map=$CARGO_HOME/registry/src=/crates -ffile-prefix-map=$CARGO_TARGET_DIR=/target" \
    cargo build --locked --profile dist --target "$target" -p holysheep-proxy
echo "$sources" >"$stamp"
echo "The proxy took $SECONDS s, kernel programs included."

# A bill of materials of each.
bill=(cargo cyclonedx --quiet --format json --spec-version 1.5 --no-build-deps --override-filename sbom)
"${bill[@]}" --target "$target" --manifest-path proxy/Cargo.toml
"${bill[@]}" --target bpfel-unknown-none --manifest-path proxy-ebpf/Cargo.toml

# Licences of what is linked in: most ask for their text wherever the program goes.
crates() {
    local tree=(cargo tree --locked -e 'normal,no-proc-macro' --prefix none --no-dedupe --format '{p}')
    {
        "${tree[@]}" -p holysheep-proxy --target "$target"
        "${tree[@]}" --manifest-path proxy-ebpf/Cargo.toml --target bpfel-unknown-none
    } | awk '$3 == "" { print $1 "-" substr($2, 2) }' | sort -u
}
third_party() {
    echo "What holysheep-proxy contains of others, and under which terms."
    local crate file
    for crate in $(crates); do
        for file in "$CARGO_HOME"/registry/src/*/"$crate"/{LICEN[CS]E,COPYING,COPYRIGHT,NOTICE}*; do
            test -f "$file" || continue
            printf '\n==== %s: %s\n\n' "$crate" "${file##*/}"
            cat "$file"
        done
    done
    printf "\n==== Rust's standard library: MIT OR Apache-2.0\n\nCopyright (c) The Rust Project Contributors\n"
    printf '\n==== The C library (GNU libc, linked statically)\n\n'
    cat /usr/share/doc/libc6-dev/copyright
}

install -D -m 755 "$binary" "$root/usr/bin/holysheep-proxy"
install -D -m 644 -t "$documents" LICENSE-APACHE LICENSE-MIT
# Without the white space between their members, which is a third.
compact() { sed 's/^ *//' "$1" | tr -d '\n'; }
compact proxy/sbom.json >"$documents/sbom.cdx.json"
compact proxy-ebpf/sbom.json >"$documents/sbom-ebpf.cdx.json"
chmod 644 "$documents"/sbom*.json
third_party | tr -d '\r' | gzip -9n >"$documents/THIRD-PARTY.gz"
chmod 644 "$documents/THIRD-PARTY.gz"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
