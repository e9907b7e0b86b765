package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"flow.internal/capdo/internal/localcluster"
	"flow.internal/capdo/internal/s3server"
	"github.com/spf13/cobra"
)

func newCluster() *cobra.Command {
	var p project
	var s serve
	var o localcluster.Options
	cmd := &cobra.Command{
		Use:   "cluster [dir or config]",
		Short: "Run several nodes on this machine, to try out what happens when nodes fail",
		Long: `Cluster builds the program in dir (default: the current folder), and runs it on
several nodes, as capdo serve --cluster does on several machines. Their bucket is
on an S3-compatible server. Cluster builds and runs that server; the first build
takes a minute. Everything listens on this machine only, unless --listen is
another address.

The first address passes requests to the ready nodes, in turn. Each node has one
of the next ports. A table shows the nodes while they run. In another terminal:

  capdo cluster kill 2      kill node 2 with SIGKILL
  capdo cluster stop 2      let node 2 hand over its objects, and stop it
  capdo cluster pause 2     pause node 2 (SIGSTOP); resume continues it
  capdo cluster restart 2   start node 2; if it runs, stop it first
  capdo cluster status

Other nodes take over a dead node's objects when its lease ends: after 10 s
here, 20 s with capdo serve. Use capdo cluster for trials and tests only;
docs/self-hosting.md is about serving.`,
		Example: `  capdo cluster --nodes 3
  capdo cluster ./examples/ledger --env-file .dev.vars --listen 127.0.0.1:9000
  capdo cluster kill 2`,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.takeArg(cmd, args); err != nil {
				return err
			}
			return s.runCluster(cmd.Context(), &p, o)
		},
	}
	cmd.PersistentFlags().StringVar(&o.Dir, "dir", filepath.Join(".wrangler", "cluster"),
		"folder for the bucket, the nodes and their logs")
	f := cmd.Flags()
	f.IntVar(&o.Nodes, "nodes", 3, "how many nodes")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8787",
		"address of the cluster, host:port; the nodes use the ports after it")
	f.StringVar(&s.envFile, "env-file", "", "file with secrets and variables, lines NAME=value")
	f.BoolVar(&s.noBuild, "no-build", false, "serve the existing build")
	f.StringVar(&s.options.Workerd, "workerd", "",
		"workerd's program (default: in the project's node_modules, or else on PATH)")
	f.DurationVar(&s.options.StopTimeout, "stop-timeout", 8*time.Second,
		"time that a stopping node has to hand over its objects")
	f.BoolVar(&s.options.PrivateNetwork, "private-network", false,
		"let fetch reach private addresses, including those of this machine")
	f.BoolVarP(&p.verbose, "verbose", "x", false, "print the commands")
	addEnv(cmd, &p.env, "the config's environment to serve (default: the top level)")
	for _, action := range [][2]string{
		{"kill", "Kill a node with SIGKILL"},
		{"stop", "Stop a node after it has handed over its objects"},
		{"pause", "Pause a node (SIGSTOP)"},
		{"resume", "Continue a paused node"},
		{"restart", "Start a node, after stopping it if it runs"},
	} {
		cmd.AddCommand(newClusterAction(action[0], action[1], &o.Dir))
	}
	cmd.AddCommand(newClusterStatus(&o.Dir))
	return cmd
}

func newClusterAction(name, short string, dir *string) *cobra.Command {
	return &cobra.Command{
		Use:     name + " node",
		Short:   short,
		Example: "  capdo cluster " + name + " 2",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := localcluster.Command(cmd.Context(), *dir, "POST", "/"+name+"/"+args[0])
			return err
		},
	}
}

func newClusterStatus(dir *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the nodes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := localcluster.Command(cmd.Context(), *dir, "GET", "/status")
			if err != nil {
				return err
			}
			var nodes []localcluster.NodeStatus
			if err := json.Unmarshal(b, &nodes); err != nil {
				return err
			}
			if asJSON {
				return printJSON(os.Stdout, nodes)
			}
			return printNodes(os.Stdout, nodes)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the nodes as JSON")
	return cmd
}

// runCluster runs nodes until ctx ends.
func (s *serve) runCluster(ctx context.Context, p *project, o localcluster.Options) error {
	if o.Nodes < 1 || o.Nodes > 20 {
		return fmt.Errorf("--nodes is %d"+
			"\nhint: use 1 to 20; each node is a process with the whole program", o.Nodes)
	}
	config, err := p.config(ctx)
	if err != nil {
		return err
	}
	s.options.Listen, s.logFormat = o.Listen, "text"
	if err := s.take(p, config); err != nil {
		return err
	}
	if err := s.build(ctx, p, config); err != nil {
		return err
	}
	if err := absolute(&o.Dir); err != nil {
		return err
	}
	if o.Program, err = buildS3Server(ctx); err != nil {
		return err
	}
	if err := emptyDir(o.Dir); err != nil {
		return err
	}
	o.Node = s.options
	c, err := localcluster.Start(ctx, o)
	if err != nil {
		return err
	}
	defer c.Stop()
	if err := c.Control(ctx); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d nodes serve at http://%s; logs are in %s\n",
		o.Nodes, o.Listen, o.Dir)
	watchNodes(ctx, c, os.Stdout)
	return nil
}

// buildS3Server shows progress, because the build takes a minute.
func buildS3Server(ctx context.Context) (string, error) {
	done := func() {}
	defer func() { done() }()
	return s3server.Build(ctx, func() {
		done = progress(os.Stderr, "building versitygw, an S3-compatible server (once, a minute)")
	})
}

// emptyDir removes the files of an earlier cluster, because a cluster has a new
// key each time. It fails if the folder contains other files.
func emptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("%w\nhint: choose another folder with --dir", err)
	}
	for _, e := range entries {
		if name := e.Name(); name != "bucket" && name != "control" && name != ".gitignore" &&
			!strings.HasPrefix(name, "node") {
			return fmt.Errorf("%s contains %s, which does not belong to a cluster"+
				"\nhint: choose another folder with --dir", dir, name)
		}
	}
	if _, err := localcluster.Command(context.Background(), dir, "GET", "/status"); err == nil {
		return fmt.Errorf("another cluster runs in %s"+
			"\nhint: stop that cluster, or choose another folder with --dir", dir)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*\n"), 0o644)
}

// watchNodes shows the nodes until ctx ends. On a terminal it updates one
// table; elsewhere it prints a table after each change of a state.
func watchNodes(ctx context.Context, c *localcluster.Cluster, f *os.File) {
	live := isTerminal(f)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	lines := 0
	for {
		var text strings.Builder
		printNodes(&text, c.Status())
		if live && lines > 0 {
			fmt.Fprintf(f, "\033[%dA\033[J", lines)
		}
		io.WriteString(f, text.String())
		lines = strings.Count(text.String(), "\n")
		if !live {
			tick.Stop()
		}
		select {
		case <-tick.C:
		case <-c.Changed():
		case <-ctx.Done():
			return
		}
	}
}

func printNodes(w io.Writer, nodes []localcluster.NodeStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NODE\tURL\tSTATE\tFOR\tOBJECTS\tREQUESTS\tFAILED")
	for _, n := range nodes {
		fmt.Fprintf(t, "%d\t%s\t%s\t%v\t%d\t%d\t%d\n", n.Node, n.URL, n.State,
			time.Duration(n.Seconds)*time.Second, n.Objects, n.Requests, n.Failed)
	}
	return t.Flush()
}
