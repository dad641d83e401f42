"""Renders the chart with every set of values and reads what comes out."""

import functools
import json
import os
import pathlib
import subprocess

import yaml

ROOT = pathlib.Path(os.environ["WORKSPACE"])
TOOLS = pathlib.Path(os.environ["TOOLS"])
SCRATCH = pathlib.Path(os.environ["SCRATCH"])
CHART = ROOT / "deploy/helm/holysheep-proxy"
VALUES = sorted((ROOT / "deploy/helm/tests/values").glob("*.yaml"))
GOLDEN = ROOT / "deploy/helm/tests/golden"
HELM = {"3.12": TOOLS / "helm-3.12/helm", "4": TOOLS / "helm-4/helm"}
KUBECTL = {"1.27": TOOLS / "helm-3.12/kubectl", "1.37": TOOLS / "helm-4/kubectl"}
# The oldest supported, and the newest there are schemas for.
KUBERNETES = ("1.27.0", "1.37.0")
NEWEST = KUBERNETES[-1]
CUSTOM = ("cert-manager.io", "gateway.networking.k8s.io", "keda.sh", "monitoring.coreos.com")


class StrictLoader(yaml.CSafeLoader):
    """Refuses a key that stands twice, which YAML forbids and most parsers let pass."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


def load(text):
    """The objects of a stream of documents."""
    return [document for document in yaml.load_all(text, Loader=StrictLoader) if document]


def name(item):
    return f"{item['kind']}/{item['metadata']['name']}"


def by_name(objects):
    found = {name(item): item for item in objects}
    if len(found) != len(objects):
        raise ValueError("two objects have the same kind and name")
    return found


def helm(version, *arguments, **options):
    """Runs helm; gives back exit code, output, and messages."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HELM_", "KUBE"))}
    environment["HOME"] = str(SCRATCH / "home")
    command = [HELM[version], *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, **options)
    return done.returncode, done.stdout, done.stderr


@functools.cache
def template(version, *arguments, kubernetes=NEWEST, release="holysheep-proxy", namespace="holysheep-proxy"):
    """The rendered chart as text; an error if helm refuses."""
    code, out, err = helm(
        version, "template", release, CHART, "--namespace", namespace, "--kube-version", kubernetes, *arguments
    )
    if code != 0:
        raise ValueError(f"helm {version}: {err.strip()}")
    return out


def matrix():
    """(values' name, helm, kubernetes, text) of every combination."""
    for values in VALUES:
        for version in HELM:
            for kubernetes in KUBERNETES:
                yield values.stem, version, kubernetes, template(version, "--values", values, kubernetes=kubernetes)


def pods(objects):
    """(name, labels, pod spec) of everything that makes pods."""
    for item in objects:
        if item["kind"] in ("Deployment", "DaemonSet"):
            pod = item["spec"]["template"]
            yield name(item), pod["metadata"]["labels"], pod["spec"]
        elif item["kind"] == "Pod":
            yield name(item), item["metadata"]["labels"], item["spec"]


def schema_of_values():
    return json.loads((CHART / "values.schema.json").read_text())
