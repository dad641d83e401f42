"""What pods may do, per profile."""

from render import ROOT, VALUES, by_name, load, pods, template

KEY = ("--set", "holysheep.existingSecret=s")


def pod(kind, *arguments):
    objects = by_name(load(template("4", *KEY, "--set", f"kind={kind}", *arguments)))
    key = {"daemonset": "DaemonSet/holysheep-proxy-node", "deployment": "Deployment/holysheep-proxy"}[kind]
    return objects[key]["spec"]["template"]["spec"]


def everywhere():
    """Each pod of each set of values."""
    for values in VALUES:
        for key, _, spec in pods(load(template("4", "--values", values))):
            yield f"{values.stem}: {key}", spec


def no_pod_has_a_token_or_a_writable_root():
    for key, spec in everywhere():
        assert spec["automountServiceAccountToken"] is False, key
        assert spec["enableServiceLinks"] is False, key
        for container in spec["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, key
            assert container["resources"]["limits"].keys() >= {"cpu", "memory"}, key
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, key


def the_deployment_has_no_rights():
    spec = pod("deployment")
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 101,
        "runAsGroup": 101,
        "fsGroup": 101,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "hostNetwork" not in spec and "hostPID" not in spec
    assert {"name": "HOLYSHEEP_EBPF", "value": "off"} in container["env"]


def the_daemonset_is_privileged_by_default():
    spec = pod("daemonset")
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "runAsUser": 0,
        "runAsGroup": 0,
        "privileged": True,
    }
    assert "hostNetwork" not in spec and "hostPID" not in spec and "hostIPC" not in spec


def capabilities_are_two_and_belong_to_root():
    """Capabilities of another uid are listed by Kubernetes and not effective."""
    spec = pod("daemonset", "--set", "securityProfile=capabilities")
    assert spec["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "runAsUser": 0,
        "runAsGroup": 0,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["BPF", "NET_ADMIN"]},
    }


def sysctls_are_for_pods_with_a_network_of_their_own():
    setting = ["--set-string", r"sysctls.net\.ipv4\.tcp_slow_start_after_idle=0"]
    expected = [{"name": "net.ipv4.tcp_slow_start_after_idle", "value": "0"}]
    assert pod("deployment", *setting)["securityContext"]["sysctls"] == expected
    assert pod("daemonset", *setting)["securityContext"] == {"sysctls": expected}
    on_host = ["--set", "kind=both,daemonset.hostNetwork=true,config.auth=passthrough"]
    assert "securityContext" not in pod("daemonset", *setting, *on_host)
    assert pod("deployment", *setting, *on_host)["securityContext"]["sysctls"] == expected


def nothing_of_the_node_is_mounted():
    for key, spec in everywhere():
        for volume in spec["volumes"]:
            assert "hostPath" not in volume, f"{key}: {volume}"


def secrets_are_files_for_one_group_and_never_in_the_environment():
    for key, spec in everywhere():
        for volume in spec["volumes"]:
            if "secret" in volume:
                assert volume["secret"]["defaultMode"] == 0o440, key
            if any("secret" in source for source in volume.get("projected", {}).get("sources", [])):
                assert volume["projected"]["defaultMode"] == 0o440, key
        for container in spec["containers"]:
            for variable in container.get("env", []):
                assert "secretKeyRef" not in variable.get("valueFrom", {}), key
                assert "cr_" not in str(variable.get("value", "")), key


def open_access_comes_with_a_policy():
    """The default is open to the namespaces that were chosen, not to all."""
    objects = by_name(load(template("4", *KEY)))
    assert "auth: open" in objects["ConfigMap/holysheep-proxy-config"]["data"]["config.yaml"]
    policy = objects["NetworkPolicy/holysheep-proxy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    for rule in policy["ingress"]:
        assert rule["from"], "a rule without sources lets everybody in"
        for source in rule["from"]:
            assert source.get("namespaceSelector") != {}, "all namespaces"
    ports = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert ports == {53, 443}, ports


def a_service_as_upstream_is_reached_whatever_port_its_pods_have():
    def rules(url):
        objects = by_name(load(template("4", *KEY, "--set", f"holysheep.apiBaseUrl={url}")))
        return objects["NetworkPolicy/holysheep-proxy"]["spec"]["egress"]

    inside = {"to": [{"namespaceSelector": {}}]}
    assert inside in rules("https://relay.ai.svc.cluster.local/v1")
    assert inside not in rules("https://api.holysheep.ai/v1")
    assert {"ports": [{"port": 8443, "protocol": "TCP"}]} in rules("https://relay.example.com:8443/v1")


def every_upstream_and_the_webhooks_receiver_is_let_out_to_and_no_port_besides():
    (values,) = [values for values in VALUES if values.stem == "upstreams"]
    rules = by_name(load(template("4", "--values", values)))["NetworkPolicy/holysheep-proxy"]["spec"]["egress"]
    ports = [port for rule in rules for port in rule.get("ports", []) if port["protocol"] == "TCP"]
    assert sorted(port["port"] for port in ports) == [53, 80, 443, 5353, 8443], ports
    assert {"to": [{"namespaceSelector": {}}]} in rules, "the relay is a Service"


def a_check_before_the_start_has_no_rights_and_reads_the_same_files():
    for kind in ("deployment", "daemonset"):
        assert "initContainers" not in pod(kind), "only where it is asked for"
        spec = pod(kind, "--set", "initCheck.enabled=true")
        (check,), (proxy,) = spec["initContainers"], spec["containers"]
        assert check["args"][:3] == ["check", *proxy["args"][1:]]
        assert (check["image"], check["volumeMounts"]) == (proxy["image"], proxy["volumeMounts"])
        context = check["securityContext"]
        assert "privileged" not in context
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert check["resources"]["limits"].keys() >= {"cpu", "memory"}


def the_job_that_measures_has_no_rights():
    (job,) = load((ROOT / "deploy/measure/job.yaml").read_text())
    spec, deployment = job["spec"]["template"]["spec"], pod("deployment")
    assert spec["securityContext"] == deployment["securityContext"]
    (container,), (proxy,) = spec["containers"], deployment["containers"]
    assert container["securityContext"] == proxy["securityContext"]
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
    (volume,) = spec["volumes"]
    assert volume["secret"]["defaultMode"] == 0o440


CHECKS = [
    a_check_before_the_start_has_no_rights_and_reads_the_same_files,
    no_pod_has_a_token_or_a_writable_root,
    the_deployment_has_no_rights,
    the_daemonset_is_privileged_by_default,
    capabilities_are_two_and_belong_to_root,
    sysctls_are_for_pods_with_a_network_of_their_own,
    nothing_of_the_node_is_mounted,
    secrets_are_files_for_one_group_and_never_in_the_environment,
    open_access_comes_with_a_policy,
    a_service_as_upstream_is_reached_whatever_port_its_pods_have,
    every_upstream_and_the_webhooks_receiver_is_let_out_to_and_no_port_besides,
    the_job_that_measures_has_no_rights,
]
