//go:build !linux

package process

import "syscall"

func endWithParent(bool) *syscall.SysProcAttr { return nil }
