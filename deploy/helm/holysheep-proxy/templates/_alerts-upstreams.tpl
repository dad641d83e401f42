{{- /* Alerts about keys, breakers, endpoints and requests that are sent again. Included by prometheusrule.yaml, where is said how
they are written.

A key or an upstream that is left alone is tried again now and then, and looks well until that has failed: hence means over time.
What gets no requests is not tried, so nothing is said of it. */}}
{{- define "holysheep-proxy.alerts.upstreams" -}}
{{- $pods := include "holysheep-proxy.alerts.pods" . -}}
{{- $rule := .Values.monitoring.prometheusRule -}}
{{- $asked := printf "and on (namespace, pod, upstream) sum by (namespace, pod, upstream) (rate(holysheep_upstream_requests_total{%s}[10m])) > 0" $pods -}}
- name: holysheep-proxy.upstreams
  rules:
    - alert: HolySheepProxyKeyUnusable
      expr: min by (namespace, upstream, key) (avg_over_time(holysheep_upstream_key_usable{ {{- $pods }}}[10m])) < 0.5
      for: 5m
      labels:
        severity: warning
      annotations:
        summary: Key [[ $labels.key ]] of upstream [[ $labels.upstream ]] cannot be used
        description: >-
          For ten minutes [[ $labels.upstream ]] has refused key [[ $labels.key ]], or it is missing in a pod. Requests are sent with the other keys, if there are
          any. First see what it is refused with: holysheep_upstream_key_refusals_total by status. A new key in the Secret is used within a minute or two.
        runbook_url: {{ $rule.runbookBaseUrl }}#holysheepproxykeyunusable
    - alert: HolySheepProxyNoKeyUsable
      expr: min by (namespace, upstream) (max by (namespace, pod, upstream) (avg_over_time(holysheep_upstream_key_usable{ {{- $pods }}}[5m]))) < 0.5
      for: 2m
      labels:
        severity: critical
      annotations:
        summary: Upstream [[ $labels.upstream ]] takes none of its keys
        description: >-
          In one pod at least, [[ $labels.upstream ]] refuses all keys it has, or there are none. What can goes to other upstreams, the rest fails. First see what
          they are refused with: holysheep_upstream_key_refusals_total by status.
        runbook_url: {{ $rule.runbookBaseUrl }}#holysheepproxynokeyusable
    - alert: HolySheepProxyBreakerOpen
      expr: |
        count by (namespace, upstream) (
          holysheep_upstream_breaker_state{ {{- $pods }},state="closed"} == 0
          {{ $asked }}
        )
      for: 2m
      labels:
        severity: critical
      annotations:
        summary: Upstream [[ $labels.upstream ]] fails and is left alone
        description: >-
          Pods that send [[ $labels.upstream ]] nothing but a request now and then, because it has failed repeatedly: [[ $value ]]. What can goes to other
          upstreams, the rest gets 503. First see what failed: holysheep_upstream_requests_total by outcome.
        runbook_url: {{ $rule.runbookBaseUrl }}#holysheepproxybreakeropen
    - alert: HolySheepProxyEndpointEjected
      expr: |
        count by (namespace, upstream, endpoint) (
          holysheep_upstream_endpoint_usable{ {{- $pods }}} == 0
          {{ $asked }}
        )
      for: 15m
      labels:
        severity: warning
      annotations:
        summary: 'Endpoint [[ $labels.endpoint ]] of upstream [[ $labels.upstream ]] has been ejected for long'
        description: >-
          Pods that send nothing to [[ $labels.endpoint ]], one of the addresses of [[ $labels.upstream ]], because it fails: [[ $value ]]. Other addresses carry its
          share. First see whether one pod has it or all: on one it is the node's way there, on all the address itself.
        runbook_url: {{ $rule.runbookBaseUrl }}#holysheepproxyendpointejected
    - alert: HolySheepProxyRetriesHigh
      expr: |
        sum by (namespace, upstream) (rate(holysheep_upstream_retries_total{ {{- $pods }}}[5m]))
        /
        sum by (namespace, upstream) (rate(holysheep_upstream_requests_total{ {{- $pods }}}[5m])) > {{ $rule.thresholds.retryRatio }}
        and
        sum by (namespace, upstream) (increase(holysheep_upstream_retries_total{ {{- $pods }}}[10m])) >= {{ $rule.thresholds.minFailures }}
      for: 10m
      labels:
        severity: warning
      annotations:
        summary: '[[ $value | humanizePercentage ]] of the requests to [[ $labels.upstream ]] are sent again'
        description: >-
          Of the requests sent to [[ $labels.upstream ]], [[ $value | humanizePercentage ]] are sent once more, so clients do not see it fail, and wait longer. First see why:
          holysheep_upstream_retries_total by reason.
        runbook_url: {{ $rule.runbookBaseUrl }}#holysheepproxyretrieshigh
    - alert: HolySheepProxyRetriesDenied
      expr: sum by (namespace, upstream) (rate(holysheep_upstream_retries_denied_total{ {{- $pods }}}[5m])) > 0
      for: 5m
      labels:
        severity: warning
      annotations:
        summary: Failures of upstream [[ $labels.upstream ]] reach clients, because too much fails
        description: >-
          [[ $value | printf "%.2f" ]] requests a second that failed at [[ $labels.upstream ]] are not sent again: more fails than retries.budget_percent covers. First see
          what fails: holysheep_upstream_retries_total by reason, and holysheep_upstream_requests_total by outcome.
        runbook_url: {{ $rule.runbookBaseUrl }}#holysheepproxyretriesdenied
{{- end }}
