package gotest

import (
	"bytes"
	"encoding/base64"
	"io"
)

// output splits the output of workerd into lines that carry the program's
// output, byte by byte, and workerd's own lines.
type output struct {
	stdout, stderr io.Writer
	partial        []byte
}

func (o *output) Write(p []byte) (int, error) {
	o.partial = append(o.partial, p...)
	for {
		line, rest, ok := bytes.Cut(o.partial, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		if err := o.line(line); err != nil {
			return 0, err
		}
		o.partial = rest
	}
}

// line handles one line. A line with the program's output has a byte 1, the
// file descriptor as a digit, and base64.
func (o *output) line(line []byte) error {
	if len(line) > 2 && line[0] == 1 {
		if b, err := base64.StdEncoding.AppendDecode(nil, line[2:]); err == nil {
			if line[1] == '2' {
				_, err = o.stderr.Write(b)
			} else {
				_, err = o.stdout.Write(b)
			}
			return err
		}
	}
	_, err := o.stderr.Write(append(line, '\n'))
	return err
}
