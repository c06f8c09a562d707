package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// A request, one line of JSON on standard input.
type request struct {
	Method string          `json:"method"`
	Path   string          `json:"path"`
	Body   json.RawMessage `json:"body,omitempty"`
}

// What came of it, one line of JSON on standard output. Status 0: there was no answer.
type response struct {
	Status int    `json:"status"`
	Body   string `json:"body"`
}

// newRequestsCommand lets a program that speaks no TLS ask the API server, as the user that a
// kubeconfig says and over one connection.
func newRequestsCommand() *cobra.Command {
	return &cobra.Command{Use: "requests KUBECONFIG", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		config, err := clientcmd.BuildConfigFromFlags("", args[0])
		if err != nil {
			return err
		}
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			return err
		}
		in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
		for {
			var request request
			if err := in.Decode(&request); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			response, err := send(client, config.Host, request)
			if err != nil {
				response.Body = err.Error()
			}
			if err := out.Encode(response); err != nil {
				return err
			}
		}
	}}
}

func send(client *http.Client, server string, request request) (response, error) {
	asked, err := http.NewRequest(request.Method, server+request.Path, bytes.NewReader(request.Body))
	if err != nil {
		return response{}, err
	}
	asked.Header.Set("Content-Type", "application/json")
	asked.Header.Set("Accept", "application/json")
	answered, err := client.Do(asked)
	if err != nil {
		return response{}, err
	}
	defer answered.Body.Close()
	body, err := io.ReadAll(answered.Body)
	if err != nil {
		return response{}, err
	}
	return response{Status: answered.StatusCode, Body: string(body)}, nil
}
