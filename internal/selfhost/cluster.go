package selfhost

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
)

// minKey is the shortest key that workerd takes, in bytes.
const minKey = 32

// ReadKey reads a cluster's key. It removes white space around the key.
func ReadKey(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the cluster's key: %w"+
			"\nhint: make one with: openssl rand -hex 32 > %s; all nodes use the same key",
			err, path)
	}
	key := strings.TrimSpace(string(b))
	if len(key) < minKey {
		return "", fmt.Errorf("the cluster's key in %s has %d bytes; it needs at least %d"+
			"\nhint: make one with: openssl rand -hex 32 > %[1]s; all nodes use the same key", path,
			len(key), minKey)
	}
	return key, nil
}

// Check reports errors in the addresses and the bucket that can be found before
// workerd runs.
func (c *Cluster) Check() error {
	u, err := url.Parse(c.Bucket)
	if err != nil || u.Scheme != "s3" && u.Scheme != "gs" || u.Host == "" {
		return fmt.Errorf("--cluster is %q, which is not a bucket"+
			"\nhint: write s3://bucket/prefix or gs://bucket/prefix", c.Bucket)
	}
	for _, address := range []string{c.Advertise, c.Listen} {
		if ip := hostIP(address); ip != nil && isPublic(ip) {
			return fmt.Errorf("the cluster address %s is public, "+
				"but traffic between nodes is not encrypted"+
				"\nhint: use addresses of a private network for --advertise and "+
				"--cluster-listen: a VPC, WireGuard, Tailscale", address)
		}
	}
	if ip := hostIP(c.Advertise); ip != nil && ip.IsUnspecified() {
		return fmt.Errorf("other nodes cannot reach %s"+
			"\nhint: set --advertise to this node's address; "+
			"%[1]s is possible for --cluster-listen", c.Advertise)
	}
	if c.CredentialsFile != "" {
		if _, err := os.Stat(c.CredentialsFile); err != nil {
			return fmt.Errorf("the credentials of the bucket: %w"+
				"\nhint: set --credentials-file to a file with lines AWS_ACCESS_KEY_ID= and "+
				"AWS_SECRET_ACCESS_KEY=", err)
		}
		return nil
	}
	if u.Scheme == "s3" && os.Getenv("AWS_CREDENTIALS_FILE") == "" &&
		(os.Getenv("AWS_ACCESS_KEY_ID") == "" || os.Getenv("AWS_SECRET_ACCESS_KEY") == "") {
		return errors.New("there are no credentials for the bucket" +
			"\nhint: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, " +
			"or name a file with --credentials-file")
	}
	return nil
}

func hostIP(address string) net.IP {
	host, _, _ := net.SplitHostPort(address)
	return net.ParseIP(host)
}

// shared are addresses of carriers' networks; Tailscale uses them.
var shared = net.IPNet{IP: net.IPv4(100, 64, 0, 0), Mask: net.CIDRMask(10, 32)}

func isPublic(ip net.IP) bool {
	return !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !ip.IsUnspecified() &&
		!shared.Contains(ip)
}

// CheckKeyPair reports a certificate and a key that do not match. Its error is
// clearer than workerd's.
func CheckKeyPair(cert, key string) error {
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		return fmt.Errorf("the TLS certificate %s with the key %s: %w"+
			"\nhint: --tls-cert is a PEM file with the server's certificate, then its chain; "+
			"--tls-key is the key of that certificate", cert, key, err)
	}
	return nil
}
