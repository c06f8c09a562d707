#!/usr/bin/env bash
# Writes go.mod and go.sum for a release of Kubernetes: ./update.sh v1.37.2
#
# k8s.io/kubernetes is not made to be imported: its go.mod replaces the modules that it publishes
# (k8s.io/api, k8s.io/client-go, ...) by folders of its own. Each is replaced here by the version
# published for the same release.
set -euo pipefail
cd "$(dirname "$0")"
version=$1
published=v0.${version#v1.}

rm -f go.mod go.sum
go mod init portolan/e2e/controlplane
upstream=$(go mod download -json "k8s.io/kubernetes@$version" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
go mod edit -go="$(awk '$1 == "go" {print $2}' "$upstream")" -require="k8s.io/kubernetes@$version"
for module in $(awk '$2 == "=>" && $3 ~ /^\.\/staging/ {print $1}' "$upstream"); do
	go mod edit -replace="$module=$module@$published"
done
go mod tidy
