// Package snapshotter runs containerd's own conformance suite for snapshotters over landfall's socket, as containerd
// reaches it. test/support/snapshotter-suite.ts builds and runs it; NODE and LANDFALL name the two programs.
package snapshotter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/snapshots"
	"github.com/containerd/containerd/snapshots/proxy"
	"github.com/containerd/containerd/snapshots/testsuite"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const patience = 60 * time.Second

func TestLandfall(t *testing.T) {
	// By this name the suite knows what overlayfs cannot do: to rename a directory of a lower layer.
	testsuite.SnapshotterSuite(t, "overlayfs", startDaemon)
}

// startDaemon starts a daemon of its own for each case, whose store lies below root.
func startDaemon(_ context.Context, root string) (snapshots.Snapshotter, func() error, error) {
	socket := filepath.Join(root, "s.sock")
	daemon := exec.Command(os.Getenv("NODE"), os.Getenv("LANDFALL"), "--root", filepath.Join(root, "store"),
		"daemon", "--cri", "unix://"+filepath.Join(root, "c.sock"), "--snapshotter", "unix://"+socket)
	var said bytes.Buffer
	daemon.Stderr = &said
	if err := daemon.Start(); err != nil {
		return nil, nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	stop := func() {
		daemon.Process.Kill()
		<-ended
	}
	if err := waitFor(socket, ended); err != nil {
		stop()
		return nil, nil, fmt.Errorf("%w: %s", err, said.String())
	}
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		stop()
		return nil, nil, err
	}
	cleanup := func() error {
		defer stop()
		return connection.Close()
	}
	return proxy.NewSnapshotter(snapshotsapi.NewSnapshotsClient(connection), "landfall"), cleanup, nil
}

// waitFor waits for the socket, which has its name from when it is listened at.
func waitFor(socket string, ended chan error) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := os.Stat(socket); err == nil {
			return nil
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("the daemon ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("the daemon did not listen in time")
}
