package selfhost

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// clockTicks is the kernel's USER_HZ. It is 100 on all platforms that Go
// supports.
const clockTicks = 100

// processUsage reads /proc.
func processUsage(pid int) (u usage, ok bool) {
	if pid == 0 {
		return u, false
	}
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, err := os.ReadFile(dir + "stat")
	if err != nil {
		return u, false
	}
	// These are the fields after the second, which is a name in parentheses.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 22 {
		return u, false
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	pages, _ := strconv.ParseInt(fields[21], 10, 64)
	u.cpu, u.memory = float64(user+system)/clockTicks, pages*int64(os.Getpagesize())
	files, err := os.ReadDir(dir + "fd")
	if err != nil {
		return u, false
	}
	u.openFiles = int64(len(files))
	limits, err := os.ReadFile(dir + "limits")
	if _, line, found := strings.Cut(string(limits), "Max open files"); err == nil && found {
		u.atMost, _ = strconv.ParseInt(strings.Fields(line)[0], 10, 64)
	}
	return u, true
}

// freeBytes returns how many bytes an unprivileged process can still write to a
// folder.
func freeBytes(dir string) (int64, bool) {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0, false
	}
	return int64(s.Bavail) * s.Bsize, true
}
