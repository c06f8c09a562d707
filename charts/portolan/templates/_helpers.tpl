{{/* The name of all objects. */}}
{{- define "portolan.name" -}}
{{- if contains "portolan" .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-portolan" .Release.Name }}{{ end }}
{{- end }}

{{/* By what pods are found. It must never change: a DaemonSet's selector cannot. */}}
{{- define "portolan.selector" -}}
app.kubernetes.io/name: portolan
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "portolan.labels" -}}
{{ include "portolan.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* A digest says more than a tag. */}}
{{- define "portolan.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end -}}
{{- end }}

{{/* The file that Portolan reads. The node's name is not in it, since all nodes share it. */}}
{{- define "portolan.config" -}}
{{- $ours := dict "apiVersion" "kubeproxy.config.k8s.io/v1alpha1" "kind" "KubeProxyConfiguration" "mode" .Values.mode -}}
{{- toYaml (merge $ours .Values.config) -}}
{{- end }}

{{- define "portolan.healthzAddress" -}}
{{ .Values.config.healthzBindAddress | default "0.0.0.0:10256" }}
{{- end }}

{{- define "portolan.metricsAddress" -}}
{{ .Values.config.metricsBindAddress | default "127.0.0.1:10249" }}
{{- end }}

{{/* The port of ADDRESS:PORT. */}}
{{- define "portolan.port" -}}
{{ regexFind "[0-9]+$" . }}
{{- end }}

{{/* Where kubelet asks: at the Pod's address, which is the node's, unless Portolan listens at another one. */}}
{{- define "portolan.probe" -}}
{{- $address := regexReplaceAll ":[0-9]+$" (include "portolan.healthzAddress" .) "" | trimAll "[]" -}}
port: healthz
{{- if not (has $address (list "0.0.0.0" "::")) }}
host: {{ $address | quote }}
{{- end }}
{{- end }}

{{/* Nobody else could read metrics at a loopback address. */}}
{{- define "portolan.metricsReachable" -}}
{{- $address := include "portolan.metricsAddress" . -}}
{{- if or (hasPrefix "127." $address) (hasPrefix "[::1]" $address) -}}
{{- fail (printf "podMonitor and serviceMonitor need metrics that Prometheus can reach, and config.metricsBindAddress is %s: set config.metricsBindAddress=0.0.0.0:10249, or switch them off" $address) -}}
{{- end -}}
{{- end }}

{{- define "portolan.nodeName" -}}
- name: NODE_NAME
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- end }}

{{- define "portolan.mounts" -}}
- name: config
  mountPath: /etc/portolan
  readOnly: true
- name: xtables-lock
  mountPath: /run/xtables.lock
{{- if ne .Values.mode "nftables" }}
- name: lib-modules
  mountPath: /lib/modules
  readOnly: true
{{- end }}
{{- end }}

{{/* iptables-legacy opens a raw socket; nothing else that Portolan does takes more than NET_ADMIN. */}}
{{- define "portolan.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
  add: [NET_ADMIN{{ if .Values.legacyIptables }}, NET_RAW{{ end }}]
{{- end }}

{{/* Metrics by the name of the node. */}}
{{- define "portolan.relabelings" -}}
- sourceLabels: [__meta_kubernetes_pod_node_name]
  targetLabel: node
{{- end }}
