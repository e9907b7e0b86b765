package localcluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// NodeStatus is the status of a node, as users see it.
type NodeStatus struct {
	Node     int    `json:"node"`
	URL      string `json:"url"`
	State    string `json:"state"`
	Seconds  int    `json:"seconds"` // in that state
	Objects  int    `json:"objects"`
	Requests int64  `json:"requests"`
	Failed   int64  `json:"failed"` // requests that the node did not answer
	PID      int    `json:"pid,omitempty"`
}

// Status returns the status of all nodes.
func (c *Cluster) Status() (list []NodeStatus) {
	objects := c.Objects()
	for _, n := range c.Nodes {
		s := NodeStatus{Node: n.Number, URL: n.URL, Objects: objects[n.Number]}
		state, since := n.State()
		s.State, s.Seconds = state, int(time.Since(since).Seconds())
		s.Requests, s.Failed = n.Counts()
		if server := n.running(); server != nil {
			s.PID = server.Process().Pid
		}
		list = append(list, s)
	}
	return list
}

// Actions are the operations on a node, by name.
var Actions = map[string]func(*Node) error{
	"kill": (*Node).Kill, "stop": (*Node).Stop, "pause": (*Node).Pause, "resume": (*Node).Resume,
	"restart": (*Node).Restart,
}

// controlFile contains the path of the socket that takes commands. The path of
// a socket must be short, so the socket is in a separate folder.
const controlFile = "control"

// Control accepts commands for the cluster until ctx ends.
func (c *Cluster) Control(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "capdo-")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, "control")
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	name := filepath.Join(c.Dir, controlFile)
	if err := os.WriteFile(name, []byte(path), 0o600); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status",
		func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(c.Status()) })
	mux.HandleFunc("POST /{action}/{node}", c.act)
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(l)
	context.AfterFunc(ctx, func() {
		s.Close()
		os.Remove(name)
		os.RemoveAll(dir)
	})
	return nil
}

func (c *Cluster) act(w http.ResponseWriter, r *http.Request) {
	action, ok := Actions[r.PathValue("action")]
	number, err := strconv.Atoi(r.PathValue("node"))
	if !ok || err != nil || number < 1 || number > len(c.Nodes) {
		http.Error(w, fmt.Sprintf("there is no node %s\nhint: nodes are 1 to %d",
			r.PathValue("node"), len(c.Nodes)), http.StatusNotFound)
		return
	}
	if err := action(c.Nodes[number-1]); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

// Command sends a command to the cluster that runs in a folder, and returns the
// answer.
func Command(ctx context.Context, dir, method, path string) ([]byte, error) {
	socket, err := os.ReadFile(filepath.Join(dir, controlFile))
	if err != nil {
		return nil, fmt.Errorf("no cluster runs in %s"+
			"\nhint: start one with capdo cluster, or name its folder with --dir", dir)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(
		ctx context.Context, _, _ string,
	) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", string(socket))
	}}}
	r, err := http.NewRequestWithContext(ctx, method, "http://cluster"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("the cluster in %s does not answer: %w"+
			"\nhint: start it again with capdo cluster", dir, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(string(body))
	}
	return body, err
}
