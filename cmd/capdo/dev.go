package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"flow.internal/capdo/internal/wrangler"
	"github.com/spf13/cobra"
)

func newDev() *cobra.Command {
	s := server{}
	cmd := &cobra.Command{
		Use:   "dev [dir] [-- wrangler flags]",
		Short: "Serve a program locally and rebuild it on each change",
		Long: `Dev builds the program in dir (default: the current folder) like capdo build,
and serves it with wrangler dev, which needs neither network nor login. When a
Go file, an embedded file, go.mod, go.sum or the wrangler config changes it
builds again, and wrangler reloads; when that fails the last good build stays.
Storage is in .wrangler/state and survives.`,
		Example: `  capdo dev
  capdo dev ./examples/counter --port 9000
  capdo dev -- --log-level debug`,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); n >= 0 {
				args, s.flags = args[:n], args[n:]
			}
			dir, err := oneDir(cmd, args)
			if err != nil {
				return err
			}
			return dev(cmd.Context(), &project{dir: dir, verbose: s.verbose}, &s)
		},
	}
	cmd.Flags().IntVar(&s.port, "port", 8787, "port to listen on")
	cmd.Flags().StringVar(&s.ip, "ip", "127.0.0.1", "address to listen on")
	cmd.Flags().BoolVarP(&s.verbose, "verbose", "x", false, "print the commands")
	return cmd
}

// dev serves a project until ctx ends or wrangler does.
func dev(ctx context.Context, p *project, s *server) error {
	config, err := p.config()
	if err != nil {
		return err
	}
	if err := s.find(p.dir); err != nil {
		return err
	}
	if err := s.checkPort(); err != nil {
		return err
	}
	w, err := newWatcher(ctx, p.dir, p.verbose)
	if err != nil {
		return err
	}
	defer w.Close()
	r, err := p.build(ctx)
	if err != nil {
		return err
	}
	printProblems(os.Stderr, r.Problems)
	printReport(os.Stderr, r)
	if err := s.takeConfig(config); err != nil {
		return err
	}
	if s.isCopy {
		defer os.Remove(s.config)
	}

	ctx, cancel := context.WithCancel(ctx)
	rebuilt := make(chan struct{})
	go func() {
		defer close(rebuilt)
		rebuild(ctx, p, s, w)
	}()
	defer func() {
		cancel()
		<-rebuilt
	}()
	return s.run(ctx)
}

// rebuild builds after each change, until ctx ends.
func rebuild(ctx context.Context, p *project, s *server, w *watcher) {
	for w.wait(ctx) == nil {
		start := time.Now()
		r, err := p.rebuild(ctx, s, w)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			printError(os.Stderr, err)
			fmt.Fprintln(os.Stderr, "[capdo] the last good build stays")
		default:
			printProblems(os.Stderr, r.Problems)
			fmt.Fprintf(os.Stderr, "[capdo] rebuilt in %.1f s, %s gz\n", time.Since(start).Seconds(), size(r.SizeGz))
		}
	}
}

// rebuild first sees to it that what changes from now on is noticed.
func (p *project) rebuild(ctx context.Context, s *server, w *watcher) (*report, error) {
	if err := w.update(ctx); err != nil {
		return nil, err
	}
	r, err := p.build(ctx)
	if err != nil {
		return nil, err
	}
	return r, s.copyConfig()
}

// server is a wrangler dev.
type server struct {
	tool
	ip    string
	port  int
	flags []string // the user's, for wrangler

	original string // the user's config
	config   string // the one that wrangler reads
	isCopy   bool   // which is ours
}

// takeConfig chooses the config for wrangler: the user's. Where that has a build command wrangler would run it, and look for changes of
// what goes into it, not of what comes out; so it gets a copy without, in the same folder because of the paths in it.
func (s *server) takeConfig(c *wrangler.Config) error {
	s.original, s.config = c.Path, c.Path
	if c.Build.Command == "" {
		return nil
	}
	s.isCopy = true
	s.config = filepath.Join(filepath.Dir(c.Path), ".capdo-dev."+filepath.Base(c.Path))
	return s.copyConfig()
}

// copyConfig brings the copy, if there is one, up to date; wrangler reloads when it changes.
func (s *server) copyConfig() error {
	if !s.isCopy {
		return nil
	}
	b, err := wrangler.WithoutBuild(s.original)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(s.config); err == nil && bytes.Equal(old, b) {
		return nil
	}
	return os.WriteFile(s.config, b, 0o644)
}

// checkPort refuses a port that is taken: wrangler would go to another one.
func (s *server) checkPort() error {
	l, err := net.Listen("tcp", net.JoinHostPort(s.ip, strconv.Itoa(s.port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d of %s is taken\nhint: stop what listens there, or choose another port with --port", s.port, s.ip)
	case err != nil:
		return fmt.Errorf("cannot listen: %w\nhint: choose with --ip and --port", err)
	}
	return l.Close()
}

// run serves until ctx ends or wrangler does.
func (s *server) run(ctx context.Context) error {
	args := append([]string{"dev", "--config", filepath.Base(s.config), "--ip", s.ip, "--port", strconv.Itoa(s.port)}, s.flags...)
	return s.tool.run(ctx, filepath.Dir(s.config), args...)
}
