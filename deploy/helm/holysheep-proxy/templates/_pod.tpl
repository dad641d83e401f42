{{/* The pod of both kinds. Called with a dict: root, kind (daemonset | deployment). */}}

{{- define "holysheep-proxy.pod" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
{{- $isNode := eq .kind "daemonset" -}}
metadata:
  labels:
    {{- include "holysheep-proxy.selector" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .kind }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: proxy
    {{- if $values.config.restartOnChange }}
    checksum/config: {{ include "holysheep-proxy.restart-checksum" $root }}
    {{- end }}
    {{- if and $values.monitoring.scrapeAnnotations (not $values.monitoring.serviceMonitor.enabled) }}
    prometheus.io/scrape: "true"
    prometheus.io/port: {{ $values.containerPorts.admin | quote }}
    prometheus.io/path: /metrics
    {{- end }}
    {{- with $values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "holysheep-proxy.service-account" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "holysheep-proxy.grace" $root }}
  {{- if and $isNode $values.daemonset.hostNetwork }}
  hostNetwork: true
  dnsPolicy: ClusterFirstWithHostNet
  {{- end }}
  {{- with $values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with (ternary $values.daemonset.priorityClassName $values.deployment.priorityClassName $isNode) }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- $isPrivileged := and $isNode (eq $values.securityProfile "privileged") }}
  {{- /* Kubernetes has none of the network's for pods on the host's network. */}}
  {{- $sysctls := ternary (dict) $values.sysctls (and $isNode $values.daemonset.hostNetwork) }}
  {{- if or $sysctls (not $isPrivileged) }}
  securityContext:
    {{- if not $isNode }}
    runAsNonRoot: true
    runAsUser: 101
    runAsGroup: 101
    fsGroup: 101
    {{- end }}
    {{- if not $isPrivileged }}
    seccompProfile:
      type: RuntimeDefault
    {{- end }}
    {{- with $sysctls }}
    sysctls:
      {{- range $name, $value := . }}
      - name: {{ $name }}
        value: {{ $value | quote }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- if $values.initCheck.enabled }}
  initContainers:
    # Ends with 1 if requests would fail, and the pod does not start then.
    - name: check
      image: {{ include "holysheep-proxy.image" $root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [check, --config, /etc/holysheep/config/config.yaml, --ebpf, "off"]
      {{- with $values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      securityContext:
        {{- if $isNode }}
        # For files that are root's.
        runAsUser: 0
        runAsGroup: 0
        {{- end }}
        {{- include "holysheep-proxy.security" (dict "root" $root "kind" "deployment") | nindent 8 }}
      resources:
        requests: {cpu: 50m, memory: 32Mi}
        limits: {cpu: 500m, memory: 64Mi}
      volumeMounts:
        {{- include "holysheep-proxy.mounts" $root | nindent 8 }}
  {{- end }}
  containers:
    - name: proxy
      image: {{ include "holysheep-proxy.image" $root | quote }}
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args: [serve, --config, /etc/holysheep/config/config.yaml]
      env:
        {{- include "holysheep-proxy.env" . | nindent 8 }}
      ports:
        {{- include "holysheep-proxy.ports" $root | nindent 8 }}
      {{- include "holysheep-proxy.probes" . | nindent 6 }}
      securityContext:
        {{- include "holysheep-proxy.security" . | nindent 8 }}
      resources:
        {{- toYaml (ternary (default $values.resources $values.daemonset.resources) $values.resources $isNode) | nindent 8 }}
      volumeMounts:
        {{- include "holysheep-proxy.mounts" $root | nindent 8 }}
  volumes:
    {{- include "holysheep-proxy.volumes" $root | nindent 4 }}
  {{- with $values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with (ternary (concat $values.tolerations $values.daemonset.tolerations) $values.tolerations $isNode) }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if and (not $isNode) $values.deployment.topologySpread }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "holysheep-proxy.selector" $root | nindent 10 }}
          app.kubernetes.io/component: deployment
    {{- end }}
  {{- end }}
{{- end }}

{{/* Kernel programs need the DaemonSet's rights; the Deployment takes the same times from TCP_INFO. */}}
{{- define "holysheep-proxy.env" -}}
{{- $values := .root.Values -}}
- name: PROXY_MODE
  value: {{ $values.config.proxyMode }}
- name: HOLYSHEEP_LISTEN
  value: "{{ $values.config.bindAddress }}:{{ $values.containerPorts.http }}"
- name: HOLYSHEEP_ADMIN_LISTEN
  value: "{{ $values.config.bindAddress }}:{{ $values.containerPorts.admin }}"
{{- if eq .kind "daemonset" }}
- name: HOLYSHEEP_EBPF
  value: {{ $values.daemonset.ebpf | quote }}
- name: HOLYSHEEP_PROBE_SOURCES
  value: node
- name: HOST_IP
  valueFrom:
    fieldRef:
      fieldPath: status.hostIP
{{- if semverCompare ">=1.30.0-0" .root.Capabilities.KubeVersion.Version }}
- name: HOST_IPS
  valueFrom:
    fieldRef:
      fieldPath: status.hostIPs
{{- end }}
{{- else }}
- name: HOLYSHEEP_EBPF
  value: "off"
{{- end }}
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "holysheep-proxy.ports" -}}
- name: http
  containerPort: {{ .Values.containerPorts.http }}
{{- if .Values.tls.enabled }}
- name: https
  containerPort: {{ .Values.containerPorts.https }}
{{- end }}
- name: probe
  containerPort: {{ .Values.containerPorts.probe }}
- name: admin
  containerPort: {{ .Values.containerPorts.admin }}
{{- end }}

{{/* `/health?ready` is readiness on a port where `/readyz` is not served unless steered (docs/probes.md). */}}
{{- define "holysheep-proxy.probes" -}}
{{- $probes := .root.Values.probes -}}
{{- $isSteered := and (eq .kind "daemonset") (ne .root.Values.daemonset.ebpf "off") -}}
{{- $port := ternary (ternary "http" "probe" $isSteered) (ternary "http" "probe" (eq $probes.port "traffic")) (eq $probes.port "auto") -}}
startupProbe:
  httpGet: {path: /health, port: {{ $port }}}
  {{- toYaml $probes.startup | nindent 2 }}
livenessProbe:
  httpGet: {path: /health, port: {{ $port }}}
  {{- toYaml $probes.liveness | nindent 2 }}
readinessProbe:
  httpGet: {path: "/health?ready", port: {{ $port }}}
  {{- toYaml $probes.readiness | nindent 2 }}
{{- end }}

{{- define "holysheep-proxy.security" -}}
readOnlyRootFilesystem: true
{{- if ne .kind "daemonset" }}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
{{- else }}
# Capabilities of another uid than 0 are not effective in Kubernetes.
runAsUser: 0
runAsGroup: 0
{{- if eq .root.Values.securityProfile "privileged" }}
privileged: true
{{- else }}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  add: [BPF, NET_ADMIN]
{{- end }}
{{- end }}
{{- end }}

{{- define "holysheep-proxy.mounts" -}}
- name: config
  mountPath: /etc/holysheep/config
  readOnly: true
{{- if include "holysheep-proxy.key-secret" . }}
- name: key
  mountPath: /etc/holysheep/key
  readOnly: true
{{- end }}
{{- if include "holysheep-proxy.key-sources" . }}
- name: keys
  mountPath: /etc/holysheep/keys
  readOnly: true
{{- end }}
{{- if include "holysheep-proxy.ca-sources" . }}
- name: cas
  mountPath: /etc/holysheep/cas
  readOnly: true
{{- end }}
{{- if .Values.config.rateLimit.redisExistingSecret }}
- name: redis
  mountPath: /etc/holysheep/redis
  readOnly: true
{{- end }}
{{- if .Values.config.stateVolume }}
- name: state
  mountPath: /var/lib/holysheep-proxy
{{- end }}
{{- if .Values.holysheep.caConfigMap }}
- name: ca
  mountPath: /etc/holysheep/ca
  readOnly: true
{{- end }}
{{- if eq .Values.config.auth "clients" }}
- name: clients
  mountPath: /etc/holysheep/clients
  readOnly: true
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  mountPath: /etc/holysheep/tls
  readOnly: true
{{- end }}
{{- if .Values.webhook.forwardTo }}
- name: webhook
  mountPath: /etc/holysheep/webhook
  readOnly: true
{{- end }}
{{- if include "holysheep-proxy.traces-sources" . }}
- name: traces
  mountPath: /etc/holysheep/traces
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Whole directories and no subPath: only so a changed Secret or ConfigMap reaches a running pod. */}}
{{- define "holysheep-proxy.volumes" -}}
- name: config
  configMap:
    name: {{ include "holysheep-proxy.fullname" . }}-config
{{- with (include "holysheep-proxy.key-secret" .) }}
- name: key
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: {{ ternary "api-key" $.Values.holysheep.secretKey (ne $.Values.holysheep.apiKeySecret "") }}, path: api-key}
{{- end }}
{{- with (include "holysheep-proxy.key-sources" .) }}
- name: keys
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with (include "holysheep-proxy.ca-sources" .) }}
- name: cas
  projected:
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with .Values.config.rateLimit.redisExistingSecret }}
- name: redis
  secret:
    secretName: {{ . }}
    defaultMode: 0440
    items:
      - {key: {{ $.Values.config.rateLimit.redisSecretKey }}, path: password}
{{- end }}
{{- with .Values.config.stateVolume }}
- name: state
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.holysheep.caConfigMap }}
- name: ca
  configMap:
    name: {{ . }}
    items:
      - {key: {{ $.Values.holysheep.caKey }}, path: ca.crt}
{{- end }}
{{- if eq .Values.config.auth "clients" }}
- name: clients
  secret:
    secretName: {{ .Values.clients.existingSecret }}
    defaultMode: 0440
    items:
      - {key: {{ .Values.clients.secretKey }}, path: clients.yaml}
{{- end }}
{{- if .Values.tls.enabled }}
- name: tls
  secret:
    secretName: {{ include "holysheep-proxy.tls-secret" . }}
    defaultMode: 0440
{{- end }}
{{- with (include "holysheep-proxy.webhook-sources" .) }}
- name: webhook
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with (include "holysheep-proxy.traces-sources" .) }}
- name: traces
  projected:
    defaultMode: 0440
    sources:
      {{- . | nindent 6 }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
