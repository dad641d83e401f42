"""Wrong values are refused with a message that names the value."""

from render import HELM, helm, CHART, load, schema_of_values, template

KEY = "holysheep.existingSecret=s"

OPENAI = ["upstreams[0].name=openai", "upstreams[0].baseUrl=https://api.openai.com/v1", "upstreams[0].existingSecret=o"]

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
    (["holysheep.apiKeys[0].name=a", "holysheep.apiKeys[0].existingSecret=a"], ["holysheep.apiKeys", "give one of them"]),
    (["holysheep.apiKeys[0].name=a"], ["apiKeys", "0", "existingSecret"]),
    (["holysheep.apiKeys[0].name=../a", "holysheep.apiKeys[0].existingSecret=a"], ["apiKeys", "0", "name", "A-Za-z"]),
    ([*OPENAI, "upstreams[0].apiKey=sk-1"], ["upstreams", "0", "apiKey"]),
    ([*OPENAI, "upstreams[0].existingSecret=cr_1"], ["upstreams", "0", "existingSecret"]),
    ([*OPENAI, "upstreams[0].dialect=google"], ["upstreams", "0", "dialect", "anthropic"]),
    ([*OPENAI, "upstreams[0].baseUrl=api.openai.com"], ["upstreams", "0", "baseUrl", "https?"]),
    ([*OPENAI, "upstreams[0].name=holysheep"], ["upstreams[0].name", "holysheep is the name of another"]),
    (OPENAI[:2], ["upstreams[0].existingSecret", "openai", "apiKeys"]),
    (
        [*OPENAI, "upstreams[0].apiKeys[0].name=a", "upstreams[0].apiKeys[0].existingSecret=a"],
        ["upstreams[0].apiKeys", "existingSecret, too"],
    ),
    (
        [*OPENAI[:2], *(f"upstreams[0].apiKeys[{n}].{k}=a" for n in "01" for k in ("name", "existingSecret"))],
        ["upstreams[0].apiKeys[1].name", "a is the name of another"],
    ),
    (["config.auth=clients"], ["clients.existingSecret", "client add"]),
    (["clients.existingSecret=c"], ["clients.existingSecret", "config.auth=clients"]),
    (["config.auth=clients", "clients.existingSecret=c", "holysheep.existingSecret="], ["holysheep.existingSecret", "clients"]),
    (["config.auth=clients", "clients.existingSecret=c", "config.file.clients.file=/x"], ["config.file.clients", "use clients"]),
    (["clients.existingSecret=hs-Key"], ["clients", "existingSecret"]),
    ([*OPENAI, "config.auth=passthrough"], ["upstreams", "config.auth=open"]),
    (["models.gpt[0]=opnai"], ["models.gpt", "opnai is no upstream", "holysheep"]),
    (["models.gpt[0].upstream=opnai"], ["models.gpt", "opnai is no upstream"]),
    (["models.gpt[0].name=openai"], ["models", "gpt"]),
    (["prices.m.input=1"], ["prices", "m", "output"]),
    (["prices.m.input=cheap", "prices.m.output=1"], ["prices", "m", "input"]),
    (["retries.attempts=11"], ["retries", "attempts", "10"]),
    (["retries.max_wait=1s"], ["retries", "max_wait"]),
    (["ejection.pause=1"], ["ejection", "pause"]),
    (["breaker.failures=0"], ["breaker", "failures", "1"]),
    (["dns.attempts=0"], ["dns", "attempts", "1"]),
    (["webhook.forwardTo=billing:8080"], ["webhook", "forwardTo", "https?"]),
    (["webhook.forwardTo=http://user:pass@billing"], ["webhook", "forwardTo", "https?"]),
    (["webhook.scheme=plain"], ["webhook", "scheme", "timestamped"]),
    (["webhook.secret=whsec_1"], ["webhook", "secret"]),
    (["webhook.forwardTo=http://billing", "holysheep.existingSecret=", "config.auth=passthrough"], ["webhook.existingSecret", "Secret"]),
    (["traces.endpoint=collector:4318"], ["traces", "endpoint", "https?"]),
    (["traces.sample=2"], ["traces", "sample", "1"]),
    (["measure.slo[0]=p95"], ["measure", "slo", "p[0-9]"]),
    (["measure.rate=0"], ["measure", "rate", "0.001"]),
    (["measure.samples=1.5"], ["measure", "samples", "integer"]),
    (["traces.headers=a"], ["traces", "headers"]),
    (["config.file.webhook.forward_to=http://billing"], ["config.file.webhook", "use webhook"]),
    (["config.file.upstreams[0].name=openai"], ["config.file.upstreams", "use upstreams"]),
    (["config.file.upstream.api_keys[0].name=a"], ["config.file.upstream.api_keys", "holysheep.apiKeys"]),
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
