package optimize

import (
	"encoding/binary"

	"flow.internal/capdo/internal/wasm"
)

// instruction is an instruction of a function.
type instruction struct {
	op         byte
	start, end int
	constant   int64 // of opI64Const
	local      bool  // it reads the stack pointer
	offset     int64 // to add to the offset of an instruction that reads or writes memory
	isReplaced bool  // by code
	code       []byte
}

// addresses shortens the computation of addresses.
func addresses(b []byte) []byte {
	list, hasStack, ok := instructions(b)
	if !ok {
		return b
	}
	for i := range list {
		shorten(list[i:], hasStack)
	}
	out := append(make([]byte, 0, len(b)), b[:list[0].start]...)
	for _, ins := range list {
		switch {
		case ins.isReplaced:
			out = append(out, ins.code...)
		case ins.offset != 0:
			r := wasm.NewReader(b[ins.start+1 : ins.end])
			out = binary.AppendUvarint(append(out, ins.op), r.Uint())
			out = binary.AppendUvarint(out, r.Uint()+uint64(ins.offset))
		default:
			out = append(out, b[ins.start:ins.end]...)
		}
	}
	return out
}

// instructions lists the instructions of a function.
func instructions(b []byte) (list []instruction, hasStack, ok bool) {
	r := wasm.NewReader(b)
	hasStack = locals(r)
	for r.More() {
		ins := instruction{start: r.At(), op: r.Byte()}
		switch {
		case ins.op == opI64Const:
			ins.constant = r.Int()
		default:
			immediates(r, ins.op)
		}
		ins.end = r.At()
		ins.local = string(b[ins.start:ins.end]) == string([]byte{opGetLocal, stack})
		list = append(list, ins)
	}
	return list, hasStack, !r.Failed() && len(list) > 0
}

// shorten rewrites the instructions at the beginning of list, if they compute
// something in a long way.
func shorten(list []instruction, hasStack bool) {
	switch {
	case list[0].op == opNop:
		remove(list[:1])
	case hasStack && list[0].local && isSum(list[1:]):
		if user := userOf(list[5:]); user >= 0 {
			remove(list[1:5])
			list[5+user].offset += list[2].constant
		}
	case isSum(list):
		n := appendInt([]byte{opI32Const}, int(list[1].constant))
		remove(list[:4])
		list[0].code = append(n, opI32Add)
	case is(list, opExtend, opWrap):
		remove(list[:2])
	case is(list, opExtend, opI64Eqz, opI32Eqz, opIf):
		remove(list[:3]) // not not x
	case is(list, opExtend, opI64Eqz):
		remove(list[:2])
		list[0].code = []byte{opI32Eqz}
	}
}

// isSum reports whether the instructions add a constant to a number of 32 bits.
func isSum(list []instruction) bool {
	return is(list, opExtend, opI64Const, opI64Add, opWrap) &&
		list[1].constant >= 0 && list[1].constant < maxOffset
}

// maxOffset is larger than any frame of a goroutine's stack. An address on the
// stack plus a smaller offset does not exceed 32 bits.
const maxOffset = 1 << 28

func is(list []instruction, ops ...byte) bool {
	if len(list) < len(ops) {
		return false
	}
	for i, op := range ops {
		if list[i].op != op || list[i].isReplaced {
			return false
		}
	}
	return true
}

func remove(list []instruction) {
	for i := range list {
		list[i].isReplaced = true
	}
}

// userOf returns the index of the instruction that reads or writes memory at an
// address, which is on top of the operand stack. If something else takes the
// address, it returns -1.
func userOf(list []instruction) int {
	above := 0 // values above the address
	for i, ins := range list {
		takes, leaves, ok := values(ins.op)
		switch {
		case !ok:
			return -1
		case takes <= above:
			above += leaves - takes
		case takes == above+1 && ins.op >= opI32Load && ins.op <= opI64Store32:
			return i
		default:
			return -1
		}
	}
	return -1
}
