package selfhost

import "syscall"

// endWithParent also keeps a terminal's Ctrl-C from workerd: capdo passes it
// on.
var endWithParent = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
