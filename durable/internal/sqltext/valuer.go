package sqltext

// CallValuer returns the result of a driver.Valuer, and whether v is one.
// Package durablesql sets it, because it links package database/sql/driver.
var CallValuer func(v any) (value any, ok bool, err error)
