#!/bin/sh
# The first process of the guest: makes the system a test expects, runs the tests, powers off.
# Lines that begin with @@ are for guest.rs; everything else is for whoever reads the output.

export PATH=/bin HOME=/tmp RUST_BACKTRACE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
mount -t tracefs tracefs /sys/kernel/tracing

echo "@@ kernel $(uname -r)"
for module in /modules/*; do
    insmod "$module" || echo "cannot load $module"
done
ip link set lo up

while read -r limit name arguments; do
    # Words of a command line, so they are split.
    # shellcheck disable=SC2086
    timeout -s KILL "$limit" "/tests/$name" $arguments
    echo "@@ suite $name $?"
done </suites
echo "@@ end"
poweroff -f
