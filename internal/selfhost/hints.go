package selfhost

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// failure is what workerd prints when it cannot serve, and what to do about it.
type failure struct {
	pattern *regexp.Regexp
	message string // may have the pattern's groups; "" for the matched text
	hint    string
}

var failures = []failure{
	{regexp.MustCompile(`404 NoSuchBucket`), "the bucket does not exist",
		"create it first, or correct --cluster s3://bucket/prefix"},
	{regexp.MustCompile(`: (40[0134] \w*(?:AccessDenied|AccessKey|Signature|Token|Credential|UserNotFound|Forbidden)\w*|403\b.*)`), "the bucket refuses the credentials: $1",
		"they come from $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY, or from --credentials-file; they must read, write, list and delete there"},
	{regexp.MustCompile(`RequestTimeTooSkewed|clock off from the bucket's by (\S+ \S+)`), "this machine's clock is not the bucket's: $0",
		"set the clock by NTP (systemd-timesyncd, chrony), then start again"},
	{regexp.MustCompile(`could not load deployments from (\S+): bucket: .*: client error \(Connect\)`), "cannot connect to the server of the bucket $1",
		"check --endpoint (or $AWS_ENDPOINT_URL), and that this machine reaches it"},
	{regexp.MustCompile(`(\S+ \S+) is public, and traffic between instances is not encrypted`), "the cluster $1 is public, and nodes talk to one another unencrypted",
		"--advertise and --cluster-listen take addresses of a private network: a VPC, WireGuard, Tailscale"},
	{regexp.MustCompile(`cluster address (\S+) is a wildcard`), "other nodes cannot reach the wildcard $1",
		"give the address of this node with --advertise"},
	{regexp.MustCompile(`cluster address (\S+): (.*)`), "cannot listen on the cluster address $1: $2",
		"choose an address of this machine with --cluster-listen; --advertise is the one that other nodes reach"},
	{regexp.MustCompile(`(\S+) holds Durable Objects from before cluster mode`), "$1 has objects of a server that ran alone: a cluster does not take them over",
		"start the node with an empty --data; docs/self-hosting.md says how to move data"},
	{regexp.MustCompile(`(?i)address already in use`), "the address to listen on is taken",
		"stop what listens there, or choose another one with --listen"},
	{regexp.MustCompile(`(?i)permission denied`), "workerd may not do what it has to: permission denied",
		"check --listen (ports below 1024 need a capability) and who owns --data"},
}

// explain turns the end of workerd into an error: what it printed, in the
// reader's terms where that is known.
func explain(printed string, ended error) error {
	for _, f := range failures {
		m := f.pattern.FindStringSubmatchIndex(printed)
		if m == nil {
			continue
		}
		text := string(f.pattern.ExpandString(nil, f.message, printed, m))
		return fmt.Errorf("%s\n%s\nhint: %s", text, indented(printed), f.hint)
	}
	if printed == "" {
		return errors.Join(errors.New("workerd ended"), ended)
	}
	return fmt.Errorf("workerd ended: %w\n%s", ended, indented(printed))
}

// indented sets workerd's words off from capdo's, and leaves out stack traces.
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
