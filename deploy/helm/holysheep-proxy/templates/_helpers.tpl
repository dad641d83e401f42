{{/* Names, labels and everything that follows from more than one value. */}}

{{- define "holysheep-proxy.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{/* 50 characters, so that the longest suffix still fits into a label. */}}
{{- define "holysheep-proxy.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "holysheep-proxy.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "holysheep-proxy.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "holysheep-proxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{/* Labels of all pods. `app` is what the article's commands and rules of affinity ask for. */}}
{{- define "holysheep-proxy.selector" -}}
app: {{ include "holysheep-proxy.name" . }}
app.kubernetes.io/name: {{ include "holysheep-proxy.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "holysheep-proxy.has-daemonset" -}}
{{- if ne .Values.kind "deployment" }}true{{ end -}}
{{- end }}

{{- define "holysheep-proxy.has-deployment" -}}
{{- if ne .Values.kind "daemonset" }}true{{ end -}}
{{- end }}

{{/* A tag of digits is a number in YAML, and a large one would be printed with an exponent. */}}
{{- define "holysheep-proxy.image" -}}
{{- $tag := .Values.image.tag -}}
{{- if kindIs "float64" $tag }}{{ $tag = int64 $tag }}{{ end -}}
{{- $tag = $tag | toString | default .Chart.AppVersion -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository $tag -}}
{{- end -}}
{{- end }}

{{- define "holysheep-proxy.service-account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "holysheep-proxy.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* The Secret with the upstream key; empty if there is none, as with auth: passthrough. */}}
{{- define "holysheep-proxy.key-secret" -}}
{{- if .Values.holysheep.apiKeySecret -}}
{{- printf "%s-api-key" (include "holysheep-proxy.fullname" .) -}}
{{- else -}}
{{- .Values.holysheep.existingSecret -}}
{{- end -}}
{{- end }}

{{- define "holysheep-proxy.tls-secret" -}}
{{- default (printf "%s-server-tls" (include "holysheep-proxy.fullname" .)) .Values.tls.secretName -}}
{{- end }}

{{/* Ports of the name servers in dns.servers that are not the usual one. */}}
{{- define "holysheep-proxy.dns-ports" -}}
{{- $ports := list -}}
{{- range (default dict (include "holysheep-proxy.config" . | fromYaml).dns).servers -}}
{{- $port := regexFind "[0-9]+$" (regexFind "^([0-9.]+|.*\\]):[0-9]+$" .) -}}
{{- if and $port (ne $port "53") -}}
{{- $ports = append $ports (int $port) -}}
{{- end -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end }}

{{/* The grace period: the drain's two parts, and some seconds to end. */}}
{{- define "holysheep-proxy.grace" -}}
{{- add .Values.config.drainDelaySeconds .Values.config.drainTimeoutSeconds 10 -}}
{{- end }}

{{/* What no schema can say. Included once, by the ConfigMap. */}}
{{- define "holysheep-proxy.refuse" -}}
{{- if .Values.persistence.enabled }}
{{- fail "persistence.enabled: the proxy keeps no state, so there is nothing to persist; set it to false" }}
{{- end }}
{{- if and (ne .Values.config.auth "passthrough") (not (include "holysheep-proxy.key-secret" .)) (not .Values.holysheep.apiKeys) }}
{{- fail (printf "holysheep.existingSecret: with config.auth=%s the proxy sends its own key upstream; name the Secret that has it (or set holysheep.apiKeys for several, or holysheep.apiKeySecret to the key itself)" .Values.config.auth) }}
{{- end }}
{{- if and (eq .Values.config.auth "clients") (not .Values.clients.existingSecret) }}
{{- fail "clients.existingSecret: with config.auth=clients the proxy reads who may use it from a Secret; name the one with the file that `holysheep-proxy client add` writes" }}
{{- end }}
{{- if and (ne .Values.config.auth "clients") .Values.clients.existingSecret }}
{{- fail (printf "clients.existingSecret: not used with config.auth=%s, so it keeps nobody out; set config.auth=clients with it" .Values.config.auth) }}
{{- end }}
{{- include "holysheep-proxy.refuse-upstreams" . }}
{{- include "holysheep-proxy.refuse-webhook" . }}
{{- if and (include "holysheep-proxy.has-daemonset" .) .Values.daemonset.hostNetwork (eq .Values.config.auth "open") (not .Values.daemonset.acceptOpenHostNetwork) }}
{{- fail "daemonset.hostNetwork: NetworkPolicies do not apply to the node's network, so with config.auth=open everyone who reaches the node spends your key; set config.auth=clients or config.auth=passthrough, or daemonset.acceptOpenHostNetwork=true if a firewall is in front" }}
{{- end }}
{{- if and .Values.sysctls .Values.daemonset.hostNetwork (eq .Values.kind "daemonset") }}
{{- fail "sysctls: Kubernetes allows none on the host's network (daemonset.hostNetwork); windows are kept by BBR there, if the nodes have it" }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.host) }}
{{- fail "ingress.host: needed with ingress.enabled" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.parentRefs: needed with httpRoute.enabled; for example [{name: my-gateway, namespace: gateways}]" }}
{{- end }}
{{- range $key, $value := dict "listen" "config.bindAddress and containerPorts" "admin_listen" "config.bindAddress and containerPorts" "tls" "tls" "auth" "config.auth" "clients" "clients" "upstreams" "upstreams" "webhook" "webhook" }}
{{- if hasKey $.Values.config.file $key }}
{{- fail (printf "config.file.%s: set by the chart; use %s" $key $value) }}
{{- end }}
{{- end }}
{{- range $path, $value := dict "upstream.base_url" "holysheep.apiBaseUrl" "upstream.api_key_file" "holysheep.existingSecret" "upstream.api_keys" "holysheep.apiKeys" "upstream.ca_file" "holysheep.caConfigMap" "timeouts.drain" "config.drainTimeoutSeconds" "timeouts.drain_delay" "config.drainDelaySeconds" "probes.listen" "config.bindAddress and containerPorts" }}
{{- $keys := splitList "." $path }}
{{- if hasKey (default dict (get $.Values.config.file (first $keys))) (last $keys) }}
{{- fail (printf "config.file.%s: set by the chart; use %s" $path $value) }}
{{- end }}
{{- end }}
{{- with .Values.autoscaling }}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas: %d is more than autoscaling.maxReplicas (%d)" (int .minReplicas) (int .maxReplicas)) }}
{{- end }}
{{- if and .keda.enabled .inFlight.enabled (not .keda.prometheusAddress) }}
{{- fail "autoscaling.keda.prometheusAddress: needed with autoscaling.inFlight.enabled, for example http://prometheus-operated.monitoring:9090" }}
{{- end }}
{{- end }}
{{- end }}
