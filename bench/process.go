//go:build !js

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuOf returns the CPU time of a process, in user and kernel mode. It asks for
// the process's clock, because /proc counts in steps of 10 ms.
// (clock_getcpuclockid in Linux's include/linux/posix-timers.h)
func cpuOf(pid int) (time.Duration, error) {
	const scheduled = 2
	var t unix.Timespec
	err := unix.ClockGettime(int32(^pid<<3|scheduled), &t)
	return time.Duration(t.Nano()), err
}

// residentOf returns the resident memory of a process, in bytes.
func residentOf(pid int) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kB << 10, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no VmRSS", pid)
}

// machineLoad returns the average number of threads that ran or could have run
// in the last minute.
func machineLoad() float64 {
	b, _ := os.ReadFile("/proc/loadavg")
	text, _, _ := strings.Cut(string(b), " ")
	load, _ := strconv.ParseFloat(text, 64)
	return load
}
