{{- define "shortlist.name" -}}
{{- $name := contains "shortlist" .Release.Name | ternary .Release.Name (printf "%s-shortlist" .Release.Name) -}}
{{ $name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "shortlist.selector" -}}
app.kubernetes.io/name: shortlist
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- with .pipeline }}
shortlist.dev/pipeline: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "shortlist.labels" -}}
{{ include "shortlist.selector" . }}
app.kubernetes.io/part-of: shortlist
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "shortlist.image" -}}
{{ printf "%s:%s" .image.repository (.image.tag | default .root.Chart.AppVersion | toString) | quote }}
{{- end }}

{{/* A map whose values are strings for Kubernetes, whatever they are in YAML. JSON writes large
     numbers in full, templates write 1e+06. */}}
{{- define "shortlist.strings" -}}
{{- range $name, $value := . }}
{{ $name }}: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
{{- end }}
{{- end }}

{{/* What the restricted Pod Security Standard asks of a pod, and of a container. Without service
     links: a Service named shortlist would set SHORTLIST_PORT, which is one of our settings. */}}
{{- define "shortlist.podSecurity" -}}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "shortlist.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Where any pod of ours may run. */}}
{{- define "shortlist.placement" -}}
nodeSelector: {{ include "shortlist.strings" .Values.nodeSelector | fromYaml | toJson }}
tolerations: {{ toJson .Values.tolerations }}
imagePullSecrets: {{ toJson .Values.imagePullSecrets }}
{{- end }}

{{- define "shortlist.serversSecret" -}}
{{ include "shortlist.name" . }}-servers
{{- end }}

{{- define "shortlist.databaseSecret" -}}
{{ .Values.postgres.existingSecret | default (include "shortlist.serversSecret" .) }}
{{- end }}

{{- define "shortlist.redisSecret" -}}
{{ .Values.redis.existingSecret | default (include "shortlist.serversSecret" .) }}
{{- end }}

{{- define "shortlist.secretKey" -}}
{secretKeyRef: {name: {{ .name | quote }}, key: {{ .key }}{{ if .optional }}, optional: true{{ end }}}}
{{- end }}

{{/* Where Postgres is for one of its roles, "ADMIN", "OWNER" or "READER", as settings; of an existing server
     only if it is told. A Secret that does not name the role leaves the process with that of DATABASE_URL;
     "optional": ours may be one that does not, the one of the release before. */}}
{{- define "shortlist.databaseRole" -}}
{{- $postgres := .root.Values.postgres }}
{{- if or $postgres.existingSecret $postgres.enabled (get $postgres (printf "%sUrl" (lower .role))) }}
{{- $reference := dict "name" (include "shortlist.databaseSecret" .root) "key" (printf "%s_DATABASE_URL" .role) "optional" (or $postgres.existingSecret .optional) }}
{{ .role }}_DATABASE_URL: {{ include "shortlist.secretKey" $reference }}
{{- end }}
{{- end }}

{{/* What every process of ours is told, by name: a value, or where it comes from. */}}
{{- define "shortlist.settings" -}}
DATABASE_URL: {{ include "shortlist.secretKey" (dict "name" (include "shortlist.databaseSecret" .) "key" "DATABASE_URL") }}
REDIS_URL: {{ include "shortlist.secretKey" (dict "name" (include "shortlist.redisSecret" .) "key" "REDIS_URL") }}
SHORTLIST_LOG_LEVEL: {{ .Values.logLevel }}
{{- with .Values.otlpEndpoint }}
OTEL_EXPORTER_OTLP_ENDPOINT: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The same as Kubernetes wants it. Each name once: server-side apply refuses twins. */}}
{{- define "shortlist.env" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  {{- if kindIs "map" $value }}
  valueFrom: {{ toJson $value }}
  {{- else }}
  value: {{ kindIs "string" $value | ternary $value (toJson $value) | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Alive: the process's loop turns. Ready: it has what it needs to take work. */}}
{{- define "shortlist.runtime.probes" -}}
startupProbe: {httpGet: {path: /healthz, port: health}, periodSeconds: 1, timeoutSeconds: 3, failureThreshold: 60}
livenessProbe: {httpGet: {path: /healthz, port: health}, periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 6}
readinessProbe: {httpGet: {path: /readyz, port: health}, periodSeconds: 2, timeoutSeconds: 3, failureThreshold: 2}
{{- end }}

{{/* A container of ours may write here and nowhere else. */}}
{{- define "shortlist.scratch" -}}
volumes: [{name: tmp, emptyDir: {sizeLimit: 64Mi}}]
{{- end }}

{{/* The Deployment of one of our processes. Takes root, component, settings (a map, beside those of
     every process); and optionally pipeline (whose workers they are), replicas (omitted for what the operator scales), serves (whether
     clients call it), private (whether it also serves staff, on a port of their own), strategy, image (which of the values), args, serviceAccount. */}}
{{- define "shortlist.deployment" -}}
{{- $values := index .root.Values .component -}}
{{- $image := index .root.Values (.image | default "image") -}}
{{- $base := include "shortlist.settings" .root | fromYaml -}}
{{- if .serves }}{{- $_ := set $base "SHORTLIST_METRICS_PORT" 8001 }}{{- end -}}
{{- if .private }}{{- $_ := merge $base (dict "SHORTLIST_PRIVATE_PORT" 8002 "SHORTLIST_PRIVATE_HOST" "0.0.0.0") }}{{- end -}}
{{- $env := merge (include "shortlist.strings" $values.env | fromYaml) .settings $base -}}
{{- if and (hasKey .settings "READER_DATABASE_URL") (not .root.Values.postgres.existingSecret) -}}
{{- $_ := unset $env "DATABASE_URL" -}}{{/* Who only reads has no password that writes. */}}
{{- end -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "shortlist.name" .root }}-{{ .component }}
  labels: {{- include "shortlist.labels" . | nindent 4 }}
spec:
  {{- if hasKey . "replicas" }}
  replicas: {{ .replicas }}
  {{- end }}
  selector:
    matchLabels: {{- include "shortlist.selector" . | nindent 6 }}
  strategy: {{ .strategy | default "{type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}" }}
  template:
    metadata:
      labels: {{- include "shortlist.labels" . | nindent 8 }}
      annotations:
        {{- /* A server elsewhere is another Secret's content; pods read it only when they start. */}}
        checksum/servers: {{ printf "%s %s %s" .root.Values.postgres.url .root.Values.postgres.readerUrl .root.Values.redis.url | sha256sum | trunc 16 | quote }}
        {{- include "shortlist.strings" $values.podAnnotations | indent 8 }}
    spec:
      {{- with .serviceAccount }}
      serviceAccountName: {{ . }}
      {{- else }}
      automountServiceAccountToken: false
      {{- end }}
      {{- /* Until endpoints have forgotten it, its drain, and what follows the drain. */}}
      terminationGracePeriodSeconds: {{ add (ceil (float64 $env.SHORTLIST_DRAIN_TIMEOUT_SECONDS)) 15 }}
      {{- include "shortlist.podSecurity" 10001 | nindent 6 }}
      {{- include "shortlist.placement" .root | nindent 6 }}
      {{- if .root.Values.topologySpread.enabled }}
      topologySpreadConstraints:
        - maxSkew: 1
          topologyKey: kubernetes.io/hostname
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels: {{- include "shortlist.selector" . | nindent 14 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "shortlist.image" (dict "root" .root "image" $image) }}
          imagePullPolicy: {{ $image.pullPolicy }}
          args: {{ hasKey . "args" | ternary .args (list .component) | toJson }}
          ports:
            {{- /* What serves clients has its probes and metrics where no crowd of clients stands in the way. */}}
            {{- if .serves }}
            - {name: http, containerPort: 8000}
            - {name: health, containerPort: 8001}
            {{- if .private }}
            - {name: private, containerPort: 8002}
            {{- end }}
            {{- else }}
            - {name: health, containerPort: 8000}
            {{- end }}
          env: {{- include "shortlist.env" $env | trim | nindent 12 }}
          {{- include "shortlist.runtime.probes" . | nindent 10 }}
          {{- if .serves }}
          # Requests still come in until every node has forgotten this pod.
          lifecycle: {preStop: {sleep: {seconds: 5}}}
          {{- end }}
          resources: {{ toJson $values.resources }}
          {{- include "shortlist.containerSecurity" . | nindent 10 }}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
      {{- include "shortlist.scratch" . | nindent 6 }}
{{- end }}

{{/* At most one of several may be away while nodes are drained; broken ones do not stand in the way. */}}
{{- define "shortlist.disruption" -}}
{{- if .root.Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "shortlist.name" .root }}-{{ .component }}
  labels: {{- include "shortlist.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "shortlist.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{- /* A text as a part of a URL; what was made is plain, but a password in the Secret may be changed. */}}
{{- define "shortlist.encoded" -}}
{{ urlquery . | replace "+" "%20" }}
{{- end }}
