// Command controlplane is a real Kubernetes control plane, kubeadm and the real kube-proxy in one
// program, for tests that must not take our word for what Kubernetes does.
//
//	controlplane etcd | kube-apiserver | kube-controller-manager | kube-proxy | kubeadm  FLAGS...
//	controlplane requests KUBECONFIG  a client of the API server: requests on standard input
//
// The components are themselves, with their own flags; only etcd's are ours, for it is embedded as
// a library. One binary, as they share nearly all of their code. Called by the name of a component,
// through a link, it is that component, as a container's image would have it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubeadm "k8s.io/kubernetes/cmd/kubeadm/app/cmd"
)

func main() {
	// Only the command asked for is made: the components' constructors install signal handlers,
	// which can be done once per process.
	commands := map[string]func() *cobra.Command{
		"etcd":                    newEtcdCommand,
		"kube-apiserver":          apiserver.NewAPIServerCommand,
		"kube-controller-manager": controllermanager.NewControllerManagerCommand,
		"kube-proxy":              proxy.NewProxyCommand,
		"kubeadm":                 newKubeadmCommand,
		"requests":                newRequestsCommand,
	}
	if commands[filepath.Base(os.Args[0])] == nil {
		os.Args = os.Args[1:]
	}
	if len(os.Args) == 0 || commands[filepath.Base(os.Args[0])] == nil {
		fmt.Fprintln(os.Stderr, "usage: controlplane etcd|kube-apiserver|kube-controller-manager|kube-proxy|kubeadm|requests ...")
		os.Exit(2)
	}
	os.Exit(cli.Run(commands[filepath.Base(os.Args[0])]()))
}

func newKubeadmCommand() *cobra.Command {
	return kubeadm.NewKubeadmCommand(os.Stdin, os.Stdout, os.Stderr)
}
