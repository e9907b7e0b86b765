//go:build !js

package s3server

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flow.internal/capdo/internal/freeport"
)

func address(t *testing.T) string {
	t.Helper()
	port, err := freeport.Get()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

func TestServer(t *testing.T) {
	program, err := Build(t.Context(), func() { t.Log("building versitygw: this takes a minute") })
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s, err := Start(t.Context(), program, address(t), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	resp, err := http.Get(s.Endpoint + "/" + s.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("without credentials the server answers %s, not 403", resp.Status)
	}
	if _, err := os.Stat(filepath.Join(dir, s.Bucket)); err != nil {
		t.Error(err)
	}
}

func TestPortTaken(t *testing.T) {
	program, err := Build(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	address := address(t) // of both servers
	s, err := Start(t.Context(), program, address, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	if other, err := Start(t.Context(), program, address, t.TempDir()); err == nil {
		other.Stop()
		t.Error("a second server started on the same port")
	} else if !strings.Contains(err.Error(), "cannot listen") {
		t.Errorf("the error does not mention the port: %v", err)
	}
}
