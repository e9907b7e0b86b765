package selfhost

import "syscall"

// endWithParent also protects workerd from a terminal's Ctrl-C. capdo passes it
// on.
var endWithParent = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
