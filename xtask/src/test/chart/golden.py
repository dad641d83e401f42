"""What is rendered is what was rendered before, by both versions of Helm."""

from render import CHART, GOLDEN, HELM, KUBERNETES, NEWEST, VALUES, by_name, helm, load, matrix, template


def all_values_render_and_match_their_golden_file():
    seen = 0
    for values, version, kubernetes, text in matrix():
        objects = by_name(load(text))
        assert len(objects) >= 5, f"{values}: only {len(objects)} objects"
        if kubernetes != NEWEST:
            continue
        expected = by_name(load((GOLDEN / f"{values}.yaml").read_text()))
        assert objects.keys() == expected.keys(), f"{values}, helm {version}: {objects.keys() ^ expected.keys()}"
        for key, item in objects.items():
            assert item == expected[key], f"{values}, helm {version}: {key} differs; `cargo xtask manifests` writes it anew"
        seen += 1
    assert seen == len(VALUES) * len(HELM)


def every_golden_file_has_its_values():
    assert {file.name for file in GOLDEN.iterdir()} == {file.name for file in VALUES}


def the_articles_command_installs_what_the_article_has():
    """Its file, its command line, and what its other commands, rules and manifests ask for by name."""
    values = next(file for file in VALUES if file.stem == "article")
    for version in HELM:
        for kubernetes in KUBERNETES:
            text = template(
                version, "--values", values, "--set", "holysheep.apiKeySecret=cr_article", kubernetes=kubernetes
            )
            objects = by_name(load(text))
            for key in (
                "Deployment/holysheep-proxy",
                "HorizontalPodAutoscaler/holysheep-proxy-hpa",
                "Service/holysheep-proxy-service",
                "Ingress/holysheep-proxy-ingress",
                "DaemonSet/holysheep-proxy-node",
                "NetworkPolicy/holysheep-proxy",
            ):
                assert key in objects, f"no {key}"
            pod = objects["Deployment/holysheep-proxy"]["spec"]["template"]
            assert pod["metadata"]["labels"]["app"] == "holysheep-proxy", "kubectl logs -l app=holysheep-proxy"
            assert pod["spec"]["nodeSelector"] == {"node-type": "worker"}
            assert pod["spec"]["containers"][0]["image"] == "your-registry/holysheep-proxy:v1.0"
            secret = objects["Secret/holysheep-proxy-api-key"]["stringData"]
            assert secret == {"api-key": "cr_article"}
            mounted = [volume for volume in pod["spec"]["volumes"] if volume["name"] == "key"]
            assert mounted[0]["secret"]["secretName"] == "holysheep-proxy-api-key"
            hpa = objects["HorizontalPodAutoscaler/holysheep-proxy-hpa"]["spec"]
            assert (hpa["minReplicas"], hpa["maxReplicas"]) == (2, 10)
            targets = {m["resource"]["name"]: m["resource"]["target"]["averageUtilization"] for m in hpa["metrics"]}
            assert targets == {"cpu": 70, "memory": 80}
            assert hpa["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
            ingress = objects["Ingress/holysheep-proxy-ingress"]
            assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt-prod"
            assert ingress["spec"]["ingressClassName"] == "nginx"


def the_articles_file_alone_uses_its_secret():
    values = next(file for file in VALUES if file.stem == "article")
    objects = by_name(load(template("4", "--values", values, "--set", "holysheep.apiKeySecret=")))
    assert not [key for key in objects if key.startswith("Secret/")]
    volumes = objects["Deployment/holysheep-proxy"]["spec"]["template"]["spec"]["volumes"]
    secret = next(volume for volume in volumes if volume["name"] == "key")["secret"]
    assert secret["secretName"] == "holysheep-api-secret"
    assert secret["items"] == [{"key": "api-key", "path": "api-key"}]


def the_notes_say_what_to_do_next():
    def notes(*settings):
        arguments = [part for setting in settings for part in ("--set", setting)]
        code, out, err = helm("4", "install", "holysheep-proxy", CHART, "--namespace", "ai", "--dry-run=client", *arguments)
        assert code == 0, err
        return out.partition("NOTES:")[2]

    usual = notes("holysheep.existingSecret=s")
    for part in (
        "helm -n ai test holysheep-proxy --logs",
        "OPENAI_BASE_URL=http://holysheep-proxy-node.ai/v1",
        "kubectl label namespace NAMESPACE holysheep-proxy/client=true",
        "config.auth is open",
        "--set config.auth=passthrough",
        "securityProfile=capabilities",
    ):
        assert part in usual, f"no {part!r} in {usual}"
    assert "WARNING" not in usual and "LIMITS" not in usual
    limited = ("holysheep.existingSecret=s", "config.rateLimit.requestsPerMinute=60")
    assert "each pod counts for itself" in notes(*limited)
    assert "LIMITS" not in notes(*limited, "config.rateLimit.redisAddress=redis.cache:6379")
    assert "WARNING: without a NetworkPolicy" in notes("holysheep.existingSecret=s", "networkPolicy.enabled=false")
    given = notes("holysheep.existingSecret=mine", "holysheep.apiKeySecret=cr_secret")
    assert "mine (holysheep.existingSecret) is not used" in given and "cr_secret" not in given
    assert "config.auth is open" not in notes("config.auth=passthrough", "kind=deployment")


CHECKS = [
    all_values_render_and_match_their_golden_file,
    every_golden_file_has_its_values,
    the_articles_command_installs_what_the_article_has,
    the_articles_file_alone_uses_its_secret,
    the_notes_say_what_to_do_next,
]
