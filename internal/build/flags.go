package build

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// linkerFlags returns flags that strip names from the program. It adds the
// user's own -ldflags from GOFLAGS, such as -X, because -ldflags on the command
// line would replace them.
func linkerFlags(ctx context.Context, dir string) ([]string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOFLAGS")
	cmd.Dir = dir
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errors.New("the go command is not on PATH\nhint: install Go 1.26 or later")
	}
	if err != nil {
		return nil, fmt.Errorf("go env GOFLAGS: %w", err)
	}
	flags := "-s -w"
	for _, flag := range fields(strings.TrimSpace(string(out))) {
		value, ok := strings.CutPrefix(strings.TrimLeft(flag, "-"), "ldflags=")
		switch {
		case ok && value != "" && !strings.HasPrefix(value, "-"):
			// These flags are for packages that the user chose, and there can
			// be several of them, so they cannot be combined with capdo's.
			return nil, nil
		case ok:
			flags = strings.TrimSpace("-s -w " + value)
		}
	}
	return []string{"-ldflags=" + flags}, nil
}

// fields splits GOFLAGS like the go command: at spaces, and a field may be
// quoted.
func fields(s string) []string {
	var out []string
	for s = strings.TrimLeft(s, " \t\r\n"); s != ""; s = strings.TrimLeft(s, " \t\r\n") {
		if quote := s[0]; quote == '\'' || quote == '"' {
			field, rest, _ := strings.Cut(s[1:], string(quote))
			out, s = append(out, field), rest
			continue
		}
		end := strings.IndexAny(s, " \t\r\n")
		if end < 0 {
			end = len(s)
		}
		out, s = append(out, s[:end]), s[end:]
	}
	return out
}
