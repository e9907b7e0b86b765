package selfhost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"flow.internal/capdo/internal/process"
)

// killAfter is the time after Options.StopTimeout at which workerd is killed.
const killAfter = 2 * time.Second

// Run serves until ctx ends or workerd ends. If ctx ends, it stops workerd
// gracefully. capdo's own messages go to log. The output of workerd and the
// Worker goes to out, or with JSONLogs to log.
func Run(ctx context.Context, o *Options, log *slog.Logger, out io.Writer) error {
	if err := checkAddress(o.Listen); err != nil {
		return err
	}
	// Health checks are answered until the end.
	around, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &Server{Options: o, log: log, relay: relay{text: out}, up: make(chan struct{})}
	if o.JSONLogs {
		s.relay.json = log
	}
	if o.Health != "" {
		s.relay.metrics = &metrics{health: &s.health, data: o.Data, begin: time.Now()}
		if err := s.health.listen(around, o.Health, s.relay.metrics); err != nil {
			return err
		}
	}
	if err := s.open(); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return s.Err()
	case <-ctx.Done():
		return s.Stop()
	}
}

// Start starts a server and does not wait until it serves. The caller ends it
// with Stop or Kill.
func Start(o *Options, log *slog.Logger, out io.Writer) (*Server, error) {
	s := &Server{Options: o, log: log, relay: relay{text: out}, up: make(chan struct{})}
	return s, s.open()
}

// open locks the data folder and starts workerd.
func (s *Server) open() error {
	data, err := OpenData(s.Data, s.Listen)
	if err != nil {
		return err
	}
	defer data.Close() // workerd keeps the lock
	bucket := ""
	if s.Cluster != nil {
		bucket = s.Cluster.Bucket
	}
	if err := data.Claim(bucket); err != nil {
		return err
	}
	return s.start(data.lock)
}

// checkAddress reports an unusable address before workerd does.
func checkAddress(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen: %w\nhint: choose another address with --listen", err)
	}
	return l.Close()
}

// Server is a running workerd.
type Server struct {
	*Options
	log    *slog.Logger
	relay  relay
	health health

	cmd   *exec.Cmd
	up    chan struct{}   // closed when it serves
	ended <-chan struct{} // closed when it has ended
	exit  error           // how it ended; set before ended is closed
}

// Up is closed when the server listens; in a cluster, also for other nodes.
func (s *Server) Up() <-chan struct{} { return s.up }

// Ended is closed when workerd has ended.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Err explains why workerd ended by itself.
func (s *Server) Err() error { return explain(s.relay.tail(), exitError(s.exit)) }

// Process returns workerd's process.
func (s *Server) Process() *os.Process { return s.cmd.Process }

// Ready returns nil, or the reason why new requests should not come here.
func (s *Server) Ready(ctx context.Context) error { return s.health.checkReady(ctx) }

// Kill ends workerd at once.
func (s *Server) Kill() {
	s.cmd.Process.Kill()
	<-s.ended
}

// start writes the config and starts workerd. workerd keeps the lock as long as
// it lives.
func (s *Server) start(lock *os.File) error {
	text, err := s.capnp()
	if err != nil {
		return err
	}
	config := filepath.Join(s.own(), "config.capnp")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	events, control, err := os.Pipe()
	if err != nil {
		return err
	}
	defer control.Close()
	args := []string{"serve", "-I", "/", "--control-fd=3"}
	if s.needsExperimental() {
		args = append(args, "--experimental")
	}
	s.cmd = exec.Command(s.Workerd, append(args, config)...)
	s.cmd.ExtraFiles = []*os.File{control, lock}
	s.cmd.Env = os.Environ()
	for name, value := range s.Secrets {
		s.cmd.Env = append(s.cmd.Env, secretPrefix+name+"="+value)
	}
	return s.run(events)
}

// run starts the process. A terminal's Ctrl-C does not reach it: capdo passes it
// on.
func (s *Server) run(events *os.File) error {
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return err
	}
	s.ended, err = process.Start(s.cmd, true, func() {
		var streams sync.WaitGroup
		streams.Go(func() { s.relay.read(stdout) })
		streams.Go(func() { s.relay.read(stderr) })
		streams.Wait()
		s.exit = s.cmd.Wait()
	})
	if err != nil {
		events.Close()
		return fmt.Errorf("cannot start workerd: %w", err)
	}
	s.health.pid.Store(int64(s.cmd.Process.Pid))
	go s.watch(events)
	return nil
}

// watch records the ports that workerd reports.
func (s *Server) watch(events *os.File) {
	defer events.Close()
	lines := bufio.NewScanner(events)
	for lines.Scan() {
		var e struct {
			Event, Socket string
			Port          int
		}
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		switch {
		case e.Event == "listen-cluster":
			url := "http://" + net.JoinHostPort(reachable(s.Cluster.Listen),
				strconv.Itoa(e.Port)) + "/ready"
			s.health.peers.Store(&url)
		case e.Event == "listen" && e.Socket == "alive":
			url := fmt.Sprintf("http://127.0.0.1:%d/", e.Port)
			s.health.alive.Store(&url)
			s.announce()
			close(s.up)
		}
	}
}

// reachable returns the host at which this machine reaches its own address.
func reachable(address string) string {
	host, _, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		return "127.0.0.1"
	}
	return host
}

// announce reports that requests are served.
func (s *Server) announce() {
	notify("READY=1")
	scheme := "http"
	if s.TLSCert != "" {
		scheme = "https"
	}
	attrs := []any{"url", scheme + "://" + s.Listen, "data", s.Data, "pid", s.cmd.Process.Pid}
	if s.Cluster != nil {
		attrs = append(attrs, "cluster", s.Cluster.Bucket, "advertise", s.Cluster.Advertise)
	}
	s.log.Info("serving", attrs...)
}

// Stop makes workerd finish open requests, hand over its objects, and end.
func (s *Server) Stop() error {
	s.health.stopping.Store(true)
	notify("STOPPING=1")
	s.log.Info("stopping", "timeout", s.StopTimeout.String())
	begin := time.Now()
	terminate(s.cmd.Process)
	select {
	case <-s.ended:
		s.log.Info("stopped", "after_ms", time.Since(begin).Milliseconds())
		return s.stopError()
	case <-time.After(s.StopTimeout + killAfter):
		s.log.Error("workerd did not stop in time: killing it")
		s.Kill()
		return errors.New("workerd did not stop in time, and was killed" +
			"\nhint: open requests may have failed; a longer --stop-timeout gives them more time")
	}
}

func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// stopError returns nil if workerd ended as requested.
func (s *Server) stopError() error {
	var exit *exec.ExitError
	if errors.As(s.exit, &exit) && exit.ExitCode() > 0 {
		return fmt.Errorf("workerd did not stop cleanly: %w", explain(s.relay.tail(), s.exit))
	}
	return nil
}
