#!/bin/sh
# Writes src/gates.txt: every feature gate that one of the releases of Kubernetes below knows, from the sources of these
# releases. It needs Go, which downloads their modules. A release's gates are in two places: the list that Kubernetes
# generates of its own and its libraries' gates, which lacks client-go's, and client-go's source.
set -eu
cd "$(dirname "$0")"
# Oldest first, with that of src/anchor.rs in it.
releases='1.36.3 1.37.2 1.38.0-beta.0'
anchor=1.37
list=test/compatibility_lifecycle/reference/versioned_feature_list.yaml

# The folder of a module. Go downloads it also where it is too old to build it, and only says so.
folder() {
    (cd / && GOFLAGS=-mod=mod go mod download "k8s.io/$1" 2>&1 || true) >&2
    echo "$(go env GOMODCACHE)/k8s.io/$1"
}

# "release name stage default locked", each gate as it is at its last version in that release.
gates() {
    for release in $releases; do
        minor=$(echo "$release" | cut -d. -f1,2)
        awk -v release="$minor" '
            function flush() { if (name) print release, name, stage, value, lock }
            $2 == "name:" { flush(); name = $3 }
            $2 == "default:" { value = $3 }
            $1 == "lockToDefault:" { lock = $2 }
            $1 == "preRelease:" { stage = $2 }
            END { flush() }' "$(folder "kubernetes@v$release")/$list"
        awk -v release="$minor" '
            /^\t[A-Za-z]+: {$/ { name = $1; sub(":", "", name) }
            name && /Version:.*Default:/ {
                lock = /LockToDefault: true/ ? "true" : "false"
                value = $0; sub(/.*Default: /, "", value); sub(/[,}].*/, "", value)
                stage = $0; sub(/.*PreRelease: /, "", stage); sub(/[,}].*/, "", stage)
            }
            /^\t},$/ && name { print release, name, stage, value, lock; name = "" }
            ' "$(folder "client-go@v0.${release#*.}")/features/known_features.go"
    done
}

{
    cat <<'END'
# Every feature gate that Kubernetes 1.36, 1.37 or 1.38 knows: name, stage, default, and whether it is locked to it.
# Stage and default are those of 1.37, or of the newest other release that knows the gate. It is locked only where all
# that know it lock it to the same value. Written by update-gates.sh; do not edit.
END
    # Later lines win, and the anchor's over all.
    gates | awk -v anchor="$anchor" '
        {
            release = $1; name = $2; stage = $3; value = $4; lock = $5
            if (of[name] != anchor) { of[name] = release; stages[name] = stage; values[name] = value }
            if (lock != "true" || name in locks && locks[name] != value) free[name] = 1
            locks[name] = value
        }
        END { for (name in of) print name, stages[name], values[name] (name in free ? "" : " locked") }' | LC_ALL=C sort
} > src/gates.txt
