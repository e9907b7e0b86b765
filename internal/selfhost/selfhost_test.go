//go:build !js

package selfhost

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flow.internal/capdo/internal/wrangler"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadEnvFile(t *testing.T) {
	got, err := ReadEnvFile(write(t, `
# a comment
PLAIN=a b
export EXPORTED=x
SPACES = v   # a comment
HASH=a#b
EMPTY=
SINGLE='it is $HOME \n' # said
DOUBLE="line\nend \"q\" \\"
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"PLAIN": "a b", "EXPORTED": "x", "SPACES": "v", "HASH": "a#b", "EMPTY": "", "SINGLE": `it is $HOME \n`, "DOUBLE": "line\nend \"q\" \\"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, bad := range []string{"secret-without-a-name", "1X=v", "A-B=v", `X="open`, `X='open`, `X="a" b`, `X="\q"`} {
		_, err := ReadEnvFile(write(t, "A=1\n"+bad+"\n"))
		if err == nil || !strings.Contains(err.Error(), ":2: ") || !strings.Contains(err.Error(), "\nhint: ") {
			t.Errorf("%s: %v", bad, err)
		} else if strings.Contains(err.Error(), "secret-without") {
			t.Errorf("the error shows the line: %v", err)
		}
	}
}

func TestDataFolderIsOfOneProcess(t *testing.T) {
	dir := t.TempDir()
	d, err := OpenData(dir, "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	_, err = OpenData(dir, "127.0.0.1:2")
	if err == nil || !strings.Contains(err.Error(), "on 127.0.0.1:1 (process ") || !strings.Contains(err.Error(), "\nhint: ") {
		t.Errorf("a second process gets %v", err)
	}
	d.Close()
	if d, err = OpenData(dir, "127.0.0.1:2"); err != nil {
		t.Fatal(err)
	}
	d.Close()
}

func TestDataFolderIsOfOneCluster(t *testing.T) {
	for _, c := range []struct{ first, then, want string }{
		{"", "", ""},
		{"s3://a/x", "s3://a/x", ""},
		{"", "s3://a/x", "ran alone"},
		{"s3://a/x", "", "to a node of the cluster s3://a/x"},
		{"s3://a/x", "s3://a/y", "another cluster, s3://a/x"},
	} {
		d, err := OpenData(t.TempDir(), "127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Claim(c.first); err != nil {
			t.Fatal(err)
		}
		err = d.Claim(c.then)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q then %q: %v", c.first, c.then, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "\nhint: ")):
			t.Errorf("%q then %q: %v", c.first, c.then, err)
		}
		d.Close()
	}
	// Objects from a backup belong to a server that ran alone.
	d, err := OpenData(t.TempDir(), "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.MkdirAll(filepath.Join(d.dir, "objects", "Ledger"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Claim("s3://a/x"); err == nil {
		t.Error("a node starts with objects of a single server")
	}
	if err := d.Claim(""); err != nil {
		t.Error(err)
	}
}

func TestClusterCheck(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "a")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "b")
	credentials := write(t, "")
	for _, c := range []struct {
		name, bucket, advertise, listen, credentials, want string
	}{
		{"a private network", "s3://b/p", "10.0.0.1:7000", "0.0.0.0:7000", "", ""},
		{"a name", "s3://b", "node-1:7000", "node-1:7000", credentials, ""},
		{"Tailscale", "s3://b", "100.100.1.1:7000", "100.100.1.1:7000", "", ""},
		{"not a bucket", "b/p", "10.0.0.1:7000", "10.0.0.1:7000", "", "not a bucket"},
		{"a public address", "s3://b", "8.8.8.8:7000", "10.0.0.1:7000", "", "8.8.8.8:7000 is public"},
		{"a public IPv6 address", "s3://b", "10.0.0.1:7000", "[2001:4860::1]:7000", "", "is public"},
		{"a wildcard", "s3://b", "0.0.0.0:7000", "0.0.0.0:7000", "", "cannot reach 0.0.0.0:7000"},
		{"missing credentials", "s3://b", "10.0.0.1:7000", "10.0.0.1:7000", "/nowhere", "credentials of the bucket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := (&Cluster{Bucket: c.bucket, Advertise: c.advertise, Listen: c.listen, CredentialsFile: c.credentials}).Check()
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "\nhint: ")):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	if err := (&Cluster{Bucket: "s3://b", Advertise: "10.0.0.1:1", Listen: "10.0.0.1:1"}).Check(); err == nil || !strings.Contains(err.Error(), "no credentials") {
		t.Errorf("without credentials: %v", err)
	}
}

func TestReadKey(t *testing.T) {
	if key, err := ReadKey(write(t, strings.Repeat("k", 32)+"\n")); err != nil || len(key) != 32 {
		t.Errorf("%q, %v", key, err)
	}
	_, err := ReadKey(write(t, "short\n"))
	if err == nil || !strings.Contains(err.Error(), "has 5 bytes; it needs at least 32") || !strings.Contains(err.Error(), "\nhint: ") {
		t.Error(err)
	}
}

func TestConfigHasNoSecrets(t *testing.T) {
	o := Options{
		Config: &wrangler.Config{CompatibilityDate: "2026-11-01", Vars: map[string]any{"MODE": "x", "NUMBER": 1.5, "TOKEN": "from the config"}},
		Build:  "/app/build", Data: "/data", Listen: "0.0.0.0:80", Secrets: map[string]string{"TOKEN": "a secret"}, StopTimeout: time.Second,
		TLSCert: "/tls/cert", TLSKey: "/tls/key",
		Cluster: &Cluster{Bucket: "s3://b/p", Listen: "10.0.0.1:7000", Advertise: "10.0.0.1:7000", Key: "the secret key"},
	}
	shown, err := o.Shown()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`fromEnvironment = "CAPDO_SECRET_TOKEN"`, `(name = "MODE", text = "x")`, `(name = "NUMBER", json = "1.5")`, `privateKey = embed "/tls/key"`, "--experimental"} {
		if !strings.Contains(shown, want) {
			t.Errorf("the config has no %s:\n%s", want, shown)
		}
	}
	for _, secret := range []string{"a secret", "the secret key", "from the config"} {
		if strings.Contains(shown, secret) {
			t.Errorf("the config shows %q", secret)
		}
	}
	if o.Cluster.Key != "the secret key" {
		t.Error("showing the config changed it")
	}
}

// These are outputs of workerd 1.20261117.1.
func TestExplain(t *testing.T) {
	for _, c := range []struct{ printed, want, hint string }{
		{"*** Uncaught exception ***\nworkerd/server/server/entry.rs:143: failed: joining the cluster: bucket: PUT x/v1/nodes/c.probe: 404 NoSuchBucket", "the bucket does not exist", "create it"},
		{"workerd/server/server/entry.rs:143: failed: joining the cluster: bucket: PUT test/v1/nodes/5.probe: 404 XAdminUserNotFound", "refuses the credentials: 404 XAdminUserNotFound", "AWS_ACCESS_KEY_ID"},
		{"failed: joining the cluster: bucket: PUT test/v1/nodes/5.probe: 403 SignatureDoesNotMatch", "refuses the credentials: 403 SignatureDoesNotMatch", "AWS_ACCESS_KEY_ID"},
		{"cluster: could not load deployments from s3://cluster/test: bucket: GET test/v1/deploy/catalog.json: 403 InvalidAccessKeyId", "refuses the credentials", "AWS_ACCESS_KEY_ID"},
		{"leaving the cluster: clock off from the bucket's by 576 ms", "clock differs from the bucket's: clock off from the bucket's by 576 ms", "NTP"},
		{"cluster: could not load deployments from s3://cluster/test: bucket: GET test/v1/deploy/catalog.json: client error (Connect)", "cannot connect to the server of the bucket s3://cluster/test", "--endpoint"},
		{"workerd/server/server/entry.rs:143: failed: cluster address 10.99.0.1:9000: Cannot assign requested address (os error 99)", "cannot listen on the cluster address 10.99.0.1:9000", "--cluster-listen"},
		{"failed: /data/objects/Ledger holds Durable Objects from before cluster mode, which the cluster would replace: move them away", "/data/objects/Ledger has objects of a server that ran alone", "empty --data"},
	} {
		err := explain(c.printed, errors.New("exit status 1"))
		message, hint, _ := strings.Cut(err.Error(), "\nhint: ")
		if !strings.Contains(message, c.want) || !strings.Contains(hint, c.hint) {
			t.Errorf("%s\nis explained as: %v", c.printed, err)
		}
	}
	if err := explain("something else", errors.New("exit status 3")); !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "something else") {
		t.Errorf("an unknown error is not passed on: %v", err)
	}
	killed := explain("", errors.New("signal: killed")).Error()
	message, hint, _ := strings.Cut(killed, "\nhint: ")
	if message != "workerd ended: signal: killed" || !strings.Contains(hint, "memory") {
		t.Errorf("the end by SIGKILL is explained as: %s", killed)
	}
}

// The lines are outputs of workerd 1.20261117.1 and of a Worker's console.log.
func TestLogsHaveOneForm(t *testing.T) {
	var out strings.Builder
	r := relay{json: slog.New(slog.NewJSONHandler(&out, nil))}
	r.read(strings.NewReader(`{"timestamp":"1795701642585","level":"error","source":"workerd/server/server/run.rs:257","message":"leaving the cluster","context_depth":0}
{"timestamp":1795703911262,"level":"log","message":"counted 1"}
plain
`))
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, want := range []string{`"level":"ERROR","msg":"leaving the cluster","from":"workerd"}`, `"level":"INFO","msg":"counted 1","from":"worker"}`, `"level":"INFO","msg":"plain","from":"workerd"}`} {
		if !strings.HasSuffix(got[i], want) {
			t.Errorf("line %d is %s, want %s", i, got[i], want)
		}
	}
	if at := time.UnixMilli(1795703911262).Format("2006-01-02T15:04:05.000"); !strings.Contains(got[1], at) {
		t.Errorf("%s does not have the time %s", got[1], at)
	}
	if r.tail() != "leaving the cluster\ncounted 1\nplain" {
		t.Errorf("the last lines are %q", r.tail())
	}
}

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	notify("READY=1")
	b := make([]byte, 100)
	n, err := l.Read(b)
	if err != nil || string(b[:n]) != "READY=1" {
		t.Errorf("systemd got %q, %v", b[:n], err)
	}
}
