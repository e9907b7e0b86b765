package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/internal/opcost"
	"flow.internal/capdo/internal/price"
)

// Limits of the inputs.
const (
	maxClaims  = 1e12
	maxBuckets = 1 << 16 // dodedupe.MaxBuckets; a test compares them
	maxActive  = 15 * time.Minute
)

// costing holds the flags of capdo cost.
type costing struct {
	opcost.Workload
	plan string
	json bool
}

func newCost() *cobra.Command {
	c := costing{Workload: opcost.Workload{
		TTL: dedupe.DefaultTTL, Lease: dedupe.DefaultLease, Work: time.Second,
		Active: 10 * time.Millisecond, CPUNew: 10 * time.Millisecond, CPUDuplicate: 2 * time.Millisecond,
	}}
	cmd := &cobra.Command{
		Use:   "cost --claims N",
		Short: "Estimate what a ledger costs at Cloudflare",
		Long: `Cost estimates the usage of a month of claims, and what Cloudflare bills for it.
It uses the rows and requests of docs/cost.md, which tests measure, and
Cloudflare's prices as published on the dates that it prints. It needs no
network.

It prints its assumptions. They include: each key is claimed, completed, and
removed by its own alarm, which is the most expensive case; an object is active
for --active per request, with 128 MB, which was not measured at Cloudflare; the
account uses nothing else. An object per key (PerKey) costs more than Buckets(n)
if keys live long. Buckets(n) writes more rows.`,
		Example: `  capdo cost --claims 10M
  capdo cost --claims 10M --duplicates 5% --ttl 7d --mapping 'Buckets(16)'
  capdo cost --claims 50k --plan free
  capdo cost --claims 10M --plan paid --json`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.run(cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.Var((*count1)(&c.Claims), "claims", "claims a month, such as 250000, 250k or 10M (required)")
	f.Var((*share)(&c.Duplicates), "duplicates",
		"share of the claims that repeat a key, such as 0.05 or 5%")
	f.Var((*days)(&c.TTL), "ttl", "time for which a key is remembered, such as 90m or 7d")
	f.Var((*mapping)(&c.Buckets), "mapping", "PerKey, or Buckets(n) with n from 1 to 65536")
	f.IntVar(&c.Result, "result-bytes", 200, "size of a result")
	f.BoolVar(&c.OnExpired, "on-expired", false,
		"the ledger has OnExpired, which costs one more row for some operations")
	f.Var((*days)(&c.Work), "work", "time from a claim to its completion")
	f.Var((*days)(&c.Lease), "lease",
		"lease of a claim; work takes one more request for each third of the lease")
	f.Var((*days)(&c.Active), "active", "time that an object is active for a request")
	f.Var((*days)(&c.CPUNew), "cpu-new", "CPU time of the Worker for a new key")
	f.Var((*days)(&c.CPUDuplicate), "cpu-duplicate", "CPU time of the Worker for a duplicate")
	f.StringVar(&c.plan, "plan", "both", "free, paid or both")
	f.BoolVar(&c.json, "json", false, "print JSON")
	for flag, values := range map[string][]string{
		"plan":    {"free", "paid", "both"},
		"mapping": {"PerKey", "Buckets(16)"},
	} {
		cmd.RegisterFlagCompletionFunc(flag,
			cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// noArgs refuses arguments.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes no arguments, not %s"+
			"\nhint: see %[1]s --help", cmd.CommandPath(), strings.Join(args, " "))
	}
	return nil
}

// check refuses values that are not possible. The flags have refused values
// that are not numbers.
func (c *costing) check() error {
	switch {
	case c.Claims == 0:
		return fmt.Errorf("--claims is missing" +
			"\nhint: give the number of claims per month, such as --claims 10M")
	case c.Duplicates >= 1:
		return fmt.Errorf("--duplicates is the share of claims that repeat a key, " +
			"so it must be below 1 (100%%)" +
			"\nhint: if 5 of 100 claims are repetitions, it is 0.05 or 5%%")
	case c.TTL < time.Millisecond || c.TTL > dedupe.MaxTTL:
		return fmt.Errorf("--ttl is from 1ms to 3650d, not %s"+
			"\nhint: a ledger always remembers a key for some time, by default for %s",
			c.TTL, dedupe.DefaultTTL)
	case c.Result < 0 || c.Result > dedupe.MaxResultSize:
		return fmt.Errorf("--result-bytes is from 0 to %d, not %d"+
			"\nhint: a ledger refuses a larger result; store it elsewhere, "+
			"and use its key as the result", dedupe.MaxResultSize, c.Result)
	case c.Lease < time.Millisecond || c.Lease > dedupe.MaxLease:
		return fmt.Errorf("--lease is from 1ms to %s, not %s", dedupe.MaxLease, c.Lease)
	case c.Work > dedupe.MaxTTL:
		return fmt.Errorf("--work is at most 3650d, not %s", c.Work)
	case max(c.Active, c.CPUNew, c.CPUDuplicate) > maxActive:
		return fmt.Errorf("--active, --cpu-new and --cpu-duplicate are at most %s"+
			"\nhint: they are times for one request, such as 10ms", maxActive)
	case c.plan != "free" && c.plan != "paid" && c.plan != "both":
		return fmt.Errorf("--plan %s is unknown\nhint: use free, paid or both", c.plan)
	}
	return nil
}

// costReport is the output of capdo cost.
type costReport struct {
	Workload struct {
		opcost.Workload
		TTL          string `json:"ttl"`
		Mapping      string `json:"mapping"`
		Work         string `json:"work"`
		Lease        string `json:"lease"`
		Active       string `json:"active_per_object_request"`
		CPUNew       string `json:"cpu_per_new_key"`
		CPUDuplicate string `json:"cpu_per_duplicate"`
	} `json:"workload"`
	Month       opcost.Estimate `json:"month"`
	Paid        *price.Bill     `json:"paid,omitempty"`
	Free        []price.Limit   `json:"free,omitempty"`
	FreeIsOver  []string        `json:"free_exceeded,omitempty"`
	Prices      []price.Source  `json:"prices"`
	Assumptions []string        `json:"assumptions"`
	Warnings    []string        `json:"warnings,omitempty"`
}

func (c *costing) run(w io.Writer) error {
	if err := c.check(); err != nil {
		return err
	}
	r := c.report()
	if c.json {
		return printJSON(w, r)
	}
	return r.print(w)
}

func (c *costing) report() *costReport {
	r := &costReport{Month: c.Estimate(), Prices: price.Sources}
	r.Workload.Workload = c.Workload
	r.Workload.TTL, r.Workload.Mapping = (*days)(&c.TTL).String(), (*mapping)(&c.Buckets).String()
	r.Workload.Work, r.Workload.Lease = (*days)(&c.Work).String(), (*days)(&c.Lease).String()
	r.Workload.Active = c.Active.String()
	r.Workload.CPUNew, r.Workload.CPUDuplicate = c.CPUNew.String(), c.CPUDuplicate.String()
	r.Assumptions, r.Warnings = c.assumptions(), c.Warnings(r.Month)
	if c.plan != "free" {
		bill := price.Paid(r.Month.Usage)
		r.Paid = &bill
	}
	if c.plan == "paid" {
		return r
	}
	r.Free = price.Free(r.Month.Usage)
	for _, l := range r.Free {
		if l.Exceeded {
			r.FreeIsOver = append(r.FreeIsOver, l.Name)
		}
	}
	if max(c.CPUNew, c.CPUDuplicate) > price.FreeCPU*time.Millisecond {
		r.FreeIsOver = append(r.FreeIsOver, "CPU time of a request")
	}
	return r
}

func (c *costing) assumptions() []string {
	a := []string{
		"a month has 30 days, and its claims are spread evenly",
		"each claim is a request to the Worker; a duplicate comes after the key is completed",
		"each key is removed by its own alarm; in reality, keys that are due together share one",
		fmt.Sprintf("an object is active for %s for a request, with 128 MB: "+
			"not measured at Cloudflare", c.Active),
		fmt.Sprintf("CPU time is %s for a new key and %s for a duplicate: "+
			"the defaults are about the total that local workerd used", c.CPUNew, c.CPUDuplicate),
		"nothing else in the account uses the included amounts",
	}
	if c.Buckets == 0 {
		return append(a,
			fmt.Sprintf("an object of one key is a database of %d KiB, as measured in local workerd on 2026-11-26", int(opcost.SizeOfKey(c.Result))>>10),
			"the deletion of a whole object (deleteAll) counts no rows")
	}
	return append(a, fmt.Sprintf("a key takes %s bytes in a bucket with its result, about as measured in local workerd on 2026-11-26",
		grouped(math.Round(opcost.SizeInBucket(c.Result)))))
}

// print writes the report for people to read.
func (r *costReport) print(w io.Writer) error {
	fmt.Fprintf(w, "%s claims a month, %s of them duplicates; %s, TTL %s, results of %s bytes\n",
		grouped(r.Workload.Claims), (*share)(&r.Workload.Duplicates),
		r.Workload.Mapping, r.Workload.TTL, grouped(float64(r.Workload.Result)))
	fmt.Fprintf(w, "%s new keys, %s duplicates, %s alarms; %s keys at a time\n",
		grouped(r.Month.New), grouped(r.Month.Duplicates),
		grouped(r.Month.Alarms), grouped(r.Month.Live))
	if r.Paid != nil {
		r.printPaid(w)
	}
	if r.Free != nil {
		r.printFree(w)
	}
	fmt.Fprintln(w, "\nAssumed:")
	for _, a := range r.Assumptions {
		fmt.Fprintln(w, "- "+a)
	}
	fmt.Fprintln(w, "\nPrices, before tax:")
	for _, s := range r.Prices {
		fmt.Fprintf(w, "- %s, as of %s\n", s.URL, s.Date)
	}
	for _, text := range r.Warnings {
		fmt.Fprintln(w, "\nwarning: "+text)
	}
	return nil
}

func (r *costReport) printPaid(w io.Writer) {
	rows := [][]string{{"Workers Paid, a month", "used", "included", "billed", "price", "dollars"}}
	for _, l := range r.Paid.Lines {
		rows = append(rows, []string{
			withUnit(l.Name, l.Unit), amount(l.Amount), amount(l.Included), amount(l.Billed),
			priced(l), fmt.Sprintf("%.2f", l.Dollars),
		})
	}
	rows = append(rows,
		[]string{"subscription", "", "", "", "", fmt.Sprintf("%.2f", r.Paid.Subscription)},
		[]string{"total", "", "", "", "", fmt.Sprintf("%.2f", r.Paid.Total)})
	fmt.Fprintln(w)
	printTable(w, rows)
}

func (r *costReport) printFree(w io.Writer) {
	rows := [][]string{{"Workers Free, a day", "used", "limit", ""}}
	for _, l := range r.Free {
		name, over := withUnit(l.Name, l.Unit), "fits"
		if !l.Daily {
			name += ", at a time"
		}
		if l.Exceeded {
			over = "exceeded"
		}
		rows = append(rows, []string{name, amount(l.Amount), amount(l.Limit), over})
	}
	fmt.Fprintln(w)
	printTable(w, rows)
	if len(r.FreeIsOver) == 0 {
		fmt.Fprintln(w, "Workers Free suffices.")
		return
	}
	fmt.Fprintf(w, "Workers Free does not suffice: %s. Operations beyond a limit fail.\n",
		strings.Join(r.FreeIsOver, ", "))
}

func withUnit(name, unit string) string {
	if unit == "" {
		return name
	}
	return name + " (" + unit + ")"
}

// priced returns a price for a unit, as in $0.30/million.
func priced(l price.Line) string {
	digits := 2
	if l.Price < 0.01 {
		digits = 3
	}
	unit := l.Unit
	if l.Per > 1 {
		unit = "million"
	}
	return "$" + strconv.FormatFloat(l.Price, 'f', digits, 64) + "/" + unit
}
