// A client of the Container Runtime Interface with upstream's own stubs. It reads one JSON object a line from its standard
// input, each a call, makes all of them at once, and writes what came of each as a line.
//
//	{"id": 1, "method": "PullImage", "request": {"image": {"image": "alpine"}}, "timeoutMs": 1000}
//	{"id": 1, "response": {"image_ref": "sha256:…"}, "micros": 1234}
//	{"id": 1, "error": {"code": "NotFound", "message": "…"}, "micros": 1234}
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type call struct {
	ID        int             `json:"id"`
	Method    string          `json:"method"`
	Request   json.RawMessage `json:"request"`
	TimeoutMs int             `json:"timeoutMs"`
	CancelMs  int             `json:"cancelMs"`
}

type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type answer struct {
	ID       int         `json:"id"`
	Response interface{} `json:"response,omitempty"`
	Error    *failure    `json:"error,omitempty"`
	Micros   int64       `json:"micros"`
}

func main() {
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client := methods{runtime.NewImageServiceClient(connection), runtime.NewRuntimeServiceClient(connection)}
	var calls sync.WaitGroup
	var writing sync.Mutex
	output := json.NewEncoder(os.Stdout)
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 1<<24)
	for input.Scan() {
		var one call
		if err := json.Unmarshal(input.Bytes(), &one); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		calls.Add(1)
		go func() {
			defer calls.Done()
			found := client.answer(one)
			writing.Lock()
			defer writing.Unlock()
			output.Encode(found)
		}()
	}
	calls.Wait()
}

type methods struct {
	images  runtime.ImageServiceClient
	runtime runtime.RuntimeServiceClient
}

func (client methods) answer(one call) answer {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if one.TimeoutMs > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(one.TimeoutMs)*time.Millisecond)
		defer cancel()
	}
	if one.CancelMs > 0 {
		time.AfterFunc(time.Duration(one.CancelMs)*time.Millisecond, cancel)
	}
	begun := time.Now()
	response, err := client.call(ctx, one)
	found := answer{ID: one.ID, Micros: time.Since(begun).Microseconds()}
	if err != nil {
		found.Error = &failure{Code: status.Code(err).String(), Message: status.Convert(err).Message()}
	} else {
		found.Response = response
	}
	return found
}

func (client methods) call(ctx context.Context, one call) (interface{}, error) {
	switch one.Method {
	case "ListImages":
		return invoke(ctx, one, client.images.ListImages)
	case "ImageStatus":
		return invoke(ctx, one, client.images.ImageStatus)
	case "PullImage":
		return invoke(ctx, one, client.images.PullImage)
	case "RemoveImage":
		return invoke(ctx, one, client.images.RemoveImage)
	case "ImageFsInfo":
		return invoke(ctx, one, client.images.ImageFsInfo)
	case "Version":
		return invoke(ctx, one, client.runtime.Version)
	case "Status":
		return invoke(ctx, one, client.runtime.Status)
	case "RunPodSandbox":
		return invoke(ctx, one, client.runtime.RunPodSandbox)
	case "StopPodSandbox":
		return invoke(ctx, one, client.runtime.StopPodSandbox)
	case "RemovePodSandbox":
		return invoke(ctx, one, client.runtime.RemovePodSandbox)
	case "ListPodSandbox":
		return invoke(ctx, one, client.runtime.ListPodSandbox)
	case "CreateContainer":
		return invoke(ctx, one, client.runtime.CreateContainer)
	case "StartContainer":
		return invoke(ctx, one, client.runtime.StartContainer)
	case "StopContainer":
		return invoke(ctx, one, client.runtime.StopContainer)
	case "RemoveContainer":
		return invoke(ctx, one, client.runtime.RemoveContainer)
	case "ContainerStatus":
		return invoke(ctx, one, client.runtime.ContainerStatus)
	case "ListContainers":
		return invoke(ctx, one, client.runtime.ListContainers)
	case "ExecSync":
		return invoke(ctx, one, client.runtime.ExecSync)
	}
	return nil, fmt.Errorf("the client has no method %s", one.Method)
}

// invoke calls one of the stubs' methods with the request that was read for it.
func invoke[Request, Response any](
	ctx context.Context,
	one call,
	method func(context.Context, *Request, ...grpc.CallOption) (*Response, error),
) (interface{}, error) {
	request := new(Request)
	read(one, request)
	return method(ctx, request)
}

func read(one call, request interface{}) {
	if len(one.Request) == 0 {
		return
	}
	if err := json.Unmarshal(one.Request, request); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
