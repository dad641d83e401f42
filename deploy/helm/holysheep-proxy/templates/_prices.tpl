{{/* What models cost, under the configuration's names; dates are text there. */}}
{{- define "holysheep-proxy.prices" -}}
{{- $prices := dict -}}
{{- range $model, $given := . -}}
{{- $price := dict -}}
{{- range $key, $value := $given -}}
{{- $_ := set $price (snakecase $key) $value -}}
{{- end -}}
{{- $_ := set $prices $model $price -}}
{{- end -}}
{{- toYaml $prices -}}
{{- end }}
