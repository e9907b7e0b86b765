//go:build !js

package main

import (
	"bytes"
	"fmt"
	"html"
)

// svg is the chart of an axis: the CPU of each operation, where that of its first
// value is 1.
func (g *Growth) svg(a *axis) []byte {
	if !a.bars {
		return g.lines(a).svg()
	}
	c := &chart{title: "CPU of a request, " + a.points[0].x + " = 1"}
	for i, op := range g.ops(a.name) {
		points := g.at(a.name, op)
		bars := group{label: points[0].Work}
		for _, p := range points {
			if i == 0 {
				c.series = append(c.series, p.X)
			}
			bars.values = append(bars.values, g.ratio(p))
		}
		c.groups = append(c.groups, bars)
	}
	return c.svg()
}

// lines is a chart of lines over the same few values of x, which are equally far
// apart.
type lines struct {
	title, label string
	xs           []string
	series       []series
}

type series struct {
	name   string
	values []float64 // one for each x
}

// lines has a line for each operation.
func (g *Growth) lines(a *axis) *lines {
	l := &lines{title: "CPU of a request, first value = 1", label: a.label}
	for _, op := range g.ops(a.name) {
		points := g.at(a.name, op)
		s := series{name: points[0].Work}
		var xs []string
		for _, p := range points {
			xs = append(xs, p.X)
			s.values = append(s.values, g.ratio(p))
		}
		l.xs = xs
		l.series = append(l.series, s)
	}
	return l
}

const (
	lineLeft, lineTop, lineWidth, lineHeight = 60, 90, 560, 240
	lineRight, lineBottom                    = 60, 50
)

// svg draws the chart. Its y begins at 0.
func (l *lines) svg() []byte {
	largest := 0.0
	for _, s := range l.series {
		for _, v := range s.values {
			largest = max(largest, v)
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n",
		lineLeft+lineWidth+lineRight, lineTop+lineHeight+lineBottom)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="10" y="20" font-size="14" fill="#222">%s</text>`+"\n", html.EscapeString(l.title))
	for i := range 5 {
		v := largest * float64(i) / 4
		y := l.y(v, largest)
		fmt.Fprintf(&b, `<path d="M%d %.1fh%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end" fill="#444">%s</text>`+"\n",
			lineLeft, y, lineWidth, lineLeft-6, y+4, figure(v))
	}
	for i, x := range l.xs {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#222">%s</text>`+"\n",
			l.x(i), lineTop+lineHeight+18, html.EscapeString(x))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#222">%s</text>`+"\n",
		lineLeft+lineWidth/2, lineTop+lineHeight+38, html.EscapeString(l.label))
	for i, s := range l.series {
		l.draw(&b, i, s, largest)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// x and y are where a value is.
func (l *lines) x(i int) float64 {
	return lineLeft + (float64(i)+0.5)*lineWidth/float64(max(len(l.xs), 1))
}

func (l *lines) y(v, largest float64) float64 {
	if largest == 0 {
		return lineTop + lineHeight
	}
	return lineTop + lineHeight*(1-v/largest)
}

// draw draws a line and its legend.
func (l *lines) draw(b *bytes.Buffer, n int, s series, largest float64) {
	color := lineColors[n%len(lineColors)]
	fmt.Fprintf(b, `<rect x="10" y="%d" width="10" height="10" fill="%s"/><text x="24" y="%d" fill="#222">%s</text>`+"\n",
		30+14*n, color, 39+14*n, html.EscapeString(s.name))
	d, command := "", "M"
	for i, v := range s.values {
		if v == 0 {
			continue
		}
		x, y := l.x(i), l.y(v, largest)
		d += fmt.Sprintf("%s%.1f %.1f", command, x, y)
		command = "L"
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/><text x="%.1f" y="%.1f" font-size="9" fill="#444">%s</text>`+"\n",
			x, y, color, x+5, y-5, figure(v))
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", d, color)
}

// Colors that those who see no difference between red and green tell apart,
// too.
var lineColors = []string{"#0072b2", "#f0a30a", "#8a8a8a", "#c8741a"}
