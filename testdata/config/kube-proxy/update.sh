#!/bin/sh
# Writes what the real kube-proxy makes of the inputs here: NAME.yaml is a file for --config, NAME.args a command line.
# The first argument is the program that e2e/controlplane builds. The machine is not touched: kube-proxy only writes a file.
set -eu
cd "$(dirname "$0")"
for input in *.yaml *.args; do
    name=${input%.*}
    case $input in
        *.written.yaml) continue ;;
        *.yaml) set -- "$1" "--config=$input" ;;
        # Arguments may have blanks, but no line ends.
        *.args) IFS='
'; set -- "$1" $(cat "$input"); unset IFS ;;
    esac
    program=$1; shift
    "$program" kube-proxy "$@" "--write-config-to=$name.written.yaml" 2>/dev/null || { echo "$name failed"; exit 1; }
    set -- "$program"
done
