package main

import (
	"net/url"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
)

// newEtcdCommand is one etcd member, whose data need not outlive the machine.
func newEtcdCommand() *cobra.Command {
	var dataDir, client, peer string
	command := &cobra.Command{Use: "etcd", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		clientURL, err := url.Parse(client)
		if err != nil {
			return err
		}
		peerURL, err := url.Parse(peer)
		if err != nil {
			return err
		}
		config := embed.NewConfig()
		config.Dir = dataDir
		config.ListenClientUrls = []url.URL{*clientURL}
		config.AdvertiseClientUrls = config.ListenClientUrls
		config.ListenPeerUrls = []url.URL{*peerURL}
		config.AdvertisePeerUrls = config.ListenPeerUrls
		config.InitialCluster = config.InitialClusterFromName(config.Name)
		config.UnsafeNoFsync = true
		config.LogLevel = "warn"
		etcd, err := embed.StartEtcd(config)
		if err != nil {
			return err
		}
		return <-etcd.Err()
	}}
	command.Flags().StringVar(&dataDir, "data-dir", "", "folder of the data")
	command.Flags().StringVar(&client, "listen-client", "http://127.0.0.1:2379", "address for clients")
	command.Flags().StringVar(&peer, "listen-peer", "http://127.0.0.1:2380", "address for other members, which there are not")
	return command
}
