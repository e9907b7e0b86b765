// Package dedupehttp brings idempotent execution to HTTP, on a [dedupe.Ledger].
package dedupehttp
