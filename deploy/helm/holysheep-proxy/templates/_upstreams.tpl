{{/* Several upstreams and several keys: what of them is in the configuration, and which Secrets and ConfigMaps it needs. Keys are files below
/etc/holysheep/keys, in a directory for each upstream; certificates likewise below /etc/holysheep/cas. */}}

{{/* A section of values as one of the configuration. A number of many digits would be printed with an exponent. */}}
{{- define "holysheep-proxy.section" -}}
{{- $section := dict -}}
{{- range $key, $value := . -}}
{{- if and (kindIs "float64" $value) (eq (toString $value) (toString (int64 $value))) }}{{ $value = int64 $value }}{{ end -}}
{{- $_ := set $section (snakecase $key) $value -}}
{{- end -}}
{{- toYaml $section -}}
{{- end }}

{{- define "holysheep-proxy.first-upstream" -}}
{{- default "holysheep" (default dict .Values.config.file.upstream).name -}}
{{- end }}

{{/* `api_keys` of the first upstream, or of another (dict: name, keys). */}}
{{- define "holysheep-proxy.api-keys" -}}
{{- $keys := list -}}
{{- range .keys -}}
{{- $keys = append $keys (dict "name" .name "file" (printf "/etc/holysheep/keys/%s/%s" $.name .name)) -}}
{{- end -}}
{{- toJson $keys -}}
{{- end }}

{{/* `upstreams` of the configuration. */}}
{{- define "holysheep-proxy.upstreams" -}}
{{- $upstreams := list -}}
{{- range .Values.upstreams -}}
{{- $plain := omit . "existingSecret" "secretKey" "apiKeys" "caConfigMap" "caKey" -}}
{{- $upstream := include "holysheep-proxy.section" $plain | fromYaml -}}
{{- if .apiKeys -}}
{{- $_ := set $upstream "api_keys" (include "holysheep-proxy.api-keys" (dict "name" .name "keys" .apiKeys) | fromJsonArray) -}}
{{- else -}}
{{- $_ := set $upstream "api_key_file" (printf "/etc/holysheep/keys/%s/api-key" .name) -}}
{{- end -}}
{{- if .caConfigMap -}}
{{- $_ := set $upstream "ca_file" (printf "/etc/holysheep/cas/%s/ca.crt" .name) -}}
{{- end -}}
{{- $upstreams = append $upstreams $upstream -}}
{{- end -}}
{{- toJson $upstreams -}}
{{- end }}

{{/* Where the keys come from: sources of a projected volume. */}}
{{- define "holysheep-proxy.key-sources" -}}
{{- $sources := list -}}
{{- $first := dict "name" (include "holysheep-proxy.first-upstream" .) "apiKeys" .Values.holysheep.apiKeys -}}
{{- range prepend .Values.upstreams $first -}}
{{- $upstream := . -}}
{{- range .apiKeys -}}
{{- $item := dict "key" (default "api-key" .secretKey) "path" (printf "%s/%s" $upstream.name .name) -}}
{{- $sources = append $sources (dict "secret" (dict "name" .existingSecret "items" (list $item))) -}}
{{- end -}}
{{- if .existingSecret -}}
{{- $item := dict "key" (default "api-key" .secretKey) "path" (printf "%s/api-key" .name) -}}
{{- $sources = append $sources (dict "secret" (dict "name" .existingSecret "items" (list $item))) -}}
{{- end -}}
{{- end -}}
{{- if $sources }}{{ toYaml $sources }}{{ end -}}
{{- end }}

{{/* The same for certificates. */}}
{{- define "holysheep-proxy.ca-sources" -}}
{{- $sources := list -}}
{{- range .Values.upstreams -}}
{{- if .caConfigMap -}}
{{- $item := dict "key" (default "ca.crt" .caKey) "path" (printf "%s/ca.crt" .name) -}}
{{- $sources = append $sources (dict "configMap" (dict "name" .caConfigMap "items" (list $item))) -}}
{{- end -}}
{{- end -}}
{{- if $sources }}{{ toYaml $sources }}{{ end -}}
{{- end }}

{{/* Everything the proxy connects to: upstreams, and where the webhook's deliveries go. */}}
{{- define "holysheep-proxy.urls" -}}
{{- $urls := list .Values.holysheep.apiBaseUrl -}}
{{- range .Values.upstreams -}}
{{- $urls = append $urls .baseUrl -}}
{{- end -}}
{{- with .Values.webhook.forwardTo -}}
{{- $urls = append $urls . -}}
{{- end -}}
{{- toJson $urls -}}
{{- end }}

{{/* Their ports, for the NetworkPolicy. */}}
{{- define "holysheep-proxy.upstream-ports" -}}
{{- $ports := list -}}
{{- range include "holysheep-proxy.urls" . | fromJsonArray -}}
{{- $url := urlParse . -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $ports = append $ports (int (default (ternary "80" "443" (eq $url.scheme "http")) $port)) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end }}

{{/* Whether one of them is a Service of a cluster. */}}
{{- define "holysheep-proxy.has-service-upstream" -}}
{{- range include "holysheep-proxy.urls" . | fromJsonArray -}}
{{- if contains ".svc." (urlParse .).host }}true{{ end -}}
{{- end -}}
{{- end }}

{{/* What no schema can say of them. */}}
{{- define "holysheep-proxy.refuse-upstreams" -}}
{{- if and .Values.holysheep.apiKeys (or .Values.holysheep.apiKeySecret .Values.holysheep.existingSecret) }}
{{- fail "holysheep.apiKeys: there is holysheep.existingSecret or holysheep.apiKeySecret, too; give one of them" }}
{{- end }}
{{- if and .Values.upstreams (eq .Values.config.auth "passthrough") }}
{{- fail "upstreams: with config.auth=passthrough each client's key would go to all of them; leave them out, or set config.auth=open" }}
{{- end }}
{{- include "holysheep-proxy.refuse-twice" (dict "path" "holysheep.apiKeys" "all" .Values.holysheep.apiKeys "names" list) }}
{{- $first := include "holysheep-proxy.first-upstream" . }}
{{- include "holysheep-proxy.refuse-twice" (dict "path" "upstreams" "all" .Values.upstreams "names" (list $first)) }}
{{- $names := list $first }}
{{- range $index, $upstream := .Values.upstreams }}
{{- $names = append $names .name }}
{{- if and .apiKeys .existingSecret }}
{{- fail (printf "upstreams[%d].apiKeys: %s has existingSecret, too; give one of the two" $index .name) }}
{{- end }}
{{- if not (or .apiKeys .existingSecret) }}
{{- fail (printf "upstreams[%d].existingSecret: name the Secret with the key for %s, or several in apiKeys" $index .name) }}
{{- end }}
{{- include "holysheep-proxy.refuse-twice" (dict "path" (printf "upstreams[%d].apiKeys" $index) "all" .apiKeys "names" list) }}
{{- end }}
{{- range $model, $targets := .Values.models }}
{{- range $targets }}
{{- $name := kindIs "map" . | ternary (get (kindIs "map" . | ternary . dict) "upstream") . }}
{{- if not (has $name $names) }}
{{- fail (printf "models.%s: %s is no upstream; there are %s" $model $name (join ", " $names)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Names that stand twice (dict: path, all, names there are already). */}}
{{- define "holysheep-proxy.refuse-twice" -}}
{{- $names := .names }}
{{- range $index, $item := .all }}
{{- if has .name $names }}
{{- fail (printf "%s[%d].name: %s is the name of another" $.path $index .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- end }}
