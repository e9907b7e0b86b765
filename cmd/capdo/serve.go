package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"flow.internal/capdo/internal/node"
	"flow.internal/capdo/internal/selfhost"
	"flow.internal/capdo/internal/wrangler"
	"github.com/spf13/cobra"
)

// serve holds the flags of capdo serve.
type serve struct {
	options   selfhost.Options
	cluster   selfhost.Cluster
	envFile   string
	keyFile   string
	logFormat string
	noBuild   bool
	print     bool
}

func newServe() *cobra.Command {
	var p project
	var s serve
	cmd := &cobra.Command{
		Use:   "serve [dir or config]",
		Short: "Run a program on your own machine, alone or in a cluster",
		Long: `Serve builds the program in dir (default: the current folder) like capdo build,
and runs it on workerd until it gets SIGTERM or SIGINT. It stores objects in the
data folder, which only one process at a time can use. With --no-build it serves
the existing build, and needs neither Go nor Node.js.

Secrets come from the lines NAME=value of --env-file. They override the config's
vars. Only this machine can reach the default address. /healthz (workerd
answers) and /readyz (ready for new requests) have a separate address.

With --cluster, processes on several machines serve together, in workerd's
experimental cluster mode. They share an S3-compatible bucket and a secret key.
The bucket's credentials come from $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY,
or from --credentials-file, which is read again when it changes. Traffic between
nodes is not encrypted, so --advertise must be an address of a private network.

docs/self-hosting.md describes backup, upgrades, TLS and monitoring.`,
		Example: `  capdo serve --data /var/lib/ledger --env-file /etc/ledger/env
  capdo serve --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
  capdo serve --no-build --data /data --cluster s3://objects/ledger \
    --advertise 10.0.0.7:7000 --key-file /run/secrets/cluster-key
  capdo serve --print-config`,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.takeArg(cmd, args); err != nil {
				return err
			}
			return s.run(cmd.Context(), &p)
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.options.Listen, "listen", "127.0.0.1:8787", "address to serve at, host:port")
	f.StringVar(&s.options.Data, "data", "", "folder for objects (default data beside the config)")
	f.StringVar(&s.envFile, "env-file", "", "file with secrets and variables, lines NAME=value")
	f.StringVar(&s.options.Health, "health", "127.0.0.1:8788",
		"address of /healthz and /readyz; empty for none")
	f.StringVar(&s.options.TLSCert, "tls-cert", "",
		"PEM file with the certificate and its chain, to serve https")
	f.StringVar(&s.options.TLSKey, "tls-key", "", "PEM file with the certificate's key")
	f.BoolVar(&s.options.BehindProxy, "behind-proxy", false,
		"trust X-Forwarded-Proto, from a proxy that terminates TLS")
	f.BoolVar(&s.options.PrivateNetwork, "private-network", false,
		"let fetch reach private addresses, including those of this machine")
	f.DurationVar(&s.options.StopTimeout, "stop-timeout", 8*time.Second,
		"on shutdown, time to finish open requests and to hand over objects")
	f.StringVar(&s.logFormat, "log-format", "auto", "json, text, or auto: text on a terminal")
	f.BoolVar(&s.noBuild, "no-build", false, "serve the existing build")
	f.BoolVar(&s.print, "print-config", false, "print workerd's config and exit")
	f.StringVar(&s.options.Workerd, "workerd", "",
		"workerd's program (default: in the project's node_modules, or else on PATH)")
	f.StringVar(&s.cluster.Bucket, "cluster", "",
		"join the cluster with this bucket, s3://bucket/prefix")
	f.StringVar(&s.cluster.Advertise, "advertise", "",
		"host:port at which the other nodes reach this one")
	f.StringVar(&s.cluster.Listen, "cluster-listen", "",
		"host:port for the other nodes (default --advertise)")
	f.StringVar(&s.keyFile, "key-file", "", "file with the cluster's secret key, 32 bytes or more")
	f.StringVar(&s.cluster.Endpoint, "endpoint", "",
		"URL of the S3-compatible server (default $AWS_ENDPOINT_URL)")
	f.StringVar(&s.cluster.Region, "region", "", "region of the bucket (default $AWS_REGION)")
	f.StringVar(&s.cluster.CredentialsFile, "credentials-file", "",
		"file with lines AWS_ACCESS_KEY_ID=, AWS_SECRET_ACCESS_KEY= and AWS_SESSION_TOKEN=")
	f.IntVar(&s.cluster.TimeDivisor, "unsafe-time-divisor", 1, "")
	f.MarkHidden("unsafe-time-divisor")
	addEnv(cmd, &p.env, "the config's environment to serve (default: the top level)")
	cmd.Flags().BoolVarP(&p.verbose, "verbose", "x", false, "print the commands")
	return cmd
}

// run serves until ctx ends.
func (s *serve) run(ctx context.Context, p *project) error {
	config, err := p.config(ctx)
	if err != nil {
		return err
	}
	if err := s.take(p, config); err != nil {
		return err
	}
	if s.print {
		text, err := s.options.Shown()
		if err == nil {
			_, err = io.WriteString(os.Stdout, text)
		}
		return err
	}
	if err := s.build(ctx, p, config); err != nil {
		return err
	}
	err = selfhost.Run(ctx, &s.options, s.logger(), os.Stderr)
	return s.report(ctx, err)
}

// report reports why serving ended, even if it was asked to end. If the log is
// JSON, the report is a line of the log.
func (s *serve) report(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case s.options.JSONLogs:
		message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
		s.logger().Error(message, "hint", hint)
	case ctx.Err() != nil:
		printError(os.Stderr, err)
	default:
		return err
	}
	return exitStatus(1)
}

// take sets the options from flags, files and the config.
func (s *serve) take(p *project, config *wrangler.Config) (err error) {
	o := &s.options
	if err := config.Unserved(); err != nil {
		return err
	}
	if config.CompatibilityDate == "" {
		return fmt.Errorf("%s has no compatibility_date"+
			"\nhint: capdo check lists what a config needs", config.Path)
	}
	o.Config = config
	o.JSONLogs = s.logFormat == "json" || s.logFormat == "auto" && !isTerminal(os.Stderr)
	if s.logFormat != "json" && s.logFormat != "text" && s.logFormat != "auto" {
		return fmt.Errorf("--log-format is %q\nhint: use json, text or auto", s.logFormat)
	}
	if o.Data == "" {
		o.Data = filepath.Join(filepath.Dir(config.Path), "data")
	}
	for _, path := range []*string{&o.Data, &o.TLSCert, &o.TLSKey, &s.cluster.CredentialsFile} {
		if err := absolute(path); err != nil {
			return err
		}
	}
	if o.Build, err = filepath.Abs(config.Out()); err != nil {
		return err
	}
	if o.Workerd, err = findWorkerd(p.dir, o.Workerd); err != nil {
		return err
	}
	for _, a := range [][2]string{{"--listen", o.Listen}, {"--health", o.Health}} {
		if err := checkHostPort(a[0], a[1]); err != nil {
			return err
		}
	}
	if err := s.takeTLS(); err != nil {
		return err
	}
	if s.envFile != "" {
		if o.Secrets, err = selfhost.ReadEnvFile(s.envFile); err != nil {
			return err
		}
	}
	return s.takeCluster()
}

func absolute(path *string) (err error) {
	if *path != "" {
		*path, err = filepath.Abs(*path)
	}
	return err
}

// findWorkerd prefers the flag, then the project's workerd, then the one on
// PATH.
func findWorkerd(dir, flag string) (string, error) {
	if flag != "" {
		return exec.LookPath(flag)
	}
	path, err := node.Workerd(dir)
	if err == nil {
		return filepath.Abs(path)
	}
	if path, lookErr := exec.LookPath("workerd"); lookErr == nil {
		return path, nil
	}
	return "", fmt.Errorf("%w\nhint: or set --workerd to the program", err)
}

func checkHostPort(flag, address string) error {
	if address == "" && flag == "--health" {
		return nil
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return fmt.Errorf("%s is %q"+
			"\nhint: use host:port, such as 127.0.0.1:8787, "+
			"or 0.0.0.0:8787 for all of this machine's addresses", flag, address)
	}
	return nil
}

func (s *serve) takeTLS() error {
	o := &s.options
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return errors.New("--tls-cert and --tls-key go together\nhint: give both, or neither")
	}
	if o.TLSCert == "" {
		return nil
	}
	return selfhost.CheckKeyPair(o.TLSCert, o.TLSKey)
}

// takeCluster sets the options of a node.
func (s *serve) takeCluster() error {
	c := &s.cluster
	if c.Bucket == "" {
		for flag, value := range map[string]string{"--advertise": c.Advertise,
			"--cluster-listen": c.Listen, "--key-file": s.keyFile, "--endpoint": c.Endpoint,
			"--credentials-file": c.CredentialsFile} {
			if value != "" {
				return fmt.Errorf("%s is for a node of a cluster"+
					"\nhint: set the cluster's bucket with --cluster s3://bucket/prefix", flag)
			}
		}
		return nil
	}
	if s.keyFile == "" || c.Advertise == "" {
		return errors.New("--cluster needs --advertise and --key-file" +
			"\nhint: --advertise is this node's address on the private network, " +
			"such as 10.0.0.7:7000; make a key with: openssl rand -hex 32 > key")
	}
	if c.Listen == "" {
		c.Listen = c.Advertise
	}
	for _, a := range [][2]string{{"--advertise", c.Advertise}, {"--cluster-listen", c.Listen}} {
		if err := checkHostPort(a[0], a[1]); err != nil {
			return err
		}
	}
	if err := c.Check(); err != nil {
		return err
	}
	var err error
	if c.Key, err = selfhost.ReadKey(s.keyFile); err != nil {
		return err
	}
	s.options.Cluster = c
	return nil
}

// build builds the program, unless --no-build is set.
func (s *serve) build(ctx context.Context, p *project, config *wrangler.Config) error {
	entry := filepath.Join(config.Out(), "entry.mjs")
	if s.noBuild {
		if _, err := os.Stat(entry); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no build: %s is missing"+
				"\nhint: run capdo build first, or leave --no-build out", entry)
		}
		return nil
	}
	r, err := p.build(ctx)
	if _, there := os.Stat(entry); err != nil && there == nil &&
		!errors.As(err, new(problemsError)) {
		return fmt.Errorf("%w\nhint: --no-build serves the existing build", err)
	}
	if err != nil {
		return err
	}
	printProblems(os.Stderr, r.Problems)
	return nil
}

// logger returns the logger for capdo's own messages.
func (s *serve) logger() *slog.Logger {
	if s.options.JSONLogs {
		return slog.New(slog.NewJSONHandler(os.Stderr, nil))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{ReplaceAttr: func(
		_ []string, a slog.Attr,
	) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.StringValue(a.Value.Time().Format(time.TimeOnly))
		}
		return a
	}}))
}
