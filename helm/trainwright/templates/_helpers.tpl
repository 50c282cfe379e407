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

{{- /* Of the metrics' Service, which has to be a DNS label: no dots, as a release may have, and 63
characters with its ending. */ -}}
{{- define "trainwright.serviceName" -}}
{{ printf "%s-metrics" (include "trainwright.fullname" . | replace "." "-" | trunc 55 | trimSuffix "-") }}
{{- end }}

{{- /* Of what belongs to no namespace. Not cut: two releases must not get the same. */ -}}
{{- define "trainwright.clusterName" -}}
{{ printf "%s-%s" .Release.Namespace (include "trainwright.fullname" .) }}
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

{{- /* The labels with some of one's own, which win: no key stands twice, which strict readers of YAML
refuse. Takes (list root labels). */ -}}
{{- define "trainwright.labelsAnd" -}}
{{ mergeOverwrite (include "trainwright.labels" (index . 0) | fromYaml) (index . 1 | default dict) | toYaml }}
{{- end }}

{{- /* Labels of the operator's pod. Selectors and Prometheus find it by the chart's own. */ -}}
{{- define "trainwright.podLabels" -}}
{{- $own := set (include "trainwright.labels" . | fromYaml) "app.kubernetes.io/component" "operator" -}}
{{- range $name, $_ := .Values.podLabels -}}
{{- if hasKey $own $name -}}
{{- fail (printf "podLabels: got %s, expected labels that the chart does not set itself; remove it" $name) -}}
{{- end -}}
{{- end -}}
{{ merge $own (default dict .Values.podLabels) | toYaml }}
{{- end }}

{{- define "trainwright.podAnnotations" -}}
{{- $own := dict "kubectl.kubernetes.io/default-container" "operator" -}}
{{- if .Values.monitoring.scrapeAnnotations -}}
{{- $_ := set $own "prometheus.io/scrape" "true" -}}
{{- $_ := set $own "prometheus.io/port" (include "trainwright.metricsPort" .) -}}
{{- $_ := set $own "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{ mergeOverwrite $own (default dict .Values.podAnnotations) | toYaml }}
{{- end }}

{{- define "trainwright.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "trainwright.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ required "serviceAccount.name: empty, expected the name of an existing account; set it, or serviceAccount.create=true" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- /* Reference of an image; takes (list root path image). Helm reads a tag of digits as a number, and
one such as 1.10 or 007 as another: only text is what was written. */ -}}
{{- define "trainwright.image" -}}
{{- $root := index . 0 -}}
{{- $path := index . 1 -}}
{{- $image := index . 2 -}}
{{- if not (or (kindIs "string" $image.tag) (kindIs "invalid" $image.tag)) -}}
{{- fail (printf "%s.tag: got the number %s, expected text; use --set-string %s.tag=..., or quotes in a file of values" $path (toJson $image.tag) $path) -}}
{{- end -}}
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
