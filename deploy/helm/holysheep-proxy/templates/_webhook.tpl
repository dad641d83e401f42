{{/* The payment webhook: its section of the configuration, and the files it needs, below /etc/holysheep/webhook. */}}

{{- define "holysheep-proxy.webhook" -}}
{{- if .Values.webhook.forwardTo -}}
{{- $plain := omit .Values.webhook "existingSecret" "secretKey" "caConfigMap" "caKey" -}}
{{- $webhook := include "holysheep-proxy.section" $plain | fromYaml -}}
{{- $_ := set $webhook "secret_file" "/etc/holysheep/webhook/webhook-secret" -}}
{{- if .Values.webhook.caConfigMap -}}
{{- $_ := set $webhook "ca_file" "/etc/holysheep/webhook/ca.crt" -}}
{{- end -}}
{{- toYaml $webhook -}}
{{- end -}}
{{- end }}

{{/* The Secret deliveries are signed with: the article has it in the one of the API key. */}}
{{- define "holysheep-proxy.webhook-secret" -}}
{{- default .Values.holysheep.existingSecret .Values.webhook.existingSecret -}}
{{- end }}

{{/* Where the files come from: sources of a projected volume. */}}
{{- define "holysheep-proxy.webhook-sources" -}}
{{- with .Values.webhook -}}
{{- if .forwardTo -}}
{{- $item := dict "key" .secretKey "path" "webhook-secret" -}}
{{- $sources := list (dict "secret" (dict "name" (include "holysheep-proxy.webhook-secret" $) "items" (list $item))) -}}
{{- if .caConfigMap -}}
{{- $item := dict "key" .caKey "path" "ca.crt" -}}
{{- $sources = append $sources (dict "configMap" (dict "name" .caConfigMap "items" (list $item))) -}}
{{- end -}}
{{- toYaml $sources -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What no schema can say of it. */}}
{{- define "holysheep-proxy.refuse-webhook" -}}
{{- if and .Values.webhook.forwardTo (not (include "holysheep-proxy.webhook-secret" .)) }}
{{- fail "webhook.existingSecret: name the Secret with what deliveries are signed with, in its key webhook.secretKey" }}
{{- end }}
{{- end }}
