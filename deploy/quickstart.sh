#!/usr/bin/env bash
# Installs holysheep-proxy on the current cluster and sends a request through it. Running it again changes nothing that
# is as it should be. `--dry-run` shows every command and runs none.
set -euo pipefail

namespace=holysheep-proxy
release=holysheep-proxy
secret=holysheep-api-secret
# As the chart or the values say.
kind=
image=
values=
dry_run=false
chart="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/helm/holysheep-proxy"
port=18080

usage() {
    cat <<'END'
Usage: quickstart.sh [OPTIONS]

Installs the chart on the cluster that kubectl speaks to: namespace, Secret, release; then sends a request.
The API key comes from HOLYSHEEP_API_KEY. Without it an existing Secret is used as it is.

  --namespace NAME      default: holysheep-proxy
  --release NAME        default: holysheep-proxy
  --kind KIND           daemonset, deployment or both; default: what the values say, else both
  --image REPOSITORY:TAG  where your cluster finds the image; default: what the chart says
  --values FILE         more values
  --chart DIRECTORY     default: the chart beside this script
  --port PORT           local port for the request at the end; default: 18080
  --dry-run             show the commands, run none
END
}

fail() {
    printf 'quickstart: %s\n' "$1" >&2
    exit "${2:-1}"
}

while [[ $# -gt 0 ]]; do
    option=$1
    shift
    case "${option}" in
        --dry-run)
            dry_run=true
            continue
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        --namespace | --release | --kind | --image | --values | --chart | --port) ;;
        *) fail "unknown option ${option}; see --help" 2 ;;
    esac
    [[ $# -gt 0 && -n "$1" ]] || fail "${option} needs a value; see --help" 2
    case "${option}" in
        --namespace) namespace=$1 ;;
        --release) release=$1 ;;
        --kind) kind=$1 ;;
        --image) image=$1 ;;
        --values) values=$1 ;;
        --chart) chart=$1 ;;
        *) port=$1 ;;
    esac
    shift
done

case "${kind}" in
    '' | daemonset | deployment | both) ;;
    *) fail "--kind is ${kind}; expected daemonset, deployment or both" 2 ;;
esac

step() {
    printf '\n== %s\n' "$1"
}

# Shows a command, and runs it unless this is a dry run.
run() {
    printf '$'
    printf ' %q' "$@"
    printf '\n'
    [[ "${dry_run}" == true ]] || "$@"
}

needs() {
    [[ "${dry_run}" == true ]] || command -v "$1" >/dev/null || fail "$1 is not installed; $2"
}

make_namespace() {
    step "Namespace ${namespace}"
    if [[ "${dry_run}" == false ]] && kubectl get namespace "${namespace}" >/dev/null 2>&1; then
        printf 'is there\n'
        return
    fi
    run kubectl create namespace "${namespace}"
    # Only where we made it: what others may run in their namespaces is not for us to say.
    if [[ "${kind}" != deployment ]]; then
        run kubectl label namespace "${namespace}" pod-security.kubernetes.io/enforce=privileged
    fi
}

# The key goes through a pipe: arguments are for everyone on this machine to read.
make_secret() {
    step "Secret ${secret}"
    if [[ "${dry_run}" == true ]]; then
        printf '%s\n' "$ kubectl --namespace ${namespace} create secret generic ${secret} --from-file=api-key=/dev/stdin \\" \
            "    --dry-run=client --output yaml | kubectl apply --filename -     (the key: HOLYSHEEP_API_KEY)"
    elif [[ -n "${HOLYSHEEP_API_KEY:-}" ]]; then
        printf '%s' "${HOLYSHEEP_API_KEY}" \
            | kubectl --namespace "${namespace}" create secret generic "${secret}" --from-file=api-key=/dev/stdin \
                --dry-run=client --output yaml \
            | kubectl apply --filename -
    elif kubectl --namespace "${namespace}" get secret "${secret}" >/dev/null 2>&1; then
        printf 'is there, and stays as it is (HOLYSHEEP_API_KEY is not set)\n'
    else
        fail "there is no API key: export HOLYSHEEP_API_KEY=cr_… and run this again"
    fi
}

install() {
    step "Release ${release}"
    local options=(--set "holysheep.existingSecret=${secret}")
    if [[ -n "${kind}" ]]; then
        options+=(--set "kind=${kind}")
    fi
    if [[ -n "${image}" ]]; then
        # A colon before the last slash is a port, not a tag.
        [[ "${image##*/}" == *:* ]] || fail "--image is ${image}; expected REPOSITORY:TAG" 2
        options+=(--set-string "image.repository=${image%:*},image.tag=${image##*:}")
    fi
    if [[ -n "${values}" ]]; then
        options+=(--values "${values}")
    fi
    run helm upgrade --install "${release}" "${chart}" --namespace "${namespace}" "${options[@]}" --wait --timeout 5m
}

# The list of models: goes all the way to HolySheep with the key, and costs nothing.
verify() {
    step "A request"
    if [[ "${dry_run}" == true ]]; then
        printf '%s\n' "$ kubectl --namespace ${namespace} port-forward service/… ${port}:80 &" \
            "$ curl --fail http://127.0.0.1:${port}/v1/models"
        return
    fi
    local name forward answer
    name=$(kubectl --namespace "${namespace}" get service --output name \
        --selector "app.kubernetes.io/instance=${release},app.kubernetes.io/component in (deployment,daemonset)" \
        | grep -- '-service$') || fail "the release has no Service; kubectl --namespace ${namespace} get service"
    kubectl --namespace "${namespace}" port-forward "${name}" "${port}:http" >/dev/null &
    forward=$!
    # shellcheck disable=SC2064 # The number is known now.
    trap "kill ${forward} 2>/dev/null || true" EXIT
    answer=$(curl --silent --show-error --fail-with-body --max-time 30 --retry 10 --retry-connrefused --retry-delay 1 \
        "http://127.0.0.1:${port}/v1/models") || fail "the request failed: ${answer}
See docs/operations.md, and ask the way step by step: helm --namespace ${namespace} test ${release} --logs"
    printf 'GET /v1/models: %s…\n' "${answer:0:120}"
}

look() {
    step "Where to look"
    cat <<END
kubectl --namespace ${namespace} get pods,hpa
kubectl --namespace ${namespace} logs -l app=holysheep-proxy --tail=100
helm --namespace ${namespace} status ${release}          addresses for applications, and who may use them
docs/operations.md                                       alerts, errors, upgrades
END
}

needs kubectl "see the documentation of Kubernetes"
needs helm "see the documentation of Helm; 3.12 or newer"
needs curl "it sends the request at the end"
make_namespace
make_secret
install
verify
look
