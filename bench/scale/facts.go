//go:build !js

package main

import "math"

// Sizes that were measured, and those that Cloudflare documents.
const (
	resultSize   = 200       // what the tables assume, as capdo cost does
	objectMemory = 290 << 10 // of workerd's process, per object in memory
	goMemory     = 530       // … of the Go program
	isolateSize  = 128e6     // what an isolate may take
	objectSize   = 10e9      // what an object may store
)

// measured are the times for which workerd computed for an operation in a
// bucket, as e2e/load printed them, rounded up. They include the Worker that
// called, and all threads of the process. Open is by how much longer a new key
// took with an object of its own.
var measured = Service{
	Claim: 1.5e-3, Repeat: 0.7e-3, Complete: 0.9e-3,
	Sweep: 2e-3, Record: 0.01e-3, Open: 4.5e-3, Varies: true,
}

// guided is what Cloudflare's guide says of objects that write: 200 to 500
// requests a second, and 1,000 that hardly compute.
// https://developers.cloudflare.com/durable-objects/best-practices/rules-of-durable-objects/#message-throughput-limits
// (2026-11)
func guided(writes float64) Service {
	s := measured
	s.Claim, s.Complete, s.Sweep = 1/writes, 1/writes, 1/writes
	s.Repeat = 1e-3
	return s
}

// cloudflare is the network, as far as it is documented. The rest is assumed:
// that a request is refused beyond the soft limit, counted over 10 s, or after
// it has waited for 10 s; and that alarms are delivered 10 ms late.
var cloudflare = Platform{Rate: 1000, Window: 10, MaxWait: 10, AlarmDelay: 0.01, Idle: 10}

// planned is what the tables of many buckets calculate with.
var planned = guided(200)

// unlimited is a network that refuses nothing.
var unlimited = Platform{Rate: math.Inf(1), Window: 1, MaxWait: math.Inf(1)}
