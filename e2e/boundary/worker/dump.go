package main

import (
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"time"

	"flow.internal/capdo/internal/jsrt"
)

// dump formats a value like dump in values.mjs: both sides must see the same
// value.
func dump(v any) string {
	switch v := v.(type) {
	case nil:
		return "N"
	case bool:
		return map[bool]string{true: "T", false: "F"}[v]
	case float64:
		if v != v {
			return "nan"
		}
		return fmt.Sprintf("n%016x", math.Float64bits(v))
	case int:
		return dump(float64(v))
	case int64:
		if v < 1<<53 && v > -1<<53 {
			return dump(float64(v)) // the type that goes back
		}
		return fmt.Sprint("i", v)
	case uint64:
		return fmt.Sprint("i", v)
	case jsrt.BigInt:
		return "i" + string(v)
	case string:
		return fmt.Sprintf("s%d:%s", len(v), sum([]byte(v)))
	case []byte:
		return fmt.Sprintf("b%d:%s", len(v), sum(v))
	case time.Time:
		return fmt.Sprint("d", v.UnixMilli())
	case *jsrt.Ref:
		return "r"
	case *jsrt.Error:
		fields := map[string]any{"name": v.Name, "message": v.Message}
		for k, p := range v.Props {
			fields[k] = p
		}
		return "e" + dump(fields)
	case []any:
		return "[" + join(v) + "]"
	case map[string]any:
		var list []string
		for k, e := range v {
			list = append(list, dump(k)+"="+dump(e))
		}
		slices.Sort(list)
		return "{" + strings.Join(list, ",") + "}"
	}
	return fmt.Sprintf("?%T", v)
}

func join(list []any) string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = dump(v)
	}
	return strings.Join(out, ",")
}

// sum is the FNV-1a hash of the first and last 2 KiB.
func sum(b []byte) string {
	h := fnv.New32a()
	if len(b) > 4096 {
		h.Write(b[:2048])
		b = b[len(b)-2048:]
	}
	h.Write(b)
	return fmt.Sprintf("%08x", h.Sum32())
}
