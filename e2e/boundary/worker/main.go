// The Worker whose boundary is fuzzed. Package jsrt serves probes directly;
// package durable serves the other methods.
package main

import (
	"context"
	"fmt"
	"os"

	"flow.internal/capdo/durable"
	"flow.internal/capdo/internal/jsrt"
)

// Fuzz is the object that receives the values.
type Fuzz struct {
	state *durable.State
	env   *durable.Env
}

func NewFuzz(_ context.Context, state *durable.State, env *durable.Env) (*Fuzz, error) {
	return &Fuzz{state, env}, nil
}

// probing serves the method probe below package durable, before any conversion.
type probing struct{ jsrt.Program }

const probeIndex = 0 // among the class's methods

func (p probing) Serve(ctx context.Context, i *jsrt.Invocation, args []any) (any, error) {
	if i.Kind == jsrt.Method && i.Index == probeIndex {
		return probe(ctx, i.Context(), args)
	}
	return p.Program.Serve(ctx, i, args)
}

func main() {
	inner := jsrt.Install(nil)
	jsrt.Install(probing{inner})
	durable.Register("Fuzz", NewFuzz,
		durable.Func[*Fuzz]("probe", (*Fuzz).Probe),
		durable.Func[*Fuzz]("echo", (*Fuzz).Echo),
		durable.Method("bytes", (*Fuzz).Bytes),
		durable.Func[*Fuzz]("stored", (*Fuzz).Stored),
		durable.Func[*Fuzz]("rows", (*Fuzz).Rows),
		durable.Func[*Fuzz]("bind", (*Fuzz).Bind),
		durable.Func[*Fuzz]("remote", (*Fuzz).Remote),
		durable.Func[*Fuzz]("headers", (*Fuzz).Headers),
		durable.Func[*Fuzz]("vars", (*Fuzz).Vars),
		durable.Func[*Fuzz]("sockets", (*Fuzz).Sockets),
	)
	durable.HandleFetch(serve)
	if err := durable.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Probe is never called: probing serves it.
func (f *Fuzz) Probe(context.Context) error { return nil }
