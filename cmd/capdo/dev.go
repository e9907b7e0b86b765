package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func newDev() *cobra.Command {
	s := server{}
	cmd := &cobra.Command{
		Use:   "dev [dir or config] [-- wrangler flags]",
		Short: "Serve a program locally and rebuild it on each change",
		Long: `Dev builds the program in dir (default: the current folder) like capdo build,
and serves it with wrangler dev, which needs neither network nor login. When a
Go file, an embedded file, go.mod, go.sum or the wrangler config changes, it
builds again and wrangler reloads. If that build fails, it keeps serving the last
good one. Wrangler also reloads when .dev.vars or .env changes, or such a file of
an environment.

Storage is in .wrangler/state and persists. capdo dev refuses storage that another
capdo dev uses, because both would have each object in memory, and two callers
could hold one key. Use --persist-to for separate storage.

If --ip is an address that other machines can reach, the variable CAPDO_LOCAL is
"false", for Workers that ask only remote clients for a token.

--profile starts wrangler's inspector where capdo profile looks for it.`,
		Example: `  capdo dev
  capdo dev ./examples/ledger --port 9000
  capdo dev --profile
  capdo dev wrangler.staging.jsonc --persist-to .wrangler/staging
  capdo dev -- --log-level debug`,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); n >= 0 {
				args, s.flags = args[:n], args[n:]
			}
			p := project{verbose: s.verbose, isLocal: true}
			if err := p.takeArg(cmd, args); err != nil {
				return err
			}
			return dev(cmd.Context(), &p, &s)
		},
	}
	addPlace(cmd)
	cmd.Flags().IntVar(&s.port, "port", 8787, "port to listen on")
	cmd.Flags().StringVar(&s.persistTo, "persist-to", "",
		"folder of the storage (default .wrangler/state beside the config)")
	cmd.Flags().StringVar(&s.ip, "ip", "127.0.0.1", "address to listen on")
	cmd.Flags().BoolVar(&s.profile, "profile", false, "serve for capdo profile")
	cmd.Flags().IntVar(&s.inspector, "inspector-port", inspectorPort,
		"port of the inspector, with --profile")
	cmd.Flags().BoolVarP(&s.verbose, "verbose", "x", false, "print the commands")
	return cmd
}

// dev serves a project until ctx ends or wrangler ends.
func dev(ctx context.Context, p *project, s *server) error {
	config, err := p.config(ctx)
	if err != nil {
		return err
	}
	if err := s.find(p.dir); err != nil {
		return err
	}
	if err := s.takeStorage(config.Path); err != nil {
		return err
	}
	defer s.storage.release()
	if err := s.checkPorts(); err != nil {
		return err
	}
	w, err := newWatcher(ctx, p.dir, p.verbose)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.addConfig(config.Path, s.flags); err != nil {
		return err
	}
	r, err := p.build(ctx)
	if err != nil {
		return err
	}
	printProblems(os.Stderr, r.Problems)
	printReport(os.Stderr, r)
	s.original, s.copied = config.Path, filepath.Join(s.storage.own(), filepath.Base(config.Path))
	if err := s.serve(r); err != nil {
		return err
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

// rebuild builds after each change, and makes wrangler read changed variables,
// until ctx ends.
func rebuild(ctx context.Context, p *project, s *server, w *watcher) {
	for {
		changed, err := w.wait(ctx)
		if err != nil {
			return
		}
		if changed.build {
			buildAnew(ctx, p, s, w)
		}
		if changed.variables && ctx.Err() == nil {
			if err := s.reload(); err != nil {
				printError(os.Stderr, err)
				continue
			}
			fmt.Fprintln(os.Stderr, "[capdo] variables have changed: wrangler reloads")
		}
	}
}

// buildAnew builds and prints the result.
func buildAnew(ctx context.Context, p *project, s *server, w *watcher) {
	start := time.Now()
	r, err := p.rebuild(ctx, s, w)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		printError(os.Stderr, err)
		fmt.Fprintln(os.Stderr, "[capdo] still serving the last good build")
	default:
		printProblems(os.Stderr, r.Problems)
		fmt.Fprintf(os.Stderr, "[capdo] rebuilt in %.1f s, %s gz\n",
			time.Since(start).Seconds(), size(r.SizeGz))
	}
}

// rebuild first updates the watcher, so that it notices later changes.
func (p *project) rebuild(ctx context.Context, s *server, w *watcher) (*report, error) {
	if err := w.update(ctx); err != nil {
		return nil, err
	}
	r, err := p.build(ctx)
	if err != nil {
		return nil, err
	}
	return r, s.serve(r)
}

// server is a running wrangler dev.
type server struct {
	tool
	ip        string
	port      int
	persistTo string
	profile   bool // run an inspector, on another port
	inspector int
	flags     []string // the user's, for wrangler

	storage storage
	inputs
}

// takeStorage locks the storage. The user can choose it with capdo's flag or
// wrangler's; the default is wrangler's own.
func (s *server) takeStorage(config string) error {
	dir := filepath.Join(filepath.Dir(config), ".wrangler", "state")
	if value, rest, ok := cutFlag(s.flags, "--persist-to", "--persistTo"); ok {
		s.flags, s.persistTo = rest, value
		if !filepath.IsAbs(value) {
			s.persistTo = filepath.Join(filepath.Dir(config), value) // wrangler runs in this folder
		}
	}
	if s.persistTo != "" {
		dir = s.persistTo
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	s.storage.dir = dir
	if err := s.storage.take(s.address()); err != nil {
		return err
	}
	s.hold = []*os.File{s.storage.lock}
	return nil
}

// cutFlag removes a flag with a value from arguments.
func cutFlag(args []string, names ...string) (value string, rest []string, ok bool) {
	for i, arg := range args {
		name, value, hasValue := strings.Cut(arg, "=")
		switch {
		case !slices.Contains(names, name):
		case hasValue:
			return value, slices.Concat(args[:i], args[i+1:]), true
		case i+1 < len(args):
			return args[i+1], slices.Concat(args[:i], args[i+2:]), true
		}
	}
	return "", args, false
}

func (s *server) address() string {
	return "http://" + net.JoinHostPort(s.ip, strconv.Itoa(s.port))
}

// checkPorts refuses ports that are in use. Otherwise wrangler would choose
// others.
func (s *server) checkPorts() error {
	if s.profile {
		if err := checkPort("127.0.0.1", s.inspector,
			"choose another port with --inspector-port, "+
				"and use the same port with capdo profile"); err != nil {
			return err
		}
	}
	return checkPort(s.ip, s.port, "choose another port with --port")
}

func checkPort(ip string, port int, hint string) error {
	l, err := net.Listen("tcp", net.JoinHostPort(ip, strconv.Itoa(port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d of %s is in use"+
			"\nhint: stop the program that listens there, or %s", port, ip, hint)
	case err != nil:
		return fmt.Errorf("cannot listen: %w"+
			"\nhint: choose another address with --ip and --port", err)
	}
	return l.Close()
}

// run serves until ctx ends or wrangler ends.
func (s *server) run(ctx context.Context) error {
	args := []string{"dev", "--config", s.copied, "--ip", s.ip, "--port", strconv.Itoa(s.port),
		"--persist-to", s.storage.dir}
	if !s.isLocal() {
		args = append(args, "--var", "CAPDO_LOCAL:false")
	}
	if s.profile {
		args = append(args, "--inspector-port", strconv.Itoa(s.inspector))
	}
	return s.tool.run(ctx, filepath.Dir(s.original), append(args, s.flags...)...)
}

// isLocal reports whether only this machine can reach the server.
func (s *server) isLocal() bool {
	for _, f := range s.flags {
		if name, _, _ := strings.Cut(f, "="); slices.Contains([]string{"--ip", "--tunnel",
			"--remote", "-r"}, name) {
			return false
		}
	}
	return s.ip == "localhost" || net.ParseIP(s.ip).IsLoopback()
}
