"""Wrong values are refused with a message that names the value."""

from render import HELM, helm, CHART, load, schema_of_values, template

KEY = "holysheep.existingSecret=s"

# What is set, and what the message has to contain.
WRONG = [
    (["kind=daemon"], ["kind", "daemonset", "deployment", "both"]),
    (["replicaCount=three"], ["replicaCount", "integer"]),
    (["config.auht=open"], ["config", "auht"]),
    (["config.auth=everyone"], ["config", "auth", "passthrough"]),
    (["servise.port=80"], ["servise"]),
    (["service.port=99999"], ["service", "port", "65"]),
    (["image.pullPolicy=Alway"], ["pullPolicy", "IfNotPresent"]),
    (["image.digest=latest"], ["digest", "sha256"]),
    (["holysheep.apiBaseUrl=api.holysheep.ai"], ["apiBaseUrl", "https?"]),
    (["autoscaling.maxReplicas=0"], ["maxReplicas", "1"]),
    (["autoscaling.minReplicas=20"], ["autoscaling.minReplicas", "20", "maxReplicas"]),
    (["autoscaling.keda.enabled=true", "autoscaling.inFlight.enabled=true"], ["prometheusAddress"]),
    (["securityProfile=root"], ["securityProfile", "capabilities"]),
    (["daemonset.ebpf=yes"], ["ebpf", "required"]),
    (["daemonset.hostNetwork=true"], ["daemonset.hostNetwork", "passthrough"]),
    (["sysctls.net=0"], ["sysctls", "string"]),
    (
        ["kind=daemonset", "daemonset.hostNetwork=true", "config.auth=passthrough", "sysctls.net=a"],
        ["sysctls", "daemonset.hostNetwork"],
    ),
    (["ingress.enabled=true"], ["ingress.host"]),
    (["httpRoute.enabled=true"], ["httpRoute.parentRefs"]),
    (["persistence.enabled=true"], ["persistence.enabled", "state"]),
    (["config.file.listen=0.0.0.0:1"], ["config.file.listen", "containerPorts"]),
    (["config.file.timeouts.drain=5s"], ["config.file.timeouts.drain", "drainTimeoutSeconds"]),
    (["config.rateLimit.redisAddress=redis"], ["redisAddress", "[0-9]"]),
    (["holysheep.existingSecret="], ["holysheep.existingSecret", "apiKeySecret"]),
]


def wrong_values_are_refused_with_their_name():
    for version in HELM:
        for settings, expected in WRONG:
            arguments = [part for setting in [KEY, *settings] for part in ("--set", setting)]
            code, _, message = helm(version, "template", "r", CHART, *arguments)
            assert code != 0, f"helm {version} accepts {settings}"
            missing = [part for part in expected if part not in message]
            assert not missing, f"helm {version}, {settings}: no {missing} in {message}"


def a_version_below_the_oldest_is_refused():
    for version in HELM:
        code, _, message = helm(version, "template", "r", CHART, "--set", KEY, "--kube-version", "1.26.0")
        assert code != 0 and "1.27" in message, message


def a_tag_of_digits_stays_a_tag():
    for version in HELM:
        for setting, image in [("image.tag=2", "holysheep-proxy:2"), ("image.tag=20261125", "holysheep-proxy:20261125")]:
            objects = load(template(version, "--set", KEY, "--set", setting))
            images = {
                container["image"]
                for item in objects
                if item["kind"] in ("Deployment", "DaemonSet")
                for container in item["spec"]["template"]["spec"]["containers"]
            }
            assert images == {image}, f"helm {version}, {setting}: {images}"


def the_schema_leaves_no_object_open_by_accident():
    """Objects with known keys refuse unknown ones; the rest is Kubernetes' own, handed on as it is."""

    def walk(path, schema):
        if "properties" in schema:
            assert schema.get("additionalProperties") is False, f"{path} accepts unknown keys"
            for key, child in schema["properties"].items():
                walk(f"{path}.{key}", child)

    schema = schema_of_values()
    walk("values", schema)
    for key, child in schema["definitions"].items():
        walk(key, child)


CHECKS = [
    wrong_values_are_refused_with_their_name,
    a_version_below_the_oldest_is_refused,
    a_tag_of_digits_stays_a_tag,
    the_schema_leaves_no_object_open_by_accident,
]
