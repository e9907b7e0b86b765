//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
)

// stopSignals end capdo and the processes that it has started.
var stopSignals = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP}

// group is a process group that ends with capdo, even if capdo is killed. Its
// leader is a shell that reads from a pipe. When capdo ends, the pipe ends, and
// the shell kills the group including itself.
type group struct {
	leader *exec.Cmd
	pipe   *os.File // capdo's end
}

// newGroup starts a group. The files, and locks on them, stay open until the
// group has ended.
func newGroup(files ...*os.File) (*group, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	leader := exec.Command("/bin/sh", "-c", "trap '' INT TERM HUP; read -r _; kill -KILL 0")
	leader.Stdin, leader.ExtraFiles = r, files
	leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := leader.Start(); err != nil {
		w.Close()
		return nil, err
	}
	return &group{leader, w}, nil
}

// adopt makes a command start in the group.
func (g *group) adopt(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: g.leader.Process.Pid}
}

// kill ends the group.
func (g *group) kill() {
	syscall.Kill(-g.leader.Process.Pid, syscall.SIGKILL)
	g.leader.Wait()
	g.pipe.Close()
}

// lockFile locks a file until every process that has it open has closed it. It
// fails with errHeld if another process has locked it.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	return err
}
