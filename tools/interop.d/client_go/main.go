// Go's HTTP/2 client: `client_go URL AUTHORITY`; without an authority it speaks in plain with prior
// knowledge. Each line of standard input is a request in JSON, or a batch of them for the same time, and
// each line of output the response; h2_clients.py is the other end.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

type request struct {
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Headers  map[string]string `json:"headers"`
	Pieces   [][]byte          `json:"pieces"`
	Chunked  bool              `json:"chunked"`
	Trailers map[string]string `json:"trailers"`
	Expect   bool              `json:"expect"`
	Batch    []request         `json:"batch"`
}

type answer struct {
	Status      int               `json:"status,omitempty"`
	Headers     [][2]string       `json:"headers"`
	Body        []byte            `json:"body"`
	Trailers    map[string]string `json:"trailers"`
	Interim     []int             `json:"interim"`
	Error       string            `json:"error,omitempty"`
	Batch       []answer          `json:"batch,omitempty"`
	Connections int32             `json:"connections"`
}

var connections int32

// A body of unknown length.
type stream struct{ io.Reader }

func transport(authority string) (*http2.Transport, error) {
	if authority == "" {
		return &http2.Transport{AllowHTTP: true, DialTLS: func(network, address string, _ *tls.Config) (net.Conn, error) {
			atomic.AddInt32(&connections, 1)
			return net.Dial(network, address)
		}}, nil
	}
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: roots, NextProtos: []string{"h2"}}
	return &http2.Transport{TLSClientConfig: config, DialTLS: func(network, address string, config *tls.Config) (net.Conn, error) {
		atomic.AddInt32(&connections, 1)
		return tls.Dial(network, address, config)
	}}, nil
}

func ask(client *http.Client, base string, asked request) answer {
	var body io.Reader
	if asked.Pieces != nil {
		whole := bytes.NewReader(bytes.Join(asked.Pieces, nil))
		body = whole
		if asked.Chunked {
			body = stream{whole}
		}
	}
	made, err := http.NewRequest(asked.Method, base+asked.Path, body)
	if err != nil {
		return answer{Error: err.Error()}
	}
	for name, value := range asked.Headers {
		// A client of HTTP/2 has no fields of a connection.
		if !strings.EqualFold(name, "connection") {
			made.Header.Set(name, value)
		}
	}
	if asked.Expect {
		made.Header.Set("Expect", "100-continue")
	}
	for name, value := range asked.Trailers {
		if made.Trailer == nil {
			made.Trailer = http.Header{}
		}
		made.Trailer.Set(name, value)
	}
	interim := []int{}
	trace := &httptrace.ClientTrace{
		Got100Continue: func() { interim = append(interim, 100) },
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { return nil },
	}
	response, err := client.Do(made.WithContext(httptrace.WithClientTrace(made.Context(), trace)))
	if err != nil {
		return answer{Error: err.Error()}
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{Error: err.Error()}
	}
	headers := [][2]string{}
	for name, values := range response.Header {
		headers = append(headers, [2]string{name, strings.Join(values, ", ")})
	}
	trailers := map[string]string{}
	for name, values := range response.Trailer {
		trailers[name] = strings.Join(values, ", ")
	}
	return answer{Status: response.StatusCode, Headers: headers, Body: got, Trailers: trailers, Interim: interim}
}

func main() {
	base := os.Args[1]
	over, err := transport(os.Args[2])
	if err != nil {
		panic(err)
	}
	over.DisableCompression = true
	client := &http.Client{Transport: over, Timeout: 15 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	lines := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var asked request
		if err := json.Unmarshal(line, &asked); err != nil {
			panic(err)
		}
		var told answer
		if asked.Batch == nil {
			told = ask(client, base, asked)
		} else {
			told.Batch = make([]answer, len(asked.Batch))
			var all sync.WaitGroup
			for i := range asked.Batch {
				all.Add(1)
				go func(i int) {
					defer all.Done()
					told.Batch[i] = ask(client, base, asked.Batch[i])
				}(i)
			}
			all.Wait()
			for _, each := range told.Batch {
				if each.Error != "" {
					told.Error = each.Error
				}
			}
		}
		told.Connections = atomic.LoadInt32(&connections)
		if err := out.Encode(told); err != nil {
			return
		}
	}
}
