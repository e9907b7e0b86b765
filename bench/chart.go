//go:build !js

package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"html"
	"strconv"
)

// chart is a chart of groups of horizontal bars. A bar of 0 is left out.
type chart struct {
	name, title string
	series      []string
	groups      []group
}

type group struct {
	label  string
	values []float64 // one for each series
}

// charts returns the charts of RESULTS.md.
func (r *Results) charts() []chart {
	var titles []string
	for _, p := range peers {
		titles = append(titles, p.Title)
	}
	cpu := chart{name: "cpu",
		title: "CPU of a request at 16 callers, JavaScript over RPC = 1", series: titles}
	for _, w := range works {
		g := group{label: w.Title}
		for _, p := range peers {
			g.values = append(g.values, r.ratio(w.Name, p.Name, 16))
		}
		cpu.groups = append(cpu.groups, g)
	}
	rate := chart{name: "rate", title: "Claims of a taken key per second", series: titles}
	for _, n := range r.callers() {
		g := group{label: callersText(n)}
		for _, p := range peers {
			v := 0.0
			if row := r.row("taken", p.Name, n); row != nil {
				v = row.PerSecond
			}
			g.values = append(g.values, v)
		}
		rate.groups = append(rate.groups, g)
	}
	cold := chart{name: "cold", title: "First request of a fresh process, ms",
		series: []string{"first request", "second request"}}
	for _, c := range r.Cold {
		cold.groups = append(cold.groups,
			group{title(c.Peer), []float64{c.First / 1000, c.Second / 1000}})
	}
	return []chart{cpu, rate, cold}
}

func (c *chart) csv() []byte {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	w.Write(append([]string{""}, c.series...))
	for _, g := range c.groups {
		record := []string{g.label}
		for _, v := range g.values {
			record = append(record, strconv.FormatFloat(v, 'f', 3, 64))
		}
		w.Write(record)
	}
	w.Flush()
	return b.Bytes()
}

// These colors also differ for people who cannot tell red from green.
var colors = []string{"#f0a30a", "#c8741a", "#8a8a8a", "#0072b2", "#56b4e9"}

const (
	labelWidth, barsWidth, valueWidth = 240, 460, 60
	barHeight, groupGap, top          = 11, 9, 64
)

// svg draws the chart. The length of each bar is proportional to its figure.
func (c *chart) svg() []byte {
	largest := 0.0
	for _, g := range c.groups {
		for _, v := range g.values {
			largest = max(largest, v)
		}
	}
	height := top
	for _, g := range c.groups {
		height += barHeight*len(g.values) + groupGap
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", labelWidth+barsWidth+valueWidth, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="10" y="20" font-size="14" fill="#222">%s</text>`+"\n", html.EscapeString(c.title))
	x := 10
	for i, s := range c.series {
		fmt.Fprintf(&b, `<rect x="%d" y="34" width="10" height="10" fill="%s"/><text x="%d" y="43" fill="#222">%s</text>`+"\n", x, colors[(i+len(colors)-len(c.series))%len(colors)], x+14, html.EscapeString(s))
		x += 24 + 6*len(s)
	}
	y := top
	for _, g := range c.groups {
		c.draw(&b, g, y, largest)
		y += barHeight*len(g.values) + groupGap
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

func (c *chart) draw(b *bytes.Buffer, g group, y int, largest float64) {
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end" fill="#222">%s</text>`+"\n", labelWidth-8,
		y+barHeight*len(g.values)/2+4, html.EscapeString(g.label))
	for i, v := range g.values {
		if v > 0 {
			width := v / largest * barsWidth
			fmt.Fprintf(b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d" font-size="9" fill="#444">%s</text>`+"\n",
				labelWidth, y, width, barHeight-1,
				colors[(i+len(colors)-len(c.series))%len(colors)], labelWidth+width+4,
				y+barHeight-2, figure(v))
		}
		y += barHeight
	}
}

// figure returns a number with about three digits.
func figure(v float64) string {
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 0, 64)
}
