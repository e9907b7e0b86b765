//go:build !js

package main

// event is something that happens to an object.
type event struct {
	at     float64 // in seconds
	serial uint64  // of events at the same time, the first made comes first
	kind   kind
	object int32
	key    int32
	tries  int8
	due    float64 // when the caller first asked, or the alarm was due
}

type kind uint8

const (
	claim kind = iota
	complete
	ring  // an alarm is delivered
	sleep // an object may have been idle for so long that it is evicted
)

// events is a heap, the earliest first.
type events struct {
	list   []event
	serial uint64
}

func before(a, b *event) bool {
	return a.at < b.at || a.at == b.at && a.serial < b.serial
}

func (h *events) push(e event) {
	h.serial++
	e.serial = h.serial
	h.list = append(h.list, e)
	for i := len(h.list) - 1; i > 0; {
		up := (i - 1) / 2
		if !before(&h.list[i], &h.list[up]) {
			return
		}
		h.list[i], h.list[up] = h.list[up], h.list[i]
		i = up
	}
}

func (h *events) pop() event {
	first, last := h.list[0], len(h.list)-1
	h.list[0] = h.list[last]
	h.list = h.list[:last]
	for i := 0; ; {
		least := 2*i + 1
		if least >= last {
			return first
		}
		if right := least + 1; right < last && before(&h.list[right], &h.list[least]) {
			least = right
		}
		if !before(&h.list[least], &h.list[i]) {
			return first
		}
		h.list[i], h.list[least] = h.list[least], h.list[i]
		i = least
	}
}

// times is a heap of the times at which an object's records are due.
type times []float64

func (h *times) push(at float64) {
	list := append(*h, at)
	*h = list
	for i := len(list) - 1; i > 0; {
		up := (i - 1) / 2
		if list[i] >= list[up] {
			return
		}
		list[i], list[up] = list[up], list[i]
		i = up
	}
}

func (h *times) pop() {
	last := len(*h) - 1
	list := *h
	list[0] = list[last]
	list = list[:last]
	*h = list
	for i := 0; ; {
		least := 2*i + 1
		if least >= last {
			return
		}
		if right := least + 1; right < last && list[right] < list[least] {
			least = right
		}
		if list[least] >= list[i] {
			return
		}
		list[i], list[least] = list[least], list[i]
		i = least
	}
}
