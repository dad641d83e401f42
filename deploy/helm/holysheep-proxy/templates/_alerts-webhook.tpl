{{- /* The alert about notices of payments. Included by prometheusrule.yaml, where is said how it is written. */}}
{{- define "holysheep-proxy.alerts.webhook" -}}
{{- $pods := include "holysheep-proxy.alerts.pods" . -}}
- name: holysheep-proxy.webhook
  rules:
    - alert: HolySheepProxyWebhookFailing
      expr: |
        sum by (namespace) (increase(holysheep_webhooks_total{ {{- $pods }},result="forward_failed"}[15m]))
        > sum by (namespace) (increase(holysheep_webhooks_total{ {{- $pods }},result="accepted"}[15m]))
      for: 5m
      labels:
        severity: warning
      annotations:
        summary: Notices of payments do not reach their receiver
        description: >-
          [[ $value | printf "%.0f" ]] deliveries in 15 minutes were genuine and could not be handed on, more than could. Their sender tries again, for as long as
          it does. First see why: a line of the log, "a webhook could not be forwarded", has the reason.
        runbook_url: {{ .Values.monitoring.prometheusRule.runbookBaseUrl }}#holysheepproxywebhookfailing
{{- end }}
