package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/node"
)

// tool is a project's wrangler, and the Node.js that runs it.
type tool struct {
	node, script string
	verbose      bool
	hold         []*os.File // stay open until all its processes have ended
	env          []string   // environment variables for it
}

// find finds wrangler and Node.js in dir or a folder above it.
func (t *tool) find(dir string) (err error) {
	if t.script, err = node.Module(dir, "wrangler/bin/wrangler.js"); err != nil {
		return err
	}
	t.node, err = node.Find(dir)
	return err
}

// quiet disables wrangler's metrics, error reports, banner, prompts and the
// fetch of Request.cf. The user's own environment takes precedence.
var quiet = []string{
	"WRANGLER_SEND_METRICS=false",
	"WRANGLER_SEND_ERROR_REPORTS=false",
	"WRANGLER_HIDE_BANNER=true", // the banner looks for updates
	"WRANGLER_NO_SKILLS_UPDATE_PROMPTS=true",
	"CLOUDFLARE_CF_FETCH_ENABLED=false", // Request.cf is a placeholder
}

// run runs wrangler in a folder until ctx ends or wrangler ends, and returns
// its exit status. When ctx ends, it interrupts wrangler. All of wrangler's
// processes end, even if capdo is killed. wrangler has a separate process
// group, so that a Ctrl-C in the terminal reaches it only once, through ctx.
func (t *tool) run(ctx context.Context, dir string, args ...string) error {
	group, err := newGroup(t.hold...)
	if err != nil {
		return err
	}
	defer group.kill()
	cmd := exec.CommandContext(ctx, t.node, append([]string{t.script}, args...)...)
	cmd.Dir = dir
	cmd.Env = slices.Concat(quiet, os.Environ(), t.env)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	group.adopt(cmd)
	if t.verbose {
		logf("cd %s && %s", dir, build.CommandLine(cmd.Args))
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		return exitStatus(max(code, 1))
	}
	return nil
}

// logf prints a command that is run.
func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
