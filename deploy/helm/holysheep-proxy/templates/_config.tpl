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
{{- if .Values.config.stateVolume -}}
{{- $_ := set $config "state_dir" "/var/lib/holysheep-proxy" -}}
{{- end -}}
{{- with .Values.upstreams -}}
{{- $_ := set $config "upstreams" (include "holysheep-proxy.upstreams" $ | fromJsonArray) -}}
{{- end -}}
{{- with .Values.models -}}
{{- $_ := set $config "models" (deepCopy .) -}}
{{- end -}}
{{- $limits := dict -}}
{{- $names := dict "requestsPerMinute" "requests_per_minute" "burstSize" "burst" "tokensPerMinute" "tokens_per_minute" "tokenBurst" "token_burst" "concurrentRequests" "concurrent" -}}
{{- range $value, $field := $names -}}
{{- with get $.Values.config.rateLimit $value -}}
{{- $_ := set $limits $field (int64 .) -}}
{{- end -}}
{{- end -}}
{{- range $value, $field := dict "usdPerDay" "usd_per_day" "usdPerMonth" "usd_per_month" -}}
{{- with get $.Values.config.rateLimit $value -}}
{{- $_ := set $limits $field (float64 .) -}}
{{- end -}}
{{- end -}}
{{- $limits = ternary (dict "per_client" $limits) (dict) (ne (len $limits) 0) -}}
{{- with .Values.config.rateLimit -}}
{{- if .redisAddress -}}
{{- $redis := dict "url" (printf "%s://%s" (ternary "rediss" "redis" .redisTls) .redisAddress) -}}
{{- /* Releases of one namespace may share a Redis, and must not share clients. */ -}}
{{- $_ := set $redis "prefix" (printf "%s/%s" $.Release.Namespace (include "holysheep-proxy.fullname" $)) -}}
{{- if .redisExistingSecret -}}
{{- $_ := set $redis "password_file" "/etc/holysheep/redis/password" -}}
{{- end -}}
{{- $_ := set $limits "redis" $redis -}}
{{- end -}}
{{- end -}}
{{- if $limits -}}
{{- $_ := set $config "limits" $limits -}}
{{- end -}}
{{- with .Values.prices -}}
{{- $_ := set $config "prices" (include "holysheep-proxy.prices" . | fromYaml) -}}
{{- end -}}
{{- with include "holysheep-proxy.webhook" . -}}
{{- $_ := set $config "webhook" (fromYaml .) -}}
{{- end -}}
{{- with include "holysheep-proxy.traces" . -}}
{{- $_ := set $config "traces" (fromYaml .) -}}
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
{{- $redis := get (default dict $config.limits) "redis" -}}
{{- $tcp := get $config.upstream "tcp" -}}
{{- $rest := omit $config "upstream" "upstreams" "models" "timeouts" "limits" "retries" "hedging" "ejection" "breaker" "timing_header" "models_cache" "usage" "prices" "responses" "routes" "log" "probes" -}}
{{- $log := omit (default dict $config.log) "level" "sample" "slow" -}}
{{- $probes := omit $config.probes "worker_limit" "upstream_limit" "accept_limit" -}}
{{- list $rest $tcp $redis $log $probes | toJson | sha256sum -}}
{{- end }}
