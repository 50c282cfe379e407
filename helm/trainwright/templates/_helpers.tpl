{{- define "trainwright.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* The release's name alone if it says what it is, else release and chart. */ -}}
{{- define "trainwright.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "trainwright.name" .) .Release.Name -}}
{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "trainwright.name" .) | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "trainwright.selectorLabels" -}}
app.kubernetes.io/name: {{ include "trainwright.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "trainwright.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "trainwright.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: trainwright
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "trainwright.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "trainwright.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ required "serviceAccount.name: empty, expected the name of an existing account; set it, or serviceAccount.create=true" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- /* Reference of an image; takes (list root image). */ -}}
{{- define "trainwright.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $name := printf "%s/%s" (trimSuffix "/" $root.Values.registry) $image.repository -}}
{{- if not $root.Values.registry -}}
{{- $name = $image.repository -}}
{{- end -}}
{{- if $image.digest -}}
{{ printf "%s@%s" $name $image.digest }}
{{- else -}}
{{ printf "%s:%s" $name (default $root.Chart.AppVersion $image.tag) }}
{{- end -}}
{{- end }}

{{- /* Who may read metrics, as the `from` of a NetworkPolicy. */ -}}
{{- define "trainwright.metricsFrom" -}}
{{- if .Values.networkPolicies.metricsFrom -}}
{{ toYaml .Values.networkPolicies.metricsFrom }}
{{- else -}}
- namespaceSelector: {}
{{- end -}}
{{- end }}

{{- /* Port of a trainer's status and metrics, and its name; TRAINER_PORT of the API. */ -}}
{{- define "trainwright.trainerPort" -}}
8470
{{- end }}

{{- define "trainwright.trainerPortName" -}}
http-trainer
{{- end }}
