package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	pprof "github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"flow.internal/capdo/internal/profile"
)

// inspectorPort is the default port for the inspector of capdo dev --profile
// and capdo profile.
const inspectorPort = 9229

// These are the limits of a recording.
const minSeconds, maxSeconds = 1, 600

func newProfile() *cobra.Command {
	var r recording
	cmd := &cobra.Command{
		Use:   "profile [dir or config]",
		Short: "Record a CPU profile of a Worker, for go tool pprof",
		Long: `Profile records the CPU use of a Worker on this machine, in Go and in
JavaScript, and writes a file for go tool pprof, which can show it as a flame
graph. Send the Worker requests during the recording.

The Worker must be built with the names of its functions: serve it with
capdo dev --profile in another terminal. The names come from app.wasm in dir
(default: the current folder). You can also record a program that was built with
capdo build --profile and runs under workerd serve --inspector-addr=HOST:PORT.

If a goroutine has waited, its stack begins with the function that waited; the
callers of that function are missing. "(program)" is the time of workerd itself,
"(native)" that of its functions in C++. entry.js is the JavaScript that wrangler
bundles from the build folder. Its functions include calls to objects. Idle time
is left out, so without requests the profile is empty.`,
		Example: `  capdo dev --profile                             in one terminal
  capdo profile --seconds 20 -o cpu.pprof         in another one, with load on
  go tool pprof -http=127.0.0.1:8080 cpu.pprof    the flame graph`,
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			var p project
			if err := p.takeArg(cmd, args); err != nil {
				return err
			}
			return r.run(cmd.Context(), &p)
		},
	}
	addPlace(cmd)
	cmd.Flags().IntVar(&r.seconds, "seconds", 10, "how long to record; Ctrl-C ends it earlier")
	cmd.Flags().StringVarP(&r.out, "output", "o", "cpu.pprof", "file to write")
	cmd.Flags().StringVar(&r.inspector, "inspector", "127.0.0.1:"+strconv.Itoa(inspectorPort),
		"address of the Worker's inspector")
	return cmd
}

// recording holds the flags of capdo profile.
type recording struct {
	seconds   int
	out       string
	inspector string
}

// run records and writes a profile, and prints the functions that used most
// CPU.
func (r *recording) run(ctx context.Context, p *project) error {
	if r.seconds < minSeconds || r.seconds > maxSeconds {
		return fmt.Errorf("--seconds can be %d to %d, not %d", minSeconds, maxSeconds, r.seconds)
	}
	names, err := p.functionNames(ctx)
	if err != nil {
		return err
	}
	// Create the file first, so that a failure does not waste a recording.
	f, err := os.CreateTemp(filepath.Dir(r.out), ".capdo-*")
	if err != nil {
		return fmt.Errorf("cannot write %s: %w\nhint: choose another file with -o", r.out, err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	cpu, err := r.record(ctx)
	if err != nil {
		return err
	}
	result := profile.Convert(cpu, names)
	if len(result.Sample) == 0 {
		return errors.New("the Worker used no CPU during the recording" +
			"\nhint: send it requests while capdo profile records")
	}
	if err := errors.Join(result.Write(f), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), r.out); err != nil {
		return err
	}
	printProfile(os.Stdout, result)
	fmt.Fprintf(os.Stdout, "\n%s: open it with go tool pprof -http=127.0.0.1:8080 %[1]s\n", r.out)
	return nil
}

// functionNames reads the names of functions in a profile from the build.
func (p *project) functionNames(ctx context.Context) (map[string]string, error) {
	c, err := p.config(ctx)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(c.Out(), "app.wasm")
	wasm, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w\nhint: serve it with capdo dev --profile", err)
	}
	names, err := profile.Names(wasm)
	if err != nil {
		return nil, fmt.Errorf("%s: %w"+
			"\nhint: serve it with capdo dev --profile, or build it with capdo build --profile",
			file, err)
	}
	return names, nil
}

// record records until time is up or ctx ends, and returns the profile.
func (r *recording) record(ctx context.Context) (*profile.CPU, error) {
	s, err := profile.Connect(ctx, r.inspector)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if err := s.Start(ctx); err != nil {
		return nil, err
	}
	done := progress(os.Stderr, fmt.Sprintf("recording for %d s", r.seconds))
	select {
	case <-time.After(time.Duration(r.seconds) * time.Second):
	case <-ctx.Done():
	}
	done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	return s.Stop(stop)
}

// shown is the number of functions that are printed.
const shown = 15

// printProfile prints the functions that used most CPU themselves.
func printProfile(w io.Writer, p *pprof.Profile) {
	self, total := map[string]int64{}, int64(0)
	for _, s := range p.Sample {
		if len(s.Location) > 0 {
			self[s.Location[0].Line[0].Function.Name] += s.Value[1]
		}
		total += s.Value[1]
	}
	var names []string
	for name := range self {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(self[b] - self[a]) })
	fmt.Fprintf(w, "%.1f s of CPU in %.1f s; by function, without the functions that it calls:\n",
		float64(total)/1e9, float64(p.DurationNanos)/1e9)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range names[:min(shown, len(names))] {
		fmt.Fprintf(t, "  %.1f %%\t%.100s\n", 100*float64(self[name])/float64(max(total, 1)), name)
	}
	t.Flush()
}
