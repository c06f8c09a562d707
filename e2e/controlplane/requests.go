package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"
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

// newRequestsCommand lets a program that speaks no TLS ask the API server, over one connection. The
// server's certificate is its own and is not checked: both live in the same network namespace.
func newRequestsCommand() *cobra.Command {
	var token string
	command := &cobra.Command{Use: "requests SERVER", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			ForceAttemptHTTP2: true,
		}}
		in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
		for {
			var request request
			if err := in.Decode(&request); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			response, err := send(client, args[0], token, request)
			if err != nil {
				response.Body = err.Error()
			}
			if err := out.Encode(response); err != nil {
				return err
			}
		}
	}}
	command.Flags().StringVar(&token, "token", "", "bearer token")
	return command
}

func send(client *http.Client, server, token string, request request) (response, error) {
	asked, err := http.NewRequest(request.Method, server+request.Path, bytes.NewReader(request.Body))
	if err != nil {
		return response{}, err
	}
	asked.Header.Set("Authorization", "Bearer "+token)
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
