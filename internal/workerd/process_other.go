//go:build !linux

package workerd

import "syscall"

var endWithParent *syscall.SysProcAttr
