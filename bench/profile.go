//go:build !js

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"flow.internal/capdo/internal/build"
	"flow.internal/capdo/internal/profile"
	"flow.internal/capdo/internal/workerd"
)

// profileOf records the CPU use of one kind of work in a peer that is built
// with the names of its functions. It writes the profile to a file for go tool
// pprof.
func (p *plan) profileOf(ctx context.Context, s *peer, w *work, callers int, file string) error {
	b, err := newBuilder()
	if err != nil {
		return err
	}
	defer b.remove()
	modules, names, err := b.named(ctx, s)
	if err != nil {
		return err
	}
	server, err := b.start(ctx, s, modules, true)
	if err != nil {
		return err
	}
	defer server.stop()
	if err := w.ready(server); err != nil {
		return err
	}
	if _, err := measure(ctx, server, w, callers, 3*time.Second); err != nil {
		return err
	}
	session, err := profile.Connect(ctx, server.Inspector)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := session.Start(ctx); err != nil {
		return err
	}
	m, err := measure(ctx, server, w, callers, 5*time.Second)
	if err != nil {
		return err
	}
	cpu, err := session.Stop(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d requests, and about a quarter as many before them\n", m.requests)
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return profile.Convert(cpu, names).Write(f)
}

// named builds a peer with the names of its functions. It returns the modules
// and the names.
func (b *builder) named(
	ctx context.Context, p *peer,
) (map[string]string, map[string]string, error) {
	modules, err := b.modules(ctx, p)
	if err != nil || !p.Capdo {
		return modules, nil, err
	}
	staged, err := build.Stage(ctx, b.peerDir(p), build.Options{KeepNames: true})
	if err != nil {
		return nil, nil, err
	}
	out := filepath.Join(b.dir, "named")
	if _, err := staged.Publish(out); err != nil {
		return nil, nil, err
	}
	main := modules[p.Main]
	modules = workerd.BuildModules(out)
	modules[p.Main] = main
	wasm, err := os.ReadFile(modules["app.wasm"])
	if err != nil {
		return nil, nil, err
	}
	names, err := profile.Names(wasm)
	return modules, names, err
}
