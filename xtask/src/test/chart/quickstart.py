"""deploy/quickstart.sh, against stand-ins for kubectl, helm and curl that remember what they were asked.

There is no cluster here. What is shown: the order of commands, that a second run makes nothing again, that the key is in no
argument and no output, and that the real helm accepts the arguments.
"""

import os
import shlex
import shutil
import subprocess

from render import ROOT, SCRATCH, helm

SCRIPT = ROOT / "deploy/quickstart.sh"
KEY = "cr_quickstart_0123456789"

STANDIN = """#!/bin/sh
# Notes its arguments; keeps what exists as files.
state=@STATE@
printf '%s\\n' "$(basename "$0") $*" >> "$state/calls"
case "$(basename "$0") $*" in
    *"get namespace"*) test -e "$state/namespace" ;;
    *"create namespace"*) touch "$state/namespace" ;;
    *"create secret"*) cat > "$state/key"; echo "kind: Secret" ;;
    *"get secret"*) test -e "$state/key" ;;
    *"apply --filename -"*) cat > /dev/null ;;
    *"get service"*) echo service/holysheep-proxy-node; echo service/holysheep-proxy-service ;;
    *port-forward*) exec sleep 5 ;;
    curl*) echo '{"object":"list"}' ;;
esac
"""


def world(title):
    """An empty cluster, and the environment in which the script speaks to it."""
    state = SCRATCH / f"quickstart-{title}"
    shutil.rmtree(state, ignore_errors=True)
    (state / "bin").mkdir(parents=True)
    for program in ("kubectl", "helm", "curl"):
        file = state / "bin" / program
        file.write_text(STANDIN.replace("@STATE@", shlex.quote(str(state))))
        file.chmod(0o755)
    return state, {"PATH": f"{state}/bin:{os.environ['PATH']}"}


def quickstart(environment, *arguments):
    command = ["bash", str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)


def calls(state):
    file = state / "calls"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return lines


def position(lines, part):
    return next((index for index, line in enumerate(lines) if part in line), None)


def the_quickstart_installs_in_order_and_only_once():
    state, environment = world("order")
    environment["HOLYSHEEP_API_KEY"] = KEY
    done = quickstart(environment)
    assert done.returncode == 0, done.stderr
    first = calls(state)
    order = [position(first, part) for part in ("create namespace", "create secret", "helm upgrade --install", "curl")]
    assert None not in order and order == sorted(order), first
    assert (state / "key").read_text() == KEY
    assert '{"object":"list"}' in done.stdout
    again = quickstart(environment)
    assert again.returncode == 0, again.stderr
    assert position(calls(state), "create namespace") is None, "a second namespace"
    for text in [done.stdout, done.stderr, again.stdout, again.stderr, *first]:
        assert KEY not in text, "the key is shown"


def the_quickstart_keeps_a_secret_and_asks_for_a_missing_one():
    state, environment = world("secret")
    done = quickstart(environment)
    assert done.returncode == 1 and "HOLYSHEEP_API_KEY" in done.stderr, done.stderr
    assert position(calls(state), "helm upgrade") is None, "installed without a key"
    (state / "key").write_text("other")
    done = quickstart(environment)
    assert done.returncode == 0, done.stderr
    assert position(calls(state), "create secret") is None and (state / "key").read_text() == "other"


def a_dry_run_shows_what_helm_accepts_and_runs_nothing():
    state, environment = world("dry")
    environment["HOLYSHEEP_API_KEY"] = KEY
    for kind in ("daemonset", "deployment", "both"):
        done = quickstart(environment, "--dry-run", "--kind", kind, "--image", "host.example:5000/proxy:2")
        assert done.returncode == 0, done.stderr
        assert KEY not in done.stdout
        (line,) = [line for line in done.stdout.splitlines() if line.startswith("$ helm upgrade")]
        _, _, _, _, release, chart, *options = shlex.split(line)
        options = [option for option in options if option not in ("--wait", "--timeout", "5m")]
        code, out, err = helm("3.12", "template", release, chart, *options)
        assert code == 0, err
        assert 'image: "host.example:5000/proxy:2"' in out
        assert ("kind: DaemonSet" in out) == (kind != "deployment")
    assert calls(state) == []


def the_quickstart_refuses_what_it_does_not_know():
    _, environment = world("refuses")
    for arguments, expected in [
        (["--nmaespace", "x"], "--nmaespace"),
        (["--namespace"], "--namespace"),
        (["--kind", "statefulset"], "daemonset"),
        (["--image", "proxy", "--dry-run"], "REPOSITORY:TAG"),
    ]:
        done = quickstart(environment, *arguments)
        assert done.returncode == 2 and expected in done.stderr, f"{arguments}: {done.stderr}"


CHECKS = [
    the_quickstart_installs_in_order_and_only_once,
    the_quickstart_keeps_a_secret_and_asks_for_a_missing_one,
    a_dry_run_shows_what_helm_accepts_and_runs_nothing,
    the_quickstart_refuses_what_it_does_not_know,
]
