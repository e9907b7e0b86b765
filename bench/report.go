//go:build !js

package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// printTable prints the rows of a run that measured only a part.
func (r *Results) printTable(w io.Writer, works []*work, peers []*peer, callers []int) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "work\tcallers\tpeer\tCPU µs\tlow\thigh\tratio\tper s\tp50 µs\tp99 µs\trequests\t")
	for _, w := range works {
		for _, n := range callers {
			for _, p := range peers {
				if row := r.row(w.Name, p.Name, n); row != nil {
					fmt.Fprintf(t, "%s\t%d\t%s\t%.0f\t%.0f\t%.0f\t%.2f\t%.0f\t%.0f\t%.0f\t%d\t\n", w.Name, n, p.Name,
						row.CPU, row.Low, row.High, r.ratio(w.Name, p.Name, n), row.PerSecond,
						row.P50, row.P99, row.Requests)
				}
			}
		}
	}
	t.Flush()
}

// write writes RESULTS.md and the folder results.
func (r *Results) write(dir string) error {
	results := filepath.Join(dir, "results")
	if err := os.MkdirAll(results, 0o755); err != nil {
		return err
	}
	files := map[string][]byte{
		filepath.Join(dir, "RESULTS.md"):       r.markdown(),
		filepath.Join(results, "requests.csv"): r.requestsCSV(),
	}
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	files[filepath.Join(results, "results.json")] = append(b, '\n')
	for _, c := range r.charts() {
		files[filepath.Join(results, c.name+".svg")] = c.svg()
		files[filepath.Join(results, c.name+".csv")] = c.csv()
	}
	return writeFiles(files)
}

// readResults reads the results that write has written.
func readResults(dir string) (*Results, error) {
	r := &Results{}
	return r, readJSON(filepath.Join(dir, "results", "results.json"), r)
}

func writeFiles(files map[string][]byte) error {
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func readJSON(name string, v any) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

func (r *Results) requestsCSV() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write([]string{"work", "callers", "peer", "requests", "cpu_us", "cpu_us_low", "cpu_us_high",
		"cpu_ratio", "per_second", "p50_us", "p99_us"})
	for _, row := range r.Requests {
		record := []string{row.Work, strconv.Itoa(row.Callers), row.Peer,
			strconv.Itoa(row.Requests)}
		for _, v := range []float64{row.CPU, row.Low, row.High,
			r.ratio(row.Work, row.Peer, row.Callers), row.PerSecond, row.P50, row.P99} {
			record = append(record, strconv.FormatFloat(v, 'f', 2, 64))
		}
		w.Write(record)
	}
	w.Flush()
	return b.Bytes()
}

// paragraph formats text in lines of at most 80 characters.
func paragraph(format string, args ...any) string {
	var b strings.Builder
	width := 0
	for _, word := range strings.Fields(fmt.Sprintf(format, args...)) {
		n := utf8.RuneCountInString(word)
		switch {
		case width == 0:
		case width+1+n > 80:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += n
	}
	return b.String()
}

// markdown returns the content of RESULTS.md.
func (r *Results) markdown() []byte {
	var b bytes.Buffer
	how := "`make bench`"
	if r.Quick {
		how = "`make bench-quick` (its figures vary more)"
	}
	fmt.Fprintf(&b, `<!-- Written by go run ./bench. DO NOT EDIT. -->
# What a request costs

%s

Five programs serve the same requests. Each has a separate workerd process. One
driver sends the same load to each, in rounds in which they take turns, and
checks every answer. Driver and peer share the machine. CPU is the time that the
peer's process uses per request, in user and system mode, including V8's
compiler and garbage collector. Compare the **ratios** to JavaScript over RPC,
in brackets: absolute figures depend on the machine. The range of a figure over
the rounds is in [results/requests.csv](results/requests.csv).

| peer | what it is |
|---|---|
| JavaScript, RPC | the practical limit: RPC to the object, synchronous KV |
| JavaScript, fetch + JSON | the usual way: fetch to the object, JSON, asynchronous storage |
| Go, a runtime per object | a simple port: syscall/js, and a Go program per object |
| capdo, HandleFetch | this project without net/http |
| capdo, net/http | this project with net/http |

![CPU for each kind of request, as a ratio to JavaScript over RPC](results/cpu.svg)

`, paragraph(`From one run of %s on %s, in %d rounds: %s. The machine's load was %.1f before
the run and %.1f after it. If the load before it was above 1, other programs
shared the processors, and small differences mean nothing.`,
		how, r.Date, r.Rounds, strings.Join(r.Versions, ", "), r.LoadBefore, r.LoadAfter))
	r.cpuTables(&b)
	r.aimsTable(&b)
	fmt.Fprintf(&b, "\n![Requests per second for a taken key](results/rate.svg)\n\n")
	r.rateTables(&b)
	r.memoryTable(&b)
	r.coldTable(&b)
	r.sizeTable(&b)
	fmt.Fprint(&b, `
## More nodes

Operations per second of a self-hosted cluster, as ratios to one node. One
machine with two cores ran all nodes, their bucket and 16 callers (TestThroughput
of e2e/cluster, 2026-11-27). So more nodes bring little here.

| | 1 node | 2 nodes | 3 nodes |
|---|---:|---:|---:|
| claims of new keys | 1 (125 a second) | 0.9 | 1.0 |
| claims of keys that are taken | 1 (1,212 a second) | 1.2 | 0.8 |
| numbers of streams | 1 (344 a second) | 1.0 | 0.9 |

A new key asks the bucket for 6.9 requests with 1.4 kB, a number for 2.9 to 3.1
with 1.6 kB, a taken key for nearly none.
[scale.md](../docs/scale.md#what-more-nodes-bring) has more.
`)
	return b.Bytes()
}

// callers lists the measured numbers of callers.
func (r *Results) callers() (list []int) {
	for _, row := range r.Requests {
		if row.Work == r.Requests[0].Work && row.Peer == r.Requests[0].Peer {
			list = append(list, row.Callers)
		}
	}
	return list
}

func header(b *bytes.Buffer, first string) {
	fmt.Fprintf(b, "| %s |", first)
	for _, p := range peers {
		fmt.Fprintf(b, " %s |", p.Title)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---:|", len(peers)))
}

// table writes a row for each kind of work, with a cell for each peer.
func (r *Results) table(b *bytes.Buffer, callers int, cell func(w *work, row *Row) string) {
	header(b, "")
	for _, w := range works {
		fmt.Fprintf(b, "| %s |", w.Title)
		for _, p := range peers {
			text := "–"
			if row := r.row(w.Name, p.Name, callers); row != nil {
				text = cell(w, row)
			}
			fmt.Fprintf(b, " %s |", text)
		}
		fmt.Fprintln(b)
	}
}

func (r *Results) cpuTables(b *bytes.Buffer) {
	for _, n := range r.callers() {
		fmt.Fprintf(b, "## CPU, %s\n\nµs per request, the median of the rounds (ratio; lowest to highest round)\n\n", callersText(n))
		r.table(b, n, func(w *work, row *Row) string {
			return fmt.Sprintf("%.0f (**%.2f**; %.0f–%.0f)", row.CPU, r.ratio(w.Name, row.Peer, n),
				row.Low, row.High)
		})
		fmt.Fprintln(b)
	}
}

func callersText(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}

func (r *Results) rateTables(b *bytes.Buffer) {
	for _, n := range r.callers() {
		fmt.Fprintf(b, "## Rate and latency, %s\n\nrequests per second · p50 ms · p99 ms\n\n", callersText(n))
		r.table(b, n, func(_ *work, row *Row) string {
			return fmt.Sprintf("%.0f · %.2f · %.2f", row.PerSecond, row.P50/1000, row.P99/1000)
		})
		fmt.Fprintln(b)
	}
}

func (r *Results) memoryTable(b *bytes.Buffer) {
	fmt.Fprint(b, `## Memory

At the end, in MB: the resident memory of the process, including JavaScript's
heap and SQLite, and the memory of the Go programs. workerd evicts objects after
10 s without an event.

| peer | resident | wasm |
|---|---:|---:|
`)
	for _, m := range r.Memory {
		wasm := "–"
		if m.Wasm > 0 {
			wasm = fmt.Sprintf("%.0f", float64(m.Wasm)/1e6)
		}
		fmt.Fprintf(b, "| %s | %.0f | %s |\n", title(m.Peer), float64(m.Resident)/1e6, wasm)
	}
}

func title(name string) string {
	for _, p := range append([]*peer{emptyPeer, objectPeer}, peers...) {
		if p.Name == name {
			return p.Title
		}
	}
	return name
}

func (r *Results) coldTable(b *bytes.Buffer) {
	fmt.Fprint(b, `
## Cold start

![The first request of a fresh process](results/cold.svg)

Times of fresh processes in ms, as medians. The first request starts the Go
program. The empty Go program does nothing; the first request starts it.

| peer | workerd listens | first request | lowest to highest | second request |
|---|---:|---:|---:|---:|
`)
	for _, c := range r.Cold {
		fmt.Fprintf(b, "| %s | %.0f | %.1f | %.1f–%.1f | %.1f |\n", title(c.Peer), c.Start/1000,
			c.First/1000, c.FirstLow/1000, c.FirstHigh/1000, c.Second/1000)
	}
}

func (r *Results) sizeTable(b *bytes.Buffer) {
	fmt.Fprint(b, "\n## Size\n\nThe size of app.wasm in KiB.\n\n| program | raw | gzip |\n|---|---:|---:|\n")
	for _, s := range r.Sizes {
		fmt.Fprintf(b, "| %s | %d | %d |\n", s.Program, s.Raw>>10, s.Gz>>10)
	}
}
