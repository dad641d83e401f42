"""Objects fit each other, and the configuration fits the program."""

import os
import re
import subprocess

import yaml

from render import KUBERNETES, ROOT, SCRATCH, VALUES, by_name, load, matrix, name, pods, template

PROXY = os.environ["PROXY"]


def rendered():
    """(values' name, objects) of every set of values."""
    for values in VALUES:
        yield values.stem, load(template("4", "--values", values))


def selects(selector, labels):
    return selector.items() <= labels.items()


def configuration_text(objects):
    (item,) = [item for item in objects if item["kind"] == "ConfigMap" and item["metadata"]["name"].endswith("-config")]
    return item["data"]["config.yaml"]


def configuration(objects):
    return yaml.safe_load(configuration_text(objects))


def port_of(address):
    return int(address.rsplit(":", 1)[1])


def reads_configuration(spec):
    """Whether a pod runs a command on the proxy's own configuration; `measure` is a client."""
    return "--config" in spec["containers"][0]["args"]


def workloads(objects):
    return [item for item in objects if item["kind"] in ("Deployment", "DaemonSet")]


def selectors_find_their_pods():
    for values, objects in rendered():
        templates = {name(item): item["spec"]["template"]["metadata"]["labels"] for item in workloads(objects)}
        for item in workloads(objects):
            chosen = [key for key, labels in templates.items() if selects(item["spec"]["selector"]["matchLabels"], labels)]
            assert chosen == [name(item)], f"{values}: {name(item)} selects {chosen}"
        for item in objects:
            spec = item.get("spec", {})
            if item["kind"] == "Service":
                selector = spec["selector"]
            elif item["kind"] == "PodDisruptionBudget":
                selector = spec["selector"]["matchLabels"]
            elif item["kind"] == "NetworkPolicy":
                selector = spec["podSelector"]["matchLabels"]
                assert all(selects(selector, labels) for labels in templates.values()), f"{values}: a pod without policy"
            else:
                continue
            assert any(selects(selector, labels) for labels in templates.values()), f"{values}: {name(item)} has no pods"


def services_and_probes_lead_to_ports_the_proxy_listens_on():
    for values, objects in rendered():
        config = configuration(objects)
        assert "listen" not in config and "admin_listen" not in config, "the image's variables would win"
        for item in workloads(objects):
            pod = item["spec"]["template"]
            (container,) = pod["spec"]["containers"]
            variables = {variable["name"]: variable.get("value") for variable in container["env"]}
            listens = {
                "http": variables["HOLYSHEEP_LISTEN"],
                "admin": variables["HOLYSHEEP_ADMIN_LISTEN"],
                "probe": config["probes"]["listen"],
            }
            if "tls" in config:
                listens["https"] = config["tls"]["listen"]
            expected = {key: port_of(address) for key, address in listens.items()}
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            assert ports == expected, f"{values}: {ports} != {expected}"
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                get = container[probe]["httpGet"]
                assert get["port"] in ports, f"{values}: {probe} to {get['port']}"
                assert get["path"] == ("/health?ready" if probe == "readinessProbe" else "/health"), get
            annotations = pod["metadata"]["annotations"]
            if "prometheus.io/scrape" in annotations:
                assert int(annotations["prometheus.io/port"]) == ports["admin"], values
                assert annotations["prometheus.io/path"] == "/metrics", values
        for item in objects:
            if item["kind"] == "Service":
                for port in item["spec"]["ports"]:
                    assert port["targetPort"] in expected, f"{values}: {name(item)} to {port['targetPort']}"


def metrics_are_scraped_once():
    for values, objects in rendered():
        monitors = [item for item in objects if item["kind"] == "ServiceMonitor"]
        annotated = [
            item
            for item in workloads(objects)
            if "prometheus.io/scrape" in item["spec"]["template"]["metadata"]["annotations"]
        ]
        assert bool(monitors) != bool(annotated), f"{values}: both, or neither"
        for monitor in monitors:
            services = [item for item in objects if item["kind"] == "Service"]
            selector = monitor["spec"]["selector"]["matchLabels"]
            (chosen,) = [item for item in services if selects(selector, item["metadata"]["labels"])]
            named = {port["name"] for port in chosen["spec"]["ports"]}
            assert {endpoint["port"] for endpoint in monitor["spec"]["endpoints"]} <= named


def probes_are_steered_where_the_kernel_does_it():
    """On the traffic port of the DaemonSet; on a port of their own where they would wait behind users."""
    ports = {}
    for values in ("daemonset-privileged", "deployment", "deployment-fixed"):
        objects = dict(rendered())[values]
        for item in workloads(objects):
            (container,) = item["spec"]["template"]["spec"]["containers"]
            ports[values] = {container[probe]["httpGet"]["port"] for probe in ("livenessProbe", "readinessProbe")}
            sources = [variable for variable in container["env"] if variable["name"] == "HOLYSHEEP_PROBE_SOURCES"]
            assert bool(sources) == (item["kind"] == "DaemonSet"), values
    assert ports == {"daemonset-privileged": {"http"}, "deployment": {"probe"}, "deployment-fixed": {"http"}}, ports


def the_nodes_addresses_come_where_the_version_has_them():
    for values, _, kubernetes, text in matrix():
        for item in load(text):
            if item["kind"] != "DaemonSet":
                continue
            (container,) = item["spec"]["template"]["spec"]["containers"]
            names = {variable["name"] for variable in container["env"]}
            assert "HOST_IP" in names, values
            assert ("HOST_IPS" in names) == (kubernetes != KUBERNETES[0]), f"{values}, {kubernetes}"


def pods_outlive_their_drain():
    def seconds(text):
        assert re.fullmatch(r"\d+s", text), text
        return int(text[:-1])

    for values, objects in rendered():
        timeouts = configuration(objects)["timeouts"]
        drain = seconds(timeouts["drain"]) + seconds(timeouts["drain_delay"])
        for item in workloads(objects):
            grace = item["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
            assert grace > drain, f"{values}: {grace} s for a drain of {drain} s"
            assert seconds(timeouts["drain_delay"]) > 0, "endpoints are removed with a delay"


def an_update_takes_no_pod_away_first():
    for values, objects in rendered():
        for item in workloads(objects):
            spec = item["spec"]
            update = spec.get("strategy", spec.get("updateStrategy"))["rollingUpdate"]
            if spec["template"]["spec"].get("hostNetwork"):
                assert update == {"maxSurge": 0, "maxUnavailable": 2}, f"{values}: {update}"
            else:
                assert update["maxUnavailable"] == 0 and update["maxSurge"], f"{values}: {update}"


def the_node_local_service_keeps_to_the_node():
    objects = by_name(dict(rendered())["article"])
    node, service = objects["Service/holysheep-proxy-node"]["spec"], objects["Service/holysheep-proxy-service"]["spec"]
    assert node["internalTrafficPolicy"] == "Local"
    assert "internalTrafficPolicy" not in service
    assert node["selector"]["app.kubernetes.io/component"] == "daemonset"
    assert service["selector"]["app.kubernetes.io/component"] == "deployment"


def port_443_is_open_only_where_something_listens():
    for values, objects in rendered():
        has_tls = "tls" in configuration(objects)
        for item in objects:
            if item["kind"] == "Service" and not item["metadata"]["name"].endswith("-metrics"):
                names = [port["name"] for port in item["spec"]["ports"]]
                assert ("https" in names) == has_tls, f"{values}: {name(item)}"


def volumes_and_mounts_agree():
    for values, objects in rendered():
        maps = {item["metadata"]["name"] for item in objects if item["kind"] == "ConfigMap"}
        for key, _, spec in pods(objects):
            volumes = {volume["name"]: volume for volume in spec["volumes"]}
            for container in spec["containers"]:
                mounts = {mount["name"] for mount in container["volumeMounts"]}
                assert mounts == volumes.keys(), f"{values}: {key}: {mounts ^ volumes.keys()}"
                for mount in container["volumeMounts"]:
                    assert "subPath" not in mount, "a change would not reach the pod"
            if reads_configuration(spec):
                assert volumes["config"]["configMap"]["name"] in maps, f"{values}: {key}"


def only_what_the_proxy_does_not_read_again_replaces_pods():
    def checksum(*settings):
        arguments = [part for setting in settings for part in ("--set", setting)]
        text = template("4", "--set", "holysheep.existingSecret=s,kind=deployment", *arguments)
        (item,) = workloads(load(text))
        return item["spec"]["template"]["metadata"]["annotations"].get("checksum/config")

    usual = checksum()
    for setting in ("timeouts.idle=90s", "limits.body=20MiB", "log.level=debug", "probes.accept_limit=20s", "models_cache.ttl=1m", "upstream.min_idle=8"):
        assert checksum(f"config.file.{setting}") == usual, setting
    for setting in ("prices.m.input=1,prices.m.output=2", "retries.attempts=2", "hedging.budgetPercent=1", "ejection.pause=2s", "breaker.failures=5", "models.gpt[0]=holysheep"):
        assert checksum(setting) == usual, setting
    for setting in ("upstream.tcp.max_window=2MiB", "log.access=off", "workers=2"):
        assert checksum(f"config.file.{setting}") not in (usual, None), setting
    assert checksum("dns.timeout=1s") not in (usual, None)
    assert checksum("config.auth=passthrough") != usual
    assert checksum("config.auth=clients", "clients.existingSecret=c") not in (usual, None)
    assert checksum("config.restartOnChange=false") is None


def each_key_of_the_configuration_is_a_file_of_a_secret():
    """And what else names a file is mounted, too; no key is anywhere but in Secrets."""
    count = 0
    for values, objects in rendered():
        config = configuration(objects)
        upstreams = [config["upstream"], *config.get("upstreams", [])]
        webhook = config.get("webhook", {})
        files = [key["file"] for upstream in upstreams for key in upstream.get("api_keys", [])]
        files += [upstream[key] for upstream in upstreams for key in ("api_key_file", "ca_file") if key in upstream]
        files += [webhook[key] for key in ("secret_file", "ca_file") if key in webhook]
        traces = config.get("traces", {})
        files += [traces[key] for key in ("headers_file", "ca_file") if key in traces]
        assert len(files) == len(set(files)), f"{values}: one file for two keys"
        files += [config["clients"]["file"]] if config["auth"] == "clients" else []
        for key, _, spec in pods(objects):
            if not reads_configuration(spec):
                continue
            mounted = set(mounted_files(spec))
            assert set(files) <= mounted, f"{values}: {key}: nothing mounts {set(files) - mounted}"
        count += len(files)
        text = yaml.safe_dump([item for item in objects if item["kind"] != "Secret"])
        assert "cr_0123456789" not in text, f"{values}: a key outside of a Secret"
    assert count >= 13, count


def mounted_files(spec):
    (container,) = spec["containers"]
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for volume in spec["volumes"]:
        sources = volume.get("projected", {}).get("sources", [volume])
        for source in sources:
            for item in (source.get("secret") or source.get("configMap") or {}).get("items", []):
                yield f"{places[volume['name']]}/{item['path']}"


def sections_of_values_are_sections_of_the_file():
    """Written as the program reads them, config.file over them."""
    config = configuration(dict(rendered())["upstreams"])
    assert config["retries"] == {
        "attempts": 2,
        "backoff": "50ms",
        "max_wait": "2s",
        "budget_percent": 10,
        "body": 4194304,
        "unacknowledged": "0s",
    }, config["retries"]
    assert config["ejection"] == {"failures": 5, "pause": "2s", "max_pause": "30s", "kernel": False}
    assert config["breaker"] == {"failures": 20, "pause": "500ms", "max_pause": "10s"}
    assert config["dns"]["min_ttl"] == "5s" and config["dns"]["servers"] == ["10.96.0.10", "10.0.0.53:5353"]
    assert config["prices"] == {
        "local": {
            "input": 0.05,
            "cached_input": 0.0125,
            "cache_write": "0.1",
            "cache_write_1h": 1,
            "output": 0.2,
            "aliases": ["local-1"],
            "source": "https://example.com/prices",
            "date": "2026-11-26",
        }
    }, config["prices"]
    assert config["models"]["claude-sonnet-4.5"][1] == {"upstream": "anthropic", "model": "claude-sonnet-4-5"}
    assert [upstream["name"] for upstream in config["upstreams"]] == ["openai", "anthropic", "relay"]
    assert config["upstreams"][2]["min_idle"] == 0 and config["upstreams"][2]["via"] is True


def the_webhook_is_there_where_it_has_a_receiver():
    found = {}
    for values, objects in rendered():
        config = configuration(objects)
        found[values] = config.get("webhook")
        specs = [spec for _, _, spec in pods(objects) if reads_configuration(spec)]
        mounts = [mount["name"] for spec in specs for mount in spec["containers"][0]["volumeMounts"]]
        assert ("webhook" in mounts) == ("webhook" in config), values
    assert found.pop("everything") == {
        "forward_to": "https://billing.shop.svc.cluster.local:9443/payments?shop=1",
        "secret_file": "/etc/holysheep/webhook/webhook-secret",
        "ca_file": "/etc/holysheep/webhook/ca.crt",
        "scheme": "timestamped",
        "signature_header": "x-pay-signature",
        "tolerance": "2m",
        "max_body": 131072,
        "timeout": "5s",
        "max_concurrent": 8,
    }
    assert found.pop("upstreams")["secret_file"] == "/etc/holysheep/webhook/webhook-secret"
    assert not any(found.values()), found


def traces_are_there_where_they_are_wanted():
    found = {values: configuration(objects).get("traces") for values, objects in rendered()}
    assert found.pop("everything") == {
        "endpoint": "http://collector.observability:4318",
        "headers_file": "/etc/holysheep/traces/headers",
        "ca_file": "/etc/holysheep/traces/ca.crt",
        "sample": 0.1,
        "service_name": "holysheep",
        "attributes": {"deployment.environment.name": "production"},
        "timeout": "5s",
    }
    assert not any(found.values()), found


def the_hpa_scales_a_deployment_that_has_no_fixed_size():
    for values, objects in rendered():
        scaled = {item["spec"]["scaleTargetRef"]["name"] for item in objects if "scaleTargetRef" in item.get("spec", {})}
        for item in objects:
            if item["kind"] == "Deployment":
                assert (item["metadata"]["name"] in scaled) != ("replicas" in item["spec"]), values


def the_program_accepts_every_configuration():
    """`check` ends with 2 if it does not, whatever it finds of the network afterwards."""
    directory = SCRATCH / "configuration"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "api-key").write_text("cr_0123456789\n")
    count = 0
    for values, objects in rendered():
        # Every key has the same file.
        text = re.sub(r"/etc/holysheep/(keys?|webhook)/\S*", str(directory / "api-key"), configuration_text(objects))
        # An authority of the machine that renders, and nobody's real one.
        text = re.sub(r"ca_file: .*", "", text)
        # Nothing answers there, so nothing leaves this machine.
        text = re.sub(r"base_url: .*", "base_url: http://127.0.0.1:9/v1", text)
        text = re.sub(r"forward_to: .*", "forward_to: http://127.0.0.1:9/", text)
        for item in workloads(objects):
            (container,) = item["spec"]["template"]["spec"]["containers"]
            environment = {variable["name"]: variable.get("value", "192.0.2.1") for variable in container["env"]}
            environment["HOLYSHEEP_EBPF"] = "off"
            code, output = check(directory / "config.yaml", text, environment)
            assert code in (0, 1), f"{values}: exit code {code}: {output}"
            count += 1
        code, output = check(directory / "config.yaml", text + "\nunknown_key: 1\n", environment)
        assert code == 2 and "unknown_key" in output, f"an unknown key is accepted: {output}"
    assert count >= len(VALUES)


def measurements(objects):
    """Pods of `helm test` that measure."""
    return [item for item in objects if item["kind"] == "Pod" and item["spec"]["containers"][0]["args"][0] == "measure"]


def option(arguments, flag):
    """All values of a flag."""
    return [argument.partition("=")[2] for argument in arguments if argument.startswith(f"--{flag}=")]


def services_are_measured_where_there_is_a_key_for_them():
    for values, objects in rendered():
        services = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "Service"}
        if configuration(objects)["auth"] == "passthrough":
            assert not measurements(objects), f"{values}: a client's key is nowhere in these values"
            continue
        (item,) = measurements(objects)
        pod = item["spec"]
        arguments = pod["containers"][0]["args"]
        targets = dict(target.split("=", 1) for target in option(arguments, "target"))
        assert targets.pop("direct") == configuration(objects)["upstream"]["base_url"], values
        for name_of, url in targets.items():
            host, _, port = url.removeprefix("http://").removesuffix("/v1").partition(":")
            service, namespace, rest = host.split(".", 2)
            assert (namespace, rest) == ("holysheep-proxy", "svc"), url
            assert services[service]["ports"][0]["port"] == int(port or 80), url
            assert service.endswith("-node" if name_of == "node" else "-service"), url
        kinds = {item["kind"] for item in workloads(objects)}
        assert len(targets) == len(kinds), f"{values}: {targets}"
        files = [file.split("=", 1)[1] for file in option(arguments, "api-key-file")]
        files += option(arguments, "ca-file")
        assert {file for file in files if file} == set(mounted_files(pod)), f"{values}: {files}"
        labels = item["metadata"]["labels"]
        for policy in objects:
            if policy["kind"] == "NetworkPolicy":
                selector = policy["spec"]["podSelector"]["matchLabels"]
                assert not selects(selector, labels), f"{values}: the proxy's policy keeps the pod from the Services"
    without = load(template("4", "--set", "config.auth=clients,clients.existingSecret=c,holysheep.existingSecret=s"))
    assert not measurements(without), "there is no key to measure with"
    assert not measurements(load(template("4", "--set", "measure.enabled=false,holysheep.existingSecret=s")))


def the_program_accepts_what_measures():
    """It ends with 4 where nobody answers, and with 2 where it was asked wrongly."""
    directory = SCRATCH / "configuration"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "api-key").write_text("cr_0123456789\n")
    pods = [item["spec"] for _, objects in rendered() for item in measurements(objects)]
    (job,) = load((ROOT / "deploy/measure/job.yaml").read_text())
    pods.append(job["spec"]["template"]["spec"])
    for pod in pods:
        arguments = pod["containers"][0]["args"]
        # Nothing answers there, so nothing leaves this machine.
        arguments = [re.sub(r"^(--target=[^=]+)=.*", r"\1=http://127.0.0.1:9/v1", argument) for argument in arguments]
        arguments = [re.sub("/etc/holysheep/.*", str(directory / "api-key"), argument) for argument in arguments]
        arguments = [argument for argument in arguments if not argument.startswith("--ca-file")]
        code, output = measure([*arguments, "--warm-up=1", "--handshakes=0"])
        assert code == 4, f"exit code {code}: {output}"
        assert "cr_0123456789" not in output
    code, output = measure([*arguments, "--slo=p95"])
    assert code == 2, f"an objective without a limit is accepted: {output}"


def measure(arguments):
    done = subprocess.run([PROXY, *arguments], capture_output=True, text=True, timeout=60, env={})
    return done.returncode, done.stdout + done.stderr


def check(file, text, environment):
    file.write_text(text)
    command = [PROXY, "check", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    return done.returncode, done.stdout + done.stderr


CHECKS = [
    selectors_find_their_pods,
    services_and_probes_lead_to_ports_the_proxy_listens_on,
    metrics_are_scraped_once,
    probes_are_steered_where_the_kernel_does_it,
    the_nodes_addresses_come_where_the_version_has_them,
    pods_outlive_their_drain,
    an_update_takes_no_pod_away_first,
    the_node_local_service_keeps_to_the_node,
    port_443_is_open_only_where_something_listens,
    volumes_and_mounts_agree,
    only_what_the_proxy_does_not_read_again_replaces_pods,
    each_key_of_the_configuration_is_a_file_of_a_secret,
    sections_of_values_are_sections_of_the_file,
    the_webhook_is_there_where_it_has_a_receiver,
    traces_are_there_where_they_are_wanted,
    the_hpa_scales_a_deployment_that_has_no_fixed_size,
    the_program_accepts_every_configuration,
    services_are_measured_where_there_is_a_key_for_them,
    the_program_accepts_what_measures,
]
