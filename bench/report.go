//go:build !js

package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// printTable prints the rows of a run that measured only some.
func (r *Results) printTable(w io.Writer, works []*work, peers []*peer, callers []int) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "work\tcallers\tpeer\tCPU µs\tlow\thigh\tratio\tper s\tp50 µs\tp99 µs\trequests\t")
	for _, w := range works {
		for _, n := range callers {
			for _, p := range peers {
				if row := r.row(w.Name, p.Name, n); row != nil {
					fmt.Fprintf(t, "%s\t%d\t%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.0f\t%.0f\t%.0f\t%d\t\n", w.Name, n, p.Name,
						row.CPU, row.Low, row.High, r.ratio(w.Name, p.Name, n), row.PerSecond, row.P50, row.P99, row.Requests)
				}
			}
		}
	}
	t.Flush()
}

func (r *Results) write(dir string) error { return nil }
