//go:build !linux

package s3server

import "syscall"

var endWithParent *syscall.SysProcAttr
