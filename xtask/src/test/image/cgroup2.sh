#!/bin/sh
# Mounts the container's own cgroup2 hierarchy into it: a hook of the container's runtime, run in its namespaces. The
# state of the container comes on standard input; its configuration, in the bundle, knows where its root is.
set -eu
bundle=$(sed -n 's/.*"bundle": *"\([^"]*\)".*/\1/p')
root=$(tr -d '\n' <"$bundle/config.json" | sed -n 's/.*"root": *{[^}]*"path": *"\([^"]*\)".*/\1/p')
mkdir -p "$root/sys/fs/cgroup/unified"
exec mount -t cgroup2 -o ro,nosuid,nodev,noexec cgroup2 "$root/sys/fs/cgroup/unified"
