{{/* Traces: their section of the configuration, and the files it needs, below /etc/holysheep/traces. The endpoint may come from
OpenTelemetry's variables (extraEnv) instead, so the rest is written without one, too. */}}

{{- define "holysheep-proxy.traces" -}}
{{- with .Values.traces -}}
{{- $plain := omit . "existingSecret" "secretKey" "caConfigMap" "caKey" -}}
{{- if not .endpoint -}}
{{- $plain = omit $plain "endpoint" -}}
{{- end -}}
{{- $traces := include "holysheep-proxy.section" $plain | fromYaml -}}
{{- if .existingSecret -}}
{{- $_ := set $traces "headers_file" "/etc/holysheep/traces/headers" -}}
{{- end -}}
{{- if .caConfigMap -}}
{{- $_ := set $traces "ca_file" "/etc/holysheep/traces/ca.crt" -}}
{{- end -}}
{{- if $traces }}{{ toYaml $traces }}{{ end -}}
{{- end -}}
{{- end }}

{{/* Where the files come from: sources of a projected volume. */}}
{{- define "holysheep-proxy.traces-sources" -}}
{{- $sources := list -}}
{{- with .Values.traces -}}
{{- if .existingSecret -}}
{{- $item := dict "key" .secretKey "path" "headers" -}}
{{- $sources = append $sources (dict "secret" (dict "name" .existingSecret "items" (list $item))) -}}
{{- end -}}
{{- if .caConfigMap -}}
{{- $item := dict "key" .caKey "path" "ca.crt" -}}
{{- $sources = append $sources (dict "configMap" (dict "name" .caConfigMap "items" (list $item))) -}}
{{- end -}}
{{- end -}}
{{- if $sources }}{{ toYaml $sources }}{{ end -}}
{{- end }}
