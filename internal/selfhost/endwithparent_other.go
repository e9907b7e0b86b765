//go:build !linux

package selfhost

import "syscall"

var endWithParent *syscall.SysProcAttr
