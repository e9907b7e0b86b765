package sqltext

// CallValuer returns what a driver.Valuer says that it is, and whether it is
// one. Package durablesql sets it, which links package database/sql/driver.
var CallValuer func(v any) (value any, ok bool, err error)
