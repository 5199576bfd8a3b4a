// Go's HTTP/2 server as an origin: `origin_go PORT FOLDER [CERT KEY]`; without a certificate it speaks in plain, with
// prior knowledge.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

const piece = 10_000

func main() {
	port, folder := os.Args[1], os.Args[2]
	mux := http.NewServeMux()
	for _, name := range []string{"small", "large"} {
		data := read(folder, name)
		tag := fmt.Sprintf("%q", fmt.Sprint(len(data)))
		mux.HandleFunc("/"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", tag)
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
		})
	}
	large := read(folder, "large")
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, _ *http.Request) {
		for rest := large; len(rest) > 0; {
			count := min(piece, len(rest))
			w.Write(rest[:count])
			w.(http.Flusher).Flush()
			rest = rest[count:]
		}
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		if length, err := io.Copy(sum, r.Body); err == nil {
			fmt.Fprintf(w, "%d %x\n", length, sum.Sum(nil))
		}
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		// Returns the request's trailer in a header, and sends a trailer itself.
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Sum")
		if seen := r.Trailer.Get("X-Sum"); seen != "" {
			w.Header().Set("X-Seen", seen)
		}
		io.WriteString(w, "done\n")
		w.(http.Flusher).Flush() // without a length, after which curl waits for nothing
		w.Header().Set("X-Sum", "f00d")
	})
	server := http.Server{Addr: "127.0.0.1:" + port, Handler: mux}
	if len(os.Args) > 3 {
		panic(server.ListenAndServeTLS(os.Args[3], os.Args[4]))
	}
	server.Handler = h2c.NewHandler(mux, &http2.Server{})
	panic(server.ListenAndServe())
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

func read(folder, name string) []byte {
	data, err := os.ReadFile(folder + "/" + name)
	if err != nil {
		panic(err)
	}
	return data
}
