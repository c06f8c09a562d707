// Certificates of all kinds, and what Go's own client says of them.
//
//	certificates make FOLDER    a folder for each kind: ca.pem, what clients trust; chain.pem and key.pem, what a server has
//	certificates check FOLDER   a line for each kind: its name, and whether Go's crypto/tls connects to such a server
//
// kube-proxy uses Go's client, so this is what Portolan has to do. The standard library only.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "certificates make|check FOLDER")
		os.Exit(2)
	}
	run := map[string]func(string) error{"make": makeAll, "check": checkAll}[os.Args[1]]
	if err := run(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func checkAll(folder string) error {
	kinds, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		if !kind.IsDir() {
			continue
		}
		err := check(filepath.Join(folder, kind.Name()))
		if err == nil {
			fmt.Println(kind.Name(), "connects")
		} else {
			fmt.Println(kind.Name(), "refuses:", err)
		}
	}
	return nil
}

// As client-go: the pool is what AppendCertsFromPEM can read, and must not be empty.
func check(folder string) error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "chain.pem"), filepath.Join(folder, "key.pem"))
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(filepath.Join(folder, "ca.pem"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return fmt.Errorf("no certificate in ca.pem can be read")
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return err
	}
	defer listener.Close()
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			io.Copy(io.Discard, connection)
			connection.Close()
		}
	}()
	raw, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return err
	}
	defer raw.Close()
	client := tls.Client(raw, &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12})
	return client.Handshake()
}
