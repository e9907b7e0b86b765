//go:build !js

package main

import "math"

// Sizes that were measured, and those that Cloudflare documents.
const (
	databaseSize = 12 << 10  // an object per key: a SQLite database
	recordSize   = 944       // a record in a bucket, without its result
	resultSize   = 200       // what the tables assume, as capdo cost does
	objectMemory = 290 << 10 // of workerd's process, per object in memory
	goMemory     = 530       // … of the Go program
	isolateSize  = 128e6     // what an isolate may take
	objectSize   = 10e9      // what an object may store
)

// measured are the times for which workerd computed for an operation, as
// e2e/load printed them. They include the Worker that called, and all threads
// of the process.
var measured = Service{
	Claim: 2.4e-3, Repeat: 1.2e-3, Complete: 1.6e-3,
	Sweep: 2e-3, Record: 0.1e-3, Open: 3e-3, Varies: true,
}

// guided is what Cloudflare's guide says of objects that write: 200 to 500
// requests a second.
func guided(writes float64) Service {
	return Service{
		Claim: 1 / writes, Repeat: 1e-3, Complete: 1 / writes,
		Sweep: 1 / writes, Record: 0.1e-3, Open: 3e-3, Varies: true,
	}
}

// cloudflare is the network, as far as it is documented. The rest is assumed:
// that a request is refused beyond the soft limit, counted over 10 s, or after
// it has waited for 10 s; and that alarms are delivered 10 ms late.
var cloudflare = Platform{Rate: 1000, Window: 10, MaxWait: 10, AlarmDelay: 0.01, Idle: 10}

// planned is what the tables of many buckets calculate with.
var planned = guided(200)

// unlimited is a network that refuses nothing.
var unlimited = Platform{Rate: math.Inf(1), Window: 1, MaxWait: math.Inf(1)}
