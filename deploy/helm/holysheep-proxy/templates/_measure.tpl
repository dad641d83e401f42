{{/* `helm test`, second part: where the keys come from that `holysheep-proxy measure` sends. */}}

{{/* Whether there is a key for the proxy: none is needed with open, and another than upstream's with clients and passthrough. */}}
{{- define "holysheep-proxy.is-measured" -}}
{{- if and .Values.measure.enabled (or (eq .Values.config.auth "open") .Values.measure.existingSecret) }}true{{ end -}}
{{- end }}

{{/* The Secret and the key in it for upstream itself: what the proxy sends, or with passthrough the client's own. */}}
{{- define "holysheep-proxy.measure-direct" -}}
{{- $secret := dict "name" (include "holysheep-proxy.key-secret" .) "key" (ternary "api-key" .Values.holysheep.secretKey (ne .Values.holysheep.apiKeySecret "")) -}}
{{- with .Values.holysheep.apiKeys -}}
{{- $secret = dict "name" (first .).existingSecret "key" (default "api-key" (first .).secretKey) -}}
{{- end -}}
{{- if eq .Values.config.auth "passthrough" -}}
{{- $secret = dict "name" .Values.measure.existingSecret "key" .Values.measure.secretKey -}}
{{- end -}}
{{- toJson $secret -}}
{{- end }}

{{/* Sources of the volume with both. */}}
{{- define "holysheep-proxy.measure-keys" -}}
{{- $direct := include "holysheep-proxy.measure-direct" . | fromJson -}}
- secret:
    name: {{ $direct.name }}
    items:
      - {key: {{ $direct.key }}, path: direct}
{{- if ne .Values.config.auth "open" }}
- secret:
    name: {{ .Values.measure.existingSecret }}
    items:
      - {key: {{ .Values.measure.secretKey }}, path: proxy}
{{- end }}
{{- end }}

{{/* URL of a Service of the release (dict: root, service); a short name, because not every cluster is called cluster.local. */}}
{{- define "holysheep-proxy.measure-url" -}}
{{- $values := .root.Values -}}
{{- $port := ternary "" (printf ":%v" $values.service.port) (eq (int $values.service.port) 80) -}}
http://{{ include "holysheep-proxy.fullname" .root }}-{{ .service }}.{{ .root.Release.Namespace }}.svc{{ $port }}/v1
{{- end }}
