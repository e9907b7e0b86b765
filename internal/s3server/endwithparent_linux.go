package s3server

import "syscall"

// endWithParent also protects the server from a terminal's Ctrl-C.
var endWithParent = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
