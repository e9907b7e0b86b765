package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/spf13/cobra"

	"flow.internal/capdo/internal/loadtest"
)

// Limits of a load.
const (
	maxCallers  = 10_000
	maxRate     = 100_000
	maxDuration = time.Hour
	maxTimeout  = 10 * time.Minute
	maxBody     = 16 << 20
	maxBodies   = 1 << 30 // of the requests in flight, if each has its own body
)

// benching holds the flags of capdo bench.
type benching struct {
	request                    requestFlags
	callers, inFlight          int
	rate                       float64
	duration, warmup, timeout  time.Duration
	ok                         []string
	remote, json               bool
	changedCallers, changedMax bool
}

func newBench() *cobra.Command {
	var b benching
	cmd := &cobra.Command{
		Use:   "bench URL",
		Short: "Put load on a server, and measure rates and latencies",
		Long: `Bench sends requests to URL. It prints how many were answered per second, the
number of each status and of each kind of error, and the percentiles and the
histogram of the latency.

With --callers (closed loop), each caller waits for its answer before it sends
the next request. While the server stalls, such callers send nothing, so the
percentiles look better than what independent clients would see. With --rate
(open loop), requests become due at that rate, whatever the server does, and
latency counts from the time when a request was due. So the percentiles include
stalls. At most --max-in-flight requests are in flight; others wait, which is
part of their latency.

{key} in the URL, in --body and in the values of --header becomes the request's
key. --key-header sends the key as a header. Keys are new; with --duplicates,
some requests repeat an earlier key.

The exit status is 1 if a request had an error, or a status that is not in --ok.
Ctrl-C prints the results so far and ends with status 130.

Bench accepts only servers on this machine. --remote allows others: load on a
Worker costs its owner money, and may be treated as an attack.`,
		Example: `  capdo bench http://127.0.0.1:8787/ --callers 50 --duration 30s
  capdo bench http://127.0.0.1:8787/pay --rate 200 --warmup 5s --method POST \
    --body '{"amount":5}' --key-header Idempotency-Key --duplicates 5%
  capdo bench 'http://127.0.0.1:8787/orders/{key}' --rate 50 --ok 2xx,409 --json`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			b.changedCallers = cmd.Flags().Changed("callers")
			b.changedMax = cmd.Flags().Changed("max-in-flight")
			if len(args) != 1 {
				return fmt.Errorf("capdo bench takes one URL" +
					"\nhint: capdo bench http://127.0.0.1:8787/")
			}
			return b.run(cmd.Context(), args[0], cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.IntVar(&b.callers, "callers", 10, "callers in a closed loop, up to 10000")
	f.Float64Var(&b.rate, "rate", 0, "requests a second, in an open loop, up to 100000")
	f.IntVar(&b.inFlight, "max-in-flight", 1000,
		"limit of requests in flight with --rate, up to 10000")
	f.DurationVar(&b.duration, "duration", 10*time.Second, "how long to send, up to 1h")
	f.DurationVar(&b.warmup, "warmup", 0, "how long to send before that, without counting")
	f.DurationVar(&b.timeout, "timeout", 30*time.Second, "time limit of a request, up to 10m")
	f.StringVar(&b.request.method, "method", "", "method (default GET, or POST with a body)")
	f.StringVar(&b.request.body, "body", "", "body of each request")
	f.StringVar(&b.request.bodyFile, "body-file", "",
		"file with the body of each request, up to 16 MiB")
	f.StringArrayVarP(&b.request.headers, "header", "H", nil,
		"header 'Name: value'; can be repeated")
	f.StringVar(&b.request.keyHeader, "key-header", "",
		"header with the request's key, such as Idempotency-Key")
	f.StringVar(&b.request.keys.Template, "key", "{run}-{n}",
		"template of keys: {n} is a number, {run} differs in each run")
	f.Var((*share)(&b.request.keys.Duplicates), "duplicates",
		"share of requests that repeat an earlier key, such as 0.05 or 5%")
	f.StringSliceVar(&b.ok, "ok", []string{"2xx"},
		"statuses that are not failures, such as 2xx,409")
	f.BoolVar(&b.remote, "remote", false, "allow a server that is not on this machine")
	f.BoolVar(&b.json, "json", false, "print JSON")
	return cmd
}

func (b *benching) check() error {
	switch {
	case b.rate != 0 && b.changedCallers:
		return fmt.Errorf("--callers and --rate exclude each other" +
			"\nhint: --rate sends at a fixed rate (open loop), " +
			"--callers as fast as answers arrive (closed loop)")
	case b.rate == 0 && b.changedMax:
		return fmt.Errorf("--max-in-flight is for --rate" +
			"\nhint: with --callers, each caller has one request in flight")
	case b.callers < 1 || b.callers > maxCallers:
		return fmt.Errorf("--callers is from 1 to %d, not %d", maxCallers, b.callers)
	case !(b.rate >= 0 && b.rate <= maxRate):
		return fmt.Errorf("--rate is up to %d requests a second, not %g", maxRate, b.rate)
	case b.rate > 0 && b.rate*b.duration.Seconds() < 1:
		return fmt.Errorf("--rate %g is less than one request in %s"+
			"\nhint: raise --rate or --duration", b.rate, b.duration)
	case b.inFlight < 1 || b.inFlight > maxCallers:
		return fmt.Errorf("--max-in-flight is from 1 to %d, not %d", maxCallers, b.inFlight)
	case b.duration <= 0 || b.duration > maxDuration:
		return fmt.Errorf("--duration is up to %s, not %s", maxDuration, b.duration)
	case b.warmup < 0 || b.warmup > maxDuration:
		return fmt.Errorf("--warmup is up to %s, not %s", maxDuration, b.warmup)
	case b.timeout <= 0 || b.timeout > maxTimeout:
		return fmt.Errorf("--timeout is up to %s, not %s", maxTimeout, b.timeout)
	}
	return nil
}

func (b *benching) run(ctx context.Context, url string, w io.Writer) error {
	if err := b.check(); err != nil {
		return err
	}
	isOK, err := parseStatuses(b.ok)
	if err != nil {
		return err
	}
	b.request.keys.Run = rand.Text()[:8]
	connections := b.callers
	if b.rate > 0 {
		connections = b.inFlight
	}
	request, err := b.request.build(url, b.remote, connections)
	if err != nil {
		return err
	}
	client, done := benchClient(connections)
	defer done()
	result := loadtest.Run(ctx, loadtest.Options{
		Request: request, Client: client,
		Callers: b.callers, Rate: b.rate, MaxInFlight: b.inFlight,
		Warmup: b.warmup, Duration: b.duration, Timeout: b.timeout,
		Progress: printProgress,
	})
	r := b.report(url, result, isOK)
	if b.json {
		err = printJSON(w, r)
	} else {
		r.print(w)
	}
	if err != nil {
		return err
	}
	return r.failed()
}

// printProgress writes one line per second to stderr.
func printProgress(p loadtest.Progress) {
	if p.Warmup {
		fmt.Fprintf(os.Stderr, "%.0f s: warmup, %d in flight\n", p.Elapsed.Seconds(), p.InFlight)
		return
	}
	fmt.Fprintf(os.Stderr, "%.0f s: %s requests, %s errors, %d in flight\n",
		p.Elapsed.Seconds(), grouped(float64(p.Counted)), grouped(float64(p.Errors)), p.InFlight)
}

// milliseconds returns a duration in ms with three decimal places.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
