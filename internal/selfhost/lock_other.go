//go:build !unix

package selfhost

import "os"

func lockFile(*os.File) error { return nil }

func terminate(p *os.Process) error { return p.Kill() }
