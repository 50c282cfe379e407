{{- define "trainwright.rules.cluster" -}}
- apiGroups: ["apiextensions.k8s.io"]
  resources: ["customresourcedefinitions"]
  verbs: ["get", "list", "watch"]
{{- end }}
{{- define "trainwright.rules.namespaced" -}}
- apiGroups: ["trainwright.dev"]
  resources: ["trainingruns"]
  verbs: ["get", "list", "watch"]
{{- end }}
