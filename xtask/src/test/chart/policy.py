"""What linters say: helm, yamllint, checkov, shellcheck, kustomize."""

import json
import subprocess

from render import CHART, HELM, KUBECTL, ROOT, SCRATCH, TOOLS, VALUES, helm, load, name, template

BIN = TOOLS / "venv-checks/bin"
YAMLLINT = "{extends: default, rules: {line-length: {max: 160}, document-start: disable, truthy: {check-keys: false}, \
braces: {max-spaces-inside: 1}, indentation: {spaces: 2, indent-sequences: whatever}, comments: {min-spaces-from-content: 1}}}"
# helm's toYaml and --- leave lines like these, and nobody edits what it prints.
RENDERED = YAMLLINT.replace("document-start", "empty-lines: disable, trailing-spaces: disable, document-start")
RENDERED = RENDERED.replace("{max: 160}", "disable")

# What checkov finds and we do otherwise: (check, object's kind or *) and why.
SKIPPED = {
    ("CKV_K8S_43", "*"): "images are named by tag until the user gives image.digest",
    ("CKV_K8S_15", "*"): "a tag is not moved, so nodes need not ask the registry at each start",
    ("CKV_K8S_40", "*"): "101 is the article's uid, and the DaemonSet needs 0; ids of containers are not the node's users here",
    ("CKV_K8S_8", "Pod"): "`helm test` is a pod that ends by itself",
    ("CKV_K8S_9", "Pod"): "`helm test` is a pod that ends by itself",
    ("CKV_K8S_16", "DaemonSet"): "privileged is this profile; securityProfile=capabilities is the other",
    ("CKV_K8S_20", "DaemonSet"): "privileged containers cannot forbid it",
    ("CKV_K8S_23", "DaemonSet"): "capabilities are effective for uid 0 only",
    ("CKV_K8S_25", "DaemonSet"): "BPF and NET_ADMIN load and attach the kernel programs",
    ("CKV_K8S_28", "DaemonSet"): "a privileged container has all of them, whatever is dropped",
    ("CKV_K8S_31", "DaemonSet"): "seccomp has no effect on privileged containers",
    ("CKV_K8S_37", "DaemonSet"): "as CKV_K8S_25",
    ("CKV_K8S_19", "DaemonSet"): "hostNetwork is a choice of the user's, refused with open access",
    ("CKV_K8S_29", "DaemonSet"): "nothing is left to set for a privileged pod",
    ("CKV2_K8S_6", "*"): "looked for per file; values without a NetworkPolicy are one of the sets",
}


def helm_finds_nothing():
    for version in HELM:
        for values in VALUES:
            code, out, err = helm(version, "lint", "--strict", CHART, "--values", values)
            assert code == 0, f"helm {version}, {values.stem}: {out}{err}"


def yamllint_finds_nothing():
    files = [CHART / "values.yaml", CHART / "Chart.yaml", ROOT / "deploy/helm/manifests.yaml", ROOT / "deploy/measure/job.yaml", *VALUES]
    run([BIN / "yamllint", "--strict", "-d", YAMLLINT, *files])
    for values in VALUES:
        file = SCRATCH / f"lint-{values.name}"
        file.write_text(template("4", "--values", values))
        run([BIN / "yamllint", "--strict", "-d", RENDERED, file])


def checkov_finds_nothing_that_has_no_reason():
    used = set()
    for values in VALUES:
        file = SCRATCH / f"policy-{values.name}"
        text = template("4", "--values", values)
        file.write_text(text)
        kinds = {name(item).split("/")[1] + item["kind"]: item["kind"] for item in load(text)}
        assert kinds
        for finding in checkov(file):
            kind = finding["resource"].split(".")[0]
            keys = [(finding["check_id"], kind), (finding["check_id"], "*")]
            reasons = [key for key in keys if key in SKIPPED]
            assert reasons, f"{values.stem}: {finding['check_id']} {finding['check_name']}: {finding['resource']}"
            used.update(reasons[:1])
    assert used == SKIPPED.keys(), f"skipped and never found: {SKIPPED.keys() - used}"


def checkov(file):
    command = [BIN / "checkov", "--file", file, "--framework", "kubernetes", "--skip-download", "--output", "json"]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
    report = json.loads(done.stdout)
    assert report["summary"]["passed"] > 50, f"checkov looked at little: {report['summary']}"
    return report["results"]["failed_checks"]


def shellcheck_finds_nothing():
    scripts = sorted((ROOT / "deploy").rglob("*.sh"))
    assert scripts
    run([BIN / "shellcheck", "--severity=style", *scripts])


def kustomize_builds_the_manifests():
    for version, kubectl in KUBECTL.items():
        for directory in ("deploy/manifests", "deploy/manifests/monitoring"):
            objects = load(run([kubectl, "kustomize", ROOT / directory]))
            assert objects, f"kubectl {version}: nothing in {directory}"


def run(command):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"
    return done.stdout


CHECKS = [
    helm_finds_nothing,
    yamllint_finds_nothing,
    checkov_finds_nothing_that_has_no_reason,
    shellcheck_finds_nothing,
    kustomize_builds_the_manifests,
]
