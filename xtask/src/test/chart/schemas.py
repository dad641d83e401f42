"""Every object fits the schema of its kind, in the oldest and the newest version of Kubernetes."""

import copy
import json
import subprocess

import kubernetes_validate

from render import CUSTOM, KUBERNETES, ROOT, SCRATCH, TOOLS, load, matrix, name


def is_custom(item):
    return item["apiVersion"].split("/")[0] in CUSTOM


def problems(item, kubernetes):
    try:
        kubernetes_validate.validate(item, kubernetes, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{name(item)} in {kubernetes}: {error}"
    return None


def objects_fit_the_schemas_of_kubernetes():
    seen = set()
    for _, _, kubernetes, text in matrix():
        for item in load(text):
            if not is_custom(item):
                problem = problems(item, kubernetes)
                assert problem is None, problem
                seen.add((item["kind"], kubernetes))
    for kind in ("DaemonSet", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget"):
        for kubernetes in KUBERNETES:
            assert (kind, kubernetes) in seen, f"no {kind} for {kubernetes}"


def manifests_fit_the_schemas_of_kubernetes():
    count = 0
    files = [*sorted((ROOT / "deploy/manifests").rglob("*.yaml")), ROOT / "deploy/measure/job.yaml"]
    for file in files:
        if file.name == "kustomization.yaml":
            continue
        for item in load(file.read_text()):
            if not is_custom(item):
                for kubernetes in KUBERNETES:
                    problem = problems(item, kubernetes)
                    assert problem is None, problem
                count += 1
    assert count >= 10, f"only {count} objects"


def an_unknown_field_is_noticed():
    """That the check above can fail."""
    for _, _, kubernetes, text in matrix():
        item = copy.deepcopy(next(item for item in load(text) if item["kind"] == "Service"))
        item["spec"]["internalTrafficPolicies"] = "Local"
        assert problems(item, kubernetes) is not None
        return


def custom_objects_fit_their_types():
    """With a key and a value that are wrong besides, so that it is known to notice these."""
    entries, kinds = [], set()
    for values, version, kubernetes, text in matrix():
        for item in filter(is_custom, load(text)):
            entries.append({"name": f"{values}/{version}/{kubernetes}/{name(item)}", "object": item})
            if item["kind"] not in kinds:
                kinds.add(item["kind"])
                wrong = copy.deepcopy(item)
                wrong["spec"]["unknownKey"] = 1
                entries.append({"name": f"wrong/{item['kind']}", "object": wrong})
    assert {"Certificate", "HTTPRoute", "PrometheusRule", "ScaledObject", "ServiceMonitor"} <= kinds, kinds
    lines = node(entries)
    assert len(lines) == len(entries)
    for line in lines:
        expected = "FAIL wrong/" if "wrong/" in line else "ok "
        assert line.startswith(expected), line


def node(entries):
    objects = SCRATCH / "objects.json"
    objects.write_text(json.dumps(entries))
    directory = TOOLS / "node"
    script = directory / "check.mjs"
    script.write_text((ROOT / "xtask/src/test/crds/check.mjs").read_text())
    done = subprocess.run(["node", script, objects], cwd=directory, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


CHECKS = [
    objects_fit_the_schemas_of_kubernetes,
    manifests_fit_the_schemas_of_kubernetes,
    an_unknown_field_is_noticed,
    custom_objects_fit_their_types,
]
