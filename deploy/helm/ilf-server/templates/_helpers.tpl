{{- define "ilf.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "ilf.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- else if contains (include "ilf.name" .) .Release.Name -}}
{{- .Release.Name | trunc 54 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "ilf.name" .) | trunc 54 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "ilf.selectorLabels" -}}
app.kubernetes.io/name: {{ include "ilf.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ilf.labels" -}}
{{ include "ilf.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* The test's pod is none of the server's. */}}
{{- define "ilf.testLabels" -}}
app.kubernetes.io/name: {{ include "ilf.name" . | trunc 58 }}-test
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "ilf.host" -}}
{{ include "ilf.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- define "ilf.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{- define "ilf.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "ilf.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
