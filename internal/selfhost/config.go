// Package selfhost runs a built program on workerd with a data folder, alone or
// as a node of a cluster. It implements capdo serve.
package selfhost

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/internal/workerd"
	"flow.internal/capdo/internal/wrangler"
)

// Options describe the server to run. Paths are absolute.
type Options struct {
	Workerd string           // workerd's program
	Config  *wrangler.Config // of the Worker
	Build   string           // the folder that capdo build wrote
	Data    string           // the folder for objects
	Listen  string           // host:port
	Health  string           // host:port of /healthz and /readyz, or "" for none
	Secrets map[string]string

	TLSCert, TLSKey string // PEM files, or ""
	BehindProxy     bool   // read from X-Forwarded-Proto whether the client used https
	PrivateNetwork  bool   // fetch may reach private addresses
	JSONLogs        bool
	StopTimeout     time.Duration

	Cluster *Cluster // nil: this process serves alone
}

// Cluster describes a cluster and this node of it.
type Cluster struct {
	Bucket          string // s3://bucket/prefix
	Endpoint        string // URL of an S3-compatible server, or "" for $AWS_ENDPOINT_URL
	Region          string // or "" for $AWS_REGION
	CredentialsFile string // read again when it changes; "" for the environment
	Listen          string // host:port for the other nodes
	Advertise       string // host:port at which the other nodes reach this one
	Key             string // shared secret
	TimeDivisor     int    // divides lease and takeover times, for tests
}

// hidden replaces the cluster's key in a config that is printed.
const hidden = "(the content of --key-file)"

// secretPrefix is the prefix of the environment variables that pass secrets to
// workerd.
const secretPrefix = "CAPDO_SECRET_"

// Shown returns workerd's config without the cluster's key. It never contains
// other secrets.
func (o *Options) Shown() (string, error) {
	if o.Cluster == nil {
		return o.capnp()
	}
	shown, cluster := *o, *o.Cluster
	cluster.Key, shown.Cluster = hidden, &cluster
	return shown.capnp()
}

// capnp returns workerd's config.
func (o *Options) capnp() (string, error) {
	bindings, err := o.bindings()
	if err != nil {
		return "", err
	}
	w := &writer{}
	w.line(0, "# Written by capdo serve. workerd reads it with: workerd serve -I /%s config.capnp",
		map[bool]string{true: " --experimental"}[o.needsExperimental()])
	w.line(0, `using Workerd = import "/workerd/workerd.capnp";`)
	w.line(0, "const config :Workerd.Config = (")
	w.services(o)
	w.sockets(o)
	if o.JSONLogs {
		w.line(1, "logging = (structuredLogging = true),")
	}
	w.cluster(o)
	w.line(0, ");")
	w.worker(o, bindings)
	w.line(0, "")
	w.line(0, "# Answers while workerd's event loop runs.")
	w.line(0, "const alive :Workerd.Worker = (")
	w.line(1, `modules = [(name = "alive.mjs", esModule = "export default { fetch: () => new Response('ok') };")],`)
	w.line(1, `compatibilityDate = "2026-11-01",`)
	w.line(0, ");")
	return w.String(), nil
}

// experimental are the compatibility flags that workerd accepts only with
// --experimental.
var experimental = []string{"experimental", "unsafe_module"}

func (o *Options) needsExperimental() bool {
	return o.Cluster != nil ||
		slices.ContainsFunc(o.Config.CompatibilityFlags,
			func(f string) bool { return slices.Contains(experimental, f) })
}

// writer writes Cap'n Proto text.
type writer struct{ strings.Builder }

func (w *writer) line(indent int, format string, args ...any) {
	if format != "" {
		w.WriteString(strings.Repeat("  ", indent))
	}
	fmt.Fprintf(w, format+"\n", args...)
}

func (w *writer) services(o *Options) {
	w.line(1, "services = [")
	w.line(2, `(name = "main", worker = .main),`)
	w.line(2, `(name = "alive", worker = .alive),`)
	w.line(2, `(name = "objects", disk = (path = %s, writable = true)),`,
		workerd.Quote(o.objects()))
	allow := `"public"`
	if o.PrivateNetwork {
		allow = `"public", "private"`
	}
	w.line(2, `(name = "internet", network = (allow = [%s], tlsOptions = (trustBrowserCas = true))),`, allow)
	w.line(1, "],")
}

func (w *writer) sockets(o *Options) {
	http := ""
	if o.BehindProxy {
		http = `forwardedProtoHeader = "X-Forwarded-Proto"`
	}
	protocol := fmt.Sprintf("http = (%s)", http)
	if o.TLSCert != "" {
		protocol = fmt.Sprintf("https = (options = (%s), "+
			"tlsOptions = (keypair = (privateKey = embed %s, certificateChain = embed %s)))",
			http, workerd.Quote(o.TLSKey), workerd.Quote(o.TLSCert))
	}
	w.line(1, "sockets = [")
	w.line(2, `(name = "main", address = %s, service = "main", %s),`,
		workerd.Quote(o.Listen), protocol)
	w.line(2, `(name = "alive", address = "127.0.0.1:0", service = "alive", http = ()),`)
	w.line(1, "],")
}

func (w *writer) cluster(o *Options) {
	c := o.Cluster
	if c == nil {
		return
	}
	var settings []string
	for _, s := range [][2]string{{"aws_endpoint", c.Endpoint}, {"aws_region", c.Region},
		{"aws_credentials_file", c.CredentialsFile}} {
		if s[1] != "" {
			settings = append(settings, workerd.Quote(s[0]+"="+s[1]))
		}
	}
	w.line(1, "cluster = (")
	w.line(2, "bucket = %s,", workerd.Quote(c.Bucket))
	if len(settings) > 0 {
		w.line(2, "bucketOptions = [%s],", strings.Join(settings, ", "))
	}
	w.line(2, "address = %s,", workerd.Quote(c.Listen))
	w.line(2, "advertise = %s,", workerd.Quote(c.Advertise))
	w.line(2, "key = %s,", workerd.Quote(c.Key))
	w.line(2, "stopTimeoutMs = %d,", o.StopTimeout.Milliseconds())
	if c.TimeDivisor > 1 {
		w.line(2, "unsafeTimeDivisor = %d,", c.TimeDivisor)
	}
	w.line(1, "),")
}

func (w *writer) worker(o *Options, bindings []string) {
	w.line(0, "")
	w.line(0, "const main :Workerd.Worker = (")
	w.line(1, "modules = [")
	for _, m := range workerd.ListModules(workerd.BuildModules(o.Build), "entry.mjs") {
		w.line(2, "(name = %s, %s = embed %s),", workerd.Quote(m.Name), m.Kind,
			workerd.Quote(m.File))
	}
	w.line(1, "],")
	w.line(1, "compatibilityDate = %s,", workerd.Quote(o.Config.CompatibilityDate))
	w.line(1, "compatibilityFlags = [%s],", quoted(o.Config.CompatibilityFlags))
	w.line(1, "durableObjectNamespaces = [")
	for _, c := range o.Config.LiveClasses() {
		w.line(2, "(className = %s, uniqueKey = %s, enableSql = %v),", workerd.Quote(c.Name),
			workerd.Quote(c.Key), !c.KV)
	}
	w.line(1, "],")
	w.line(1, `durableObjectStorage = (localDisk = "objects"),`)
	w.line(1, "bindings = [")
	for _, b := range bindings {
		w.line(2, "%s,", b)
	}
	w.line(1, "],")
	w.line(0, ");")
}

func quoted(list []string) string {
	var out []string
	for _, s := range list {
		out = append(out, workerd.Quote(s))
	}
	return strings.Join(out, ", ")
}

// bindings returns the Worker's namespaces, vars and secrets. workerd reads
// secrets from its environment, so the config has only their names.
func (o *Options) bindings() ([]string, error) {
	var list []string
	for _, b := range o.Config.DurableObjects.Bindings {
		list = append(list, fmt.Sprintf("(name = %s, durableObjectNamespace = %s)",
			workerd.Quote(b.Name), workerd.Quote(b.ClassName)))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Config.Vars)) {
		if _, ok := o.Secrets[name]; ok {
			continue
		}
		switch v := o.Config.Vars[name].(type) {
		case string:
			list = append(list, fmt.Sprintf("(name = %s, text = %s)", workerd.Quote(name),
				workerd.Quote(v)))
		default:
			b, err := json.Marshal(v)
			if err != nil {
				return nil, fmt.Errorf("the variable %s of %s: %w", name, o.Config.Path, err)
			}
			list = append(list, fmt.Sprintf("(name = %s, json = %s)", workerd.Quote(name),
				workerd.Quote(string(b))))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Secrets)) {
		list = append(list, fmt.Sprintf("(name = %s, fromEnvironment = %s)", workerd.Quote(name),
			workerd.Quote(secretPrefix+name)))
	}
	return list, nil
}

func (o *Options) objects() string { return filepath.Join(o.Data, "objects") }
func (o *Options) own() string     { return filepath.Join(o.Data, "capdo") }
