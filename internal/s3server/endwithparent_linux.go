package s3server

import "syscall"

// endWithParent also keeps a terminal's Ctrl-C from the server.
var endWithParent = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
