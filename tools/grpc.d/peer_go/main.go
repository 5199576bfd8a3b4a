// gRPC for Go at either end of the cases of tools/grpc, with bytes as messages:
//
//	peer_go serve PORT RECORDS [CERT KEY]   what the cases need of server.py
//	peer_go call TARGET [AUTHORITY]         checks of its own with a server of either kind
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	service    = "/evener.Test/"
	health     = "/grpc.health.v1.Health/Check"
	limit      = 20 * time.Second
	bytesMax   = 64 << 20
	streamsMax = 20
)

// Messages are bytes.
type raw struct{}

func (raw) Marshal(message interface{}) ([]byte, error) { return *message.(*[]byte), nil }
func (raw) Unmarshal(data []byte, message interface{}) error {
	*message.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (raw) Name() string   { return "proto" }
func (raw) String() string { return "proto" }

// The server.

type told struct {
	Messages int
	Wait     float64
	Status   uint32
	Details  string
	Trailers [][2]string
}

var records *os.File

func record(stream grpc.ServerStream, what string) {
	known, _ := metadata.FromIncomingContext(stream.Context())
	for _, call := range known.Get("x-request-id") {
		fmt.Fprintf(records, "%s %s\n", what, call)
	}
}

func serve(_ interface{}, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	if method == health {
		serving := []byte("\x08\x01")
		return stream.SendMsg(&serving)
	}
	record(stream, "begun")
	err := answer(path.Base(method), stream)
	if stream.Context().Err() != nil {
		record(stream, "cancelled")
	} else {
		record(stream, "done")
	}
	return err
}

func answer(method string, stream grpc.ServerStream) error {
	var message []byte
	switch method {
	case "Echo", "Held", "Patient":
		for {
			err := stream.RecvMsg(&message)
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if method != "Patient" {
				if err := stream.SendMsg(&message); err != nil {
					return err
				}
			}
		}
		if method == "Patient" {
			return stream.SendMsg(&[]byte{})
		}
		return nil
	case "Told":
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		return tell(message, stream)
	}
	return status.Error(codes.Unimplemented, "Method not found!")
}

func tell(message []byte, stream grpc.ServerStream) error {
	var says told
	if err := json.Unmarshal(message, &says); err != nil {
		return err
	}
	for index := 0; index < says.Messages; index++ {
		text := []byte(fmt.Sprint(index))
		if err := stream.SendMsg(&text); err != nil {
			return err
		}
	}
	select {
	case <-time.After(time.Duration(says.Wait * float64(time.Second))):
	case <-stream.Context().Done():
		return status.FromContextError(stream.Context().Err()).Err()
	}
	trailers := metadata.MD{}
	for _, trailer := range says.Trailers {
		var value []byte
		fmt.Sscanf(trailer[1], "%x", &value)
		trailers.Append(trailer[0], string(value))
	}
	stream.SetTrailer(trailers)
	return status.Error(codes.Code(says.Status), says.Details)
}

func serveOn(port string, identity []string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	options := []grpc.ServerOption{
		grpc.CustomCodec(raw{}), grpc.UnknownServiceHandler(serve), grpc.MaxRecvMsgSize(bytesMax),
		grpc.MaxSendMsgSize(bytesMax), grpc.MaxConcurrentStreams(streamsMax),
	}
	if len(identity) == 2 {
		shown, err := credentials.NewServerTLSFromFile(identity[0], identity[1])
		if err != nil {
			return err
		}
		options = append(options, grpc.Creds(shown))
	}
	fmt.Println("ready")
	return grpc.NewServer(options...).Serve(listener)
}

// The client.

func expect(what string, got, wanted interface{}) error {
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		return fmt.Errorf("%s: %.200v, not %.200v", what, got, wanted)
	}
	return nil
}

func echo(on *grpc.ClientConn, message []byte, options ...grpc.CallOption) error {
	within, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var came []byte
	err := on.Invoke(within, service+"Echo", &message, &came, options...)
	if err == nil && !bytes.Equal(came, message) {
		return fmt.Errorf("%d bytes came back of %d", len(came), len(message))
	}
	return err
}

func sizes(on *grpc.ClientConn) error {
	for _, size := range []int{0, 1, 100_000, 4 << 20, 16 << 20} {
		if err := echo(on, bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]); err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
	}
	return echo(on, bytes.Repeat([]byte("again "), 20_000), grpc.UseCompressor(gzip.Name))
}

func turns(on *grpc.ClientConn) error {
	within, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	within = metadata.AppendToOutgoingContext(within, "x-request-id", "0")
	stream, err := on.NewStream(within, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, service+"Held")
	if err != nil {
		return err
	}
	for turn := 0; turn < 300; turn++ {
		sent, came := []byte(fmt.Sprint(turn)), []byte{}
		if err := stream.SendMsg(&sent); err != nil {
			return err
		}
		if err := stream.RecvMsg(&came); err != nil {
			return err
		}
		if err := expect("a turn", string(came), turn); err != nil {
			return err
		}
	}
	stream.CloseSend()
	return expect("the end", stream.RecvMsg(&[]byte{}), io.EOF)
}

// Makes a call of Told, and returns how many messages came, how it ended, and its trailers.
func tellOn(on *grpc.ClientConn, says told, within context.Context) (int, error, metadata.MD) {
	method := &grpc.StreamDesc{ServerStreams: true}
	stream, err := on.NewStream(metadata.AppendToOutgoingContext(within, "x-request-id", "0"), method, service+"Told")
	if err != nil {
		return 0, err, nil
	}
	request, _ := json.Marshal(map[string]interface{}{
		"messages": says.Messages, "wait": says.Wait, "status": says.Status, "details": says.Details,
		"trailers": says.Trailers,
	})
	if err := stream.SendMsg(&request); err != nil {
		return 0, err, nil
	}
	stream.CloseSend()
	for count := 0; ; count++ {
		if err := stream.RecvMsg(&[]byte{}); err != nil {
			return count, err, stream.Trailer()
		}
	}
}

func statuses(on *grpc.ClientConn) error {
	details := "100 % für nichts\n~\t"
	for code := uint32(1); code <= 16; code++ {
		for _, messages := range []int{0, 2} {
			within, cancel := context.WithTimeout(context.Background(), limit)
			trailers := [][2]string{{"x-secret-bin", "00ff0a"}, {"x-secret-bin", "61"}}
			says := told{Messages: messages, Status: code, Details: details, Trailers: trailers}
			count, err, came := tellOn(on, says, within)
			cancel()
			got := fmt.Sprint(count, status.Code(err), status.Convert(err).Message(), came.Get("x-secret-bin"))
			wanted := fmt.Sprint(messages, codes.Code(code), details, []string{"\x00\xff\x0a", "a"})
			if err := expect("status", got, wanted); err != nil {
				return err
			}
		}
	}
	return nil
}

func deadlines(on *grpc.ClientConn) error {
	for _, messages := range []int{0, 2} {
		within, cancel := context.WithTimeout(context.Background(), time.Second)
		count, err, _ := tellOn(on, told{Messages: messages, Wait: 20}, within)
		cancel()
		got, wanted := fmt.Sprint(count, status.Code(err)), fmt.Sprint(messages, codes.DeadlineExceeded)
		if err := expect("deadline", got, wanted); err != nil {
			return err
		}
	}
	return nil
}

func ours(on *grpc.ClientConn) error {
	wanted := map[string]string{
		"/a.B/C":            "rpc error: code = Unimplemented desc = no route for this path",
		"/evener.Refused/C": "rpc error: code = Unavailable desc = endpoint refused the connection",
	}
	for method, text := range wanted {
		within, cancel := context.WithTimeout(context.Background(), limit)
		err := on.Invoke(within, method, &[]byte{}, &[]byte{})
		cancel()
		if err := expect(method, err, text); err != nil {
			return err
		}
	}
	return nil
}

func atOnce(on *grpc.ClientConn) error {
	var all sync.WaitGroup
	failed := make(chan error, 500)
	for number := 0; number < 500; number++ {
		all.Add(1)
		go func(number int) {
			defer all.Done()
			failed <- echo(on, bytes.Repeat([]byte{byte(number)}, number*10))
		}(number)
	}
	all.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

func call(target string, authority []string) error {
	trust := grpc.WithInsecure()
	if len(authority) == 1 {
		shown, err := credentials.NewClientTLSFromFile(authority[0], "")
		if err != nil {
			return err
		}
		trust = grpc.WithTransportCredentials(shown)
	}
	size := grpc.MaxCallRecvMsgSize(bytesMax)
	options := grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), size, grpc.MaxCallSendMsgSize(bytesMax))
	on, err := grpc.Dial(target, trust, options)
	if err != nil {
		return err
	}
	defer on.Close()
	checks := map[string]func(*grpc.ClientConn) error{
		"sizes": sizes, "turns": turns, "statuses": statuses, "deadlines": deadlines, "errors of Evener": ours,
		"many at once": atOnce,
	}
	var wrong []string
	for name, check := range checks {
		if err := check(on); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", name, err))
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

func main() {
	var err error
	if os.Args[1] == "call" {
		err = call(os.Args[2], os.Args[3:])
	} else if records, err = os.OpenFile(os.Args[3], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
		err = serveOn(os.Args[2], os.Args[4:])
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}
