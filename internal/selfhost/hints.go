package selfhost

import (
	"fmt"
	"regexp"
	"strings"
)

// failure is a message that workerd prints when it cannot serve, with an
// explanation and a hint.
type failure struct {
	pattern *regexp.Regexp
	message string // may use the pattern's groups
	hint    string
}

var failures = []failure{
	{regexp.MustCompile(`404 NoSuchBucket`), "the bucket does not exist",
		"create it first, or correct --cluster s3://bucket/prefix"},
	{regexp.MustCompile(`: (40[0134] \w*(?:AccessDenied|AccessKey|Signature|Token|Credential|UserNotFound|Forbidden)\w*|403\b.*)`), "the bucket refuses the credentials: $1",
		"they come from $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, or from --credentials-file; they must allow reading, writing, listing and deleting"},
	{regexp.MustCompile(`RequestTimeTooSkewed|clock off from the bucket's by (\S+ \S+)`), "this machine's clock differs from the bucket's: $0",
		"synchronize the clock with NTP (systemd-timesyncd, chrony), then start again"},
	{regexp.MustCompile(`could not load deployments from (\S+): bucket: .*: client error \(Connect\)`), "cannot connect to the server of the bucket $1",
		"check --endpoint (or $AWS_ENDPOINT_URL), and whether this machine can reach it"},
	{regexp.MustCompile(`(\S+ \S+) is public, and traffic between instances is not encrypted`), "the cluster $1 is public, but traffic between nodes is not encrypted",
		"use addresses of a private network for --advertise and --cluster-listen: a VPC, WireGuard, Tailscale"},
	{regexp.MustCompile(`cluster address (\S+) is a wildcard`), "other nodes cannot reach the wildcard $1",
		"set --advertise to this node's address"},
	{regexp.MustCompile(`cluster address (\S+): (.*)`), "cannot listen on the cluster address $1: $2",
		"choose an address of this machine with --cluster-listen; --advertise is the address that other nodes reach"},
	{regexp.MustCompile(`(\S+) holds Durable Objects from before cluster mode`), "$1 has objects of a server that ran alone: a cluster does not take them over",
		"start the node with an empty --data; docs/self-hosting.md explains how to move data"},
	{regexp.MustCompile(`(?i)address already in use`), "the address to listen on is taken",
		"stop the program that listens there, or choose another address with --listen"},
	{regexp.MustCompile(`(?i)permission denied`), "workerd lacks a permission",
		"check --listen (ports below 1024 need a capability) and the owner of --data"},
}

// explain returns an error for the end of workerd. It contains workerd's
// output, with an explanation if one is known.
func explain(printed string, ended error) error {
	for _, f := range failures {
		m := f.pattern.FindStringSubmatchIndex(printed)
		if m == nil {
			continue
		}
		text := string(f.pattern.ExpandString(nil, f.message, printed, m))
		return fmt.Errorf("%s\n%s\nhint: %s", text, indented(printed), f.hint)
	}
	hint := "start it again: acknowledged data is kept"
	if ended.Error() == "signal: killed" {
		hint += "; if nobody killed it, look into the kernel's log for a lack of memory"
	}
	if printed == "" {
		return fmt.Errorf("workerd ended: %w\nhint: %s", ended, hint)
	}
	return fmt.Errorf("workerd ended: %w\n%s\nhint: %s", ended, indented(printed), hint)
}

// indented indents workerd's output and leaves out stack traces.
func indented(printed string) string {
	var lines []string
	for line := range strings.Lines(printed) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line != "*** Uncaught exception ***" &&
			!strings.HasPrefix(line, "stack: ") {
			lines = append(lines, "  "+line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}
