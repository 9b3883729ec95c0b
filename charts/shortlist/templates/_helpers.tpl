{{- define "shortlist.name" -}}
{{- if contains "shortlist" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-shortlist" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "shortlist.selector" -}}
app.kubernetes.io/name: shortlist
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "shortlist.labels" -}}
{{ include "shortlist.selector" . }}
app.kubernetes.io/part-of: shortlist
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "shortlist.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* What the restricted Pod Security Standard asks of a pod. */}}
{{- define "shortlist.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .uid }}
runAsGroup: {{ .uid }}
fsGroup: {{ .uid }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "shortlist.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "shortlist.databaseSecret" -}}
{{- if .Values.postgres.existingSecret }}{{ .Values.postgres.existingSecret }}{{ else }}{{ include "shortlist.name" . }}-servers{{ end -}}
{{- end }}

{{- define "shortlist.redisSecret" -}}
{{- if .Values.redis.existingSecret }}{{ .Values.redis.existingSecret }}{{ else }}{{ include "shortlist.name" . }}-servers{{ end -}}
{{- end }}

{{/* Where the servers are: what every process of ours is told. */}}
{{- define "shortlist.serverEnv" -}}
- name: DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ include "shortlist.databaseSecret" . }}, key: DATABASE_URL}}
- name: REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ include "shortlist.redisSecret" . }}, key: REDIS_URL}}
- name: SHORTLIST_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
{{- if .Values.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .Values.otlpEndpoint | quote }}
{{- end }}
{{- end }}

{{- define "shortlist.extraEnv" -}}
{{- range $name, $value := . }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "shortlist.placement" -}}
{{- if .root.Values.topologySpread.enabled }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: {{ include "shortlist.selector" . | fromYaml | toJson }}}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Alive: the process's loop turns. Ready: it has what it needs to take work. */}}
{{- define "shortlist.probes" -}}
startupProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 1, failureThreshold: 60}
livenessProbe: {httpGet: {path: /healthz, port: http}, periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 6}
readinessProbe: {httpGet: {path: /readyz, port: http}, periodSeconds: 2, timeoutSeconds: 3, failureThreshold: 2}
{{- end }}

{{/* The Deployment of one of our processes. Takes root, component, and optionally replicas (omitted
     for what the operator scales), env (more of it, as text) and graceSeconds. */}}
{{- define "shortlist.deployment" -}}
{{- $values := index .root.Values .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "shortlist.name" .root }}-{{ .component }}
  labels: {{- include "shortlist.labels" . | nindent 4 }}
spec:
  {{- if hasKey . "replicas" }}
  replicas: {{ .replicas }}
  {{- end }}
  selector: {matchLabels: {{ include "shortlist.selector" . | fromYaml | toJson }}}
  strategy: {type: RollingUpdate, rollingUpdate: {{ .rollingUpdate | default "{maxSurge: 1, maxUnavailable: 0}" }}}
  template:
    metadata:
      labels: {{- include "shortlist.labels" . | nindent 8 }}
      annotations:
        checksum/servers: {{ printf "%s %s" .root.Values.postgres.url .root.Values.redis.url | sha256sum | trunc 16 | quote }}
        {{- with $values.podAnnotations }}{{ toYaml . | nindent 8 }}{{ end }}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: {{ .graceSeconds | default 30 }}
      securityContext: {{- include "shortlist.podSecurity" (dict "uid" 10001) | nindent 8 }}
      {{- include "shortlist.placement" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "shortlist.image" (dict "root" .root "image" .root.Values.image) | quote }}
          imagePullPolicy: {{ .root.Values.image.pullPolicy }}
          args: [{{ .component }}]
          ports: [{name: http, containerPort: 8000}]
          env:
            {{- include "shortlist.serverEnv" .root | nindent 12 }}
            {{- with .env }}{{ . | nindent 12 }}{{ end }}
            {{- include "shortlist.extraEnv" $values.env | nindent 12 }}
          {{- include "shortlist.probes" . | nindent 10 }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          securityContext: {{- include "shortlist.containerSecurity" . | nindent 12 }}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {}}]
{{- end }}

{{/* At most one of several may be away for maintenance of the cluster. */}}
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
  selector: {matchLabels: {{ include "shortlist.selector" . | fromYaml | toJson }}}
{{- end }}
{{- end }}

{{/* What a worker is told of its pipeline's spec. */}}
{{- define "shortlist.workerEnv" -}}
{{- $spec := .root.Values.pipeline.spec -}}
{{- $scorer := $spec.scorer | default (dict "kind" "simulated") -}}
- {name: SHORTLIST_PIPELINE, value: {{ .root.Values.pipeline.name | quote }}}
- {name: SHORTLIST_CONCURRENCY, value: {{ dig "worker" "concurrency" 10 $spec | quote }}}
- {name: SHORTLIST_CONNECTION_MODE, value: {{ dig "connections" "mode" "perJob" $spec | quote }}}
- {name: SHORTLIST_CONNECTION_OVERHEAD, value: {{ dig "connections" "overheadPerWorker" 1 $spec | quote }}}
- {name: SHORTLIST_DRAIN_TIMEOUT_SECONDS, value: {{ dig "worker" "drainTimeoutSeconds" 60 $spec | quote }}}
# A new worker holds the least that works until the operator grants it more.
- {name: SHORTLIST_INITIAL_GRANT, value: {{ add 1 (int (dig "connections" "overheadPerWorker" 1 $spec)) | quote }}}
- {name: SHORTLIST_SCORER, value: {{ $scorer.kind | default "simulated" | quote }}}
- {name: SHORTLIST_WORKER_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
{{- if eq ($scorer.kind | default "simulated") "claude" }}
{{- with $scorer.model }}
- {name: SHORTLIST_MODEL, value: {{ . | quote }}}
{{- end }}
- name: ANTHROPIC_API_KEY
  valueFrom: {secretKeyRef: {name: {{ required "anthropic.existingSecret is needed by scorer kind claude" .root.Values.anthropic.existingSecret }}, key: ANTHROPIC_API_KEY}}
{{- else }}
- {name: SHORTLIST_SERVICE_SECONDS, value: {{ $scorer.serviceSeconds | default 1.5 | quote }}}
- {name: SHORTLIST_SERVICE_CV, value: {{ $scorer.serviceCv | default 0 | quote }}}
{{- end }}
{{- end }}
