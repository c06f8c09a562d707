// Command controlplane is a real Kubernetes control plane and the real kube-proxy in one program,
// for tests that must not take our word for what Kubernetes does.
//
//	controlplane etcd | kube-apiserver | kube-controller-manager | kube-proxy  FLAGS...
//	controlplane key FILE         writes a private key for service account tokens
//	controlplane requests SERVER  a client of the API server: requests on standard input
//
// The components are themselves, with their own flags; only etcd's are ours, for it is embedded as
// a library. One binary, as they share nearly all of their code.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/util/keyutil"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
)

func main() {
	// Only the command asked for is made: the components' constructors install signal handlers,
	// which can be done once per process.
	commands := map[string]func() *cobra.Command{
		"etcd":                    newEtcdCommand,
		"kube-apiserver":          apiserver.NewAPIServerCommand,
		"kube-controller-manager": controllermanager.NewControllerManagerCommand,
		"kube-proxy":              proxy.NewProxyCommand,
		"key":                     newKeyCommand,
		"requests":                newRequestsCommand,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: controlplane etcd|kube-apiserver|kube-controller-manager|kube-proxy|key|requests ...")
		os.Exit(2)
	}
	command := commands[os.Args[1]]()
	os.Args = os.Args[1:]
	os.Exit(cli.Run(command))
}

func newKeyCommand() *cobra.Command {
	return &cobra.Command{Use: "key FILE", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		key, err := keyutil.MakeEllipticPrivateKeyPEM()
		if err != nil {
			return err
		}
		return keyutil.WriteKey(args[0], key)
	}}
}
