//go:build !linux

package selfhost

func processUsage(int) (u usage, ok bool) { return u, false }

func freeBytes(string) (int64, bool) { return 0, false }
