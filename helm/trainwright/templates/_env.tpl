{{- /* The operator's settings; every name stands in trainwright_operator/settings.py too. */ -}}
{{- define "trainwright.metricsPort" -}}
8080
{{- end }}

{{- define "trainwright.env" -}}
- name: TRAINWRIGHT_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
- name: TRAINWRIGHT_METRICS_PORT
  value: {{ include "trainwright.metricsPort" . | quote }}
- name: TRAINWRIGHT_TRAINER_IMAGE
  value: {{ include "trainwright.image" (list . "trainer.image" .Values.trainer.image) | quote }}
- name: TRAINWRIGHT_TRAINER_IMAGE_PULL_POLICY
  value: {{ .Values.trainer.image.pullPolicy | quote }}
{{- with .Values.trainer.imagePullSecrets }}
- name: TRAINWRIGHT_TRAINER_IMAGE_PULL_SECRETS
  value: "{{ range $i, $secret := . }}{{ if $i }},{{ end }}{{ $secret.name }}{{ end }}"
{{- end }}
{{- with .Values.trainer.s3Endpoint }}
- name: TRAINWRIGHT_S3_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.trainer.podDefaults }}
- name: TRAINWRIGHT_POD_DEFAULTS
  value: {{ toJson . | quote }}
{{- end }}
{{- with .Values.prices }}
- name: TRAINWRIGHT_PRICES
  value: {{ toJson . | quote }}
{{- end }}
- name: TRAINWRIGHT_SCRAPE_ANNOTATIONS
  value: {{ .Values.monitoring.scrapeAnnotations | quote }}
{{- with .Values.grafana.url }}
- name: TRAINWRIGHT_GRAFANA_URL
  value: {{ . | quote }}
{{- end }}
- name: TRAINWRIGHT_MINIMUM_UTILIZATION_PERCENT
  value: {{ .Values.utilization.minimumPercent | quote }}
- name: TRAINWRIGHT_UNDERUTILIZED_MINUTES
  value: {{ .Values.utilization.minutes | quote }}
{{- with .Values.otlpEndpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- with .Values.watchNamespaces }}
- name: TRAINWRIGHT_NAMESPACES
  value: {{ uniq . | join "," | quote }}
{{- end }}
{{- end }}
