{{/* The proxy's configuration file: what follows from values, and config.file laid over it. What differs between the two kinds,
and what the image has variables for, comes by environment variables (_pod.tpl), which go before the file. */}}

{{- define "holysheep-proxy.config" -}}
{{- $address := .Values.config.bindAddress -}}
{{- $ports := .Values.containerPorts -}}
{{- $upstream := dict "base_url" .Values.holysheep.apiBaseUrl -}}
{{- if include "holysheep-proxy.key-secret" . -}}
{{- $_ := set $upstream "api_key_file" "/etc/holysheep/key/api-key" -}}
{{- end -}}
{{- if .Values.holysheep.apiKeys -}}
{{- $keys := dict "name" (include "holysheep-proxy.first-upstream" .) "keys" .Values.holysheep.apiKeys -}}
{{- $_ := set $upstream "api_keys" (include "holysheep-proxy.api-keys" $keys | fromJsonArray) -}}
{{- end -}}
{{- if .Values.holysheep.caConfigMap -}}
{{- $_ := set $upstream "ca_file" "/etc/holysheep/ca/ca.crt" -}}
{{- end -}}
{{- $config := dict
  "auth" .Values.config.auth
  "upstream" $upstream
  "timeouts" (dict
    "drain_delay" (printf "%vs" .Values.config.drainDelaySeconds)
    "drain" (printf "%vs" .Values.config.drainTimeoutSeconds))
  "probes" (dict "listen" (printf "%s:%v" $address $ports.probe))
-}}
{{- if .Values.tls.enabled -}}
{{- $tls := dict "listen" (printf "%s:%v" $address $ports.https) "certificate" "/etc/holysheep/tls/tls.crt" "key" "/etc/holysheep/tls/tls.key" -}}
{{- $_ := set $config "tls" $tls -}}
{{- end -}}
{{- if eq .Values.config.auth "clients" -}}
{{- $_ := set $config "clients" (dict "file" "/etc/holysheep/clients/clients.yaml") -}}
{{- end -}}
{{- with .Values.upstreams -}}
{{- $_ := set $config "upstreams" (include "holysheep-proxy.upstreams" $ | fromJsonArray) -}}
{{- end -}}
{{- with .Values.models -}}
{{- $_ := set $config "models" (deepCopy .) -}}
{{- end -}}
{{- range $name := list "retries" "hedging" "ejection" "breaker" "dns" -}}
{{- with get $.Values $name -}}
{{- $_ := set $config $name (include "holysheep-proxy.section" . | fromYaml) -}}
{{- end -}}
{{- end -}}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.config.file)) -}}
{{- end }}

{{/* What changes with whatever a running proxy does not read again by itself (docs/configuration.md): what is left out here it does. */}}
{{- define "holysheep-proxy.restart-checksum" -}}
{{- $config := include "holysheep-proxy.config" . | fromYaml -}}
{{- $rest := omit $config "timeouts" "limits" "retries" "hedging" "ejection" "breaker" "timing_header" "models_cache" "usage" "responses" "routes" "log" "probes" -}}
{{- $log := omit (default dict $config.log) "level" -}}
{{- $probes := omit $config.probes "worker_limit" "upstream_limit" "accept_limit" -}}
{{- list $rest $log $probes | toJson | sha256sum -}}
{{- end }}
