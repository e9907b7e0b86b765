//go:build !js

package docs

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"flow.internal/capdo/internal/freeport"
)

// patience is how long a command may take. Others may keep the machine busy.
const patience = 4 * time.Minute

// shell is a terminal that a page's commands are typed into, one after the
// other.
type shell struct {
	t      *testing.T
	bash   *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	port   string // in place of 8787
	health string // in place of 8788
	log    string // what the server printed
	server int    // the process that the last server command is, 0 for none
	last   string // what the last block printed
}

// progress is what capdo prints while it waits for a machine that is slow.
var progress = regexp.MustCompile(`(?m)^(compiling|building .*): \d+ s\n`)

const mark = "\x01end of command"

func openShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	s := &shell{t: t, bash: exec.Command("bash", "--norc", "--noprofile"), log: filepath.Join(t.TempDir(), "server.log")}
	var err error
	s.bash.Dir, s.bash.Env = dir, env
	if s.in, err = s.bash.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.bash.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.bash.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		kill(s.bash.Process.Pid)
		s.bash.Wait()
	})
	s.command("set -m -o pipefail") // -m: a server is a process group, which a Ctrl-C goes to
	return s
}

// command has bash execute a command, and returns what it printed.
func (s *shell) command(text string) (output string, status int) {
	s.t.Helper()
	killer := time.AfterFunc(patience, func() { kill(s.bash.Process.Pid) })
	defer killer.Stop()
	fmt.Fprintf(s.in, "{ %s\n} </dev/null 2>&1\nprintf '%s %%d\\n' $?\n", text, mark)
	var b strings.Builder
	for {
		line, err := s.out.ReadString('\n')
		b.WriteString(line)
		if before, after, found := strings.Cut(b.String(), mark); found {
			status, _ := strconv.Atoi(strings.TrimSpace(after))
			return progress.ReplaceAllString(before, ""), status
		}
		if err != nil {
			s.t.Fatalf("%s\ntook longer than %v, or ended the shell: %v\n%s", text, patience, err, b.String())
		}
	}
}

// step is a command of a block, and what the page says of its output.
type step struct {
	command string
	want    string // what it prints; of commands but curl one of the lines
}

var trailing = regexp.MustCompile(`\s{2,}# (.*)$`)

// steps takes a block apart. What follows # after a curl is what that prints;
// after other commands if it begins with "prints".
func steps(t *testing.T, text string) (all []step) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := 0; i < len(lines); i++ {
		whole := lines[i]
		for exec.Command("bash", "-n", "-c", whole).Run() != nil || strings.HasSuffix(whole, `\`) {
			if i++; i == len(lines) {
				t.Fatalf("not a command: %s", whole)
			}
			whole += "\n" + lines[i]
		}
		c := step{command: whole}
		if m := trailing.FindStringSubmatchIndex(whole); m != nil {
			c.command = whole[:m[0]]
			said := whole[m[2]:m[3]]
			if printed, ok := strings.CutPrefix(said, "prints "); ok || strings.Contains(c.command, "curl ") {
				if c.want = printed; !ok {
					c.want = said
				}
			}
		}
		if strings.TrimSpace(c.command) != "" {
			all = append(all, c)
		}
	}
	return all
}

// serving are commands that serve until they are stopped.
var serving = regexp.MustCompile(`^make dev$|\bcapdo (dev|serve|cluster)\b`)

func serves(command string) bool {
	return serving.MatchString(command) && !strings.Contains(command, "--print-config") && !regexp.MustCompile(`\bcapdo cluster [a-z]+( \d)?$`).MatchString(command)
}

// block executes the commands of a block. answered says that another block has
// what the last one prints.
func (s *shell) block(b block, answered bool) {
	s.t.Helper()
	s.last = ""
	_, fails := b.notes["fails"]
	all := steps(s.t, b.text)
	for i, c := range all {
		if serves(c.command) {
			s.serve(c.command)
			continue
		}
		command := strings.NewReplacer("8787", s.port, "8788", s.health).Replace(c.command)
		last := i == len(all)-1
		out, status := s.command(command)
		s.last += out
		if (status != 0) != (last && fails) {
			s.t.Fatalf("line %d: %s\nexit status %d\n%s", b.line, c.command, status, out)
		}
		if strings.Contains(command, "curl ") && c.want == "" && !answered && !strings.Contains(command, "()") {
			s.t.Errorf("line %d: %s\nprints what the page does not say: %s", b.line, c.command, out)
		}
		if c.want != "" && !prints(out, c.want, strings.Contains(command, "curl ")) {
			s.t.Errorf("line %d: %s\nprints\n%s\nand the page says\n%s", b.line, c.command, out, c.want)
		}
	}
}

// prints reports whether an output, or a line of it, is what is expected, in
// which … stands for anything.
func prints(out, want string, whole bool) bool {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", ".*")
	if whole {
		return regexp.MustCompile(`(?s)^\s*` + pattern + `\s*$`).MatchString(out)
	}
	return regexp.MustCompile(`(?m)^\s*` + pattern + `\s*$`).MatchString(out)
}

// serve starts a server in the background, in place of the one before, and
// waits until it answers.
func (s *shell) serve(command string) {
	s.t.Helper()
	s.stop()
	port, err := freeport.Get()
	if err != nil {
		s.t.Fatal(err)
	}
	health, err := freeport.Get()
	if err != nil {
		s.t.Fatal(err)
	}
	s.port, s.health = strconv.Itoa(port), strconv.Itoa(health)
	switch {
	case strings.HasPrefix(command, "make"):
		command += " PORT=" + s.port
	case strings.Contains(command, "capdo serve"):
		command += " --listen 127.0.0.1:" + s.port + " --health 127.0.0.1:" + s.health
	case strings.Contains(command, "capdo cluster"):
		command += " --listen 127.0.0.1:" + s.port
	default:
		// without a port for the inspector two wranglers look for one at the
		// same time, and find the same
		own, wranglers, _ := strings.Cut(command, " -- ")
		command = fmt.Sprintf("%s --port %s -- --inspector-port 0 %s", own, s.port, wranglers)
	}
	out, _ := s.command(fmt.Sprintf("%s >%s 2>&1 </dev/null & echo $!", command, s.log))
	pid, err := strconv.Atoi(strings.TrimSpace(out))
	if err != nil {
		s.t.Fatalf("%s\n%s", command, out)
	}
	s.server = pid
	client := http.Client{Timeout: 10 * time.Second}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if resp, err := client.Get("http://127.0.0.1:" + s.port); err == nil {
			resp.Body.Close()
			return
		}
		if syscall.Kill(pid, 0) != nil {
			break
		}
	}
	b, _ := os.ReadFile(s.log)
	s.t.Fatalf("%s\ndoes not serve:\n%s", command, b)
}

// stop ends the server as Ctrl-C does, and kills what is left of it after a
// while.
func (s *shell) stop() {
	if s.server == 0 {
		return
	}
	syscall.Kill(-s.server, syscall.SIGINT)
	for end := time.Now().Add(10 * time.Second); syscall.Kill(-s.server, 0) == nil && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	syscall.Kill(-s.server, syscall.SIGKILL)
	s.server = 0
	if s.t.Failed() {
		b, _ := os.ReadFile(s.log)
		s.t.Logf("the server printed:\n%s", b)
	}
}

// kill ends a process, and all that descend from it.
func kill(pid int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, file := range tasks {
		b, _ := os.ReadFile(file)
		for child := range strings.FieldsSeq(string(b)) {
			if n, err := strconv.Atoi(child); err == nil {
				kill(n)
			}
		}
	}
	syscall.Kill(pid, syscall.SIGKILL)
}

func TestCommandsAreTakenApart(t *testing.T) {
	got := steps(t, "make dev      # installs\ncurl x   # {\"a\":1}\n\n# prose\ngo x  # prints ok …\npost() {\n  curl \"$1\"\n}\n")
	want := []step{{"make dev", ""}, {"curl x", `{"a":1}`}, {"# prose", ""}, {"go x", "ok …"}, {"post() {\n  curl \"$1\"\n}", ""}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	tests := []struct {
		out, want string
		whole, is bool
	}{
		{"a\nok  x\t0.5s\n", "ok  x\t…", false, true},
		{"a\nok  x\t0.5s\n", "ok  x\t…", true, false},
		{"a\n", "a", true, true},
		{"ab\n", "a", true, false},
		{"ab\n", "a", false, false},
	}
	for _, tt := range tests {
		if prints(tt.out, tt.want, tt.whole) != tt.is {
			t.Errorf("%+v", tt)
		}
	}
}
