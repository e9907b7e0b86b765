package optimize

import "flow.internal/capdo/internal/wasm"

// The instructions that this package looks for.
// https://webassembly.github.io/spec/core/binary/instructions.html
const (
	opUnreachable = 0x00
	opNop         = 0x01
	opBlock       = 0x02
	opLoop        = 0x03
	opIf          = 0x04
	opElse        = 0x05
	opEnd         = 0x0b
	opBr          = 0x0c
	opBrIf        = 0x0d
	opBrTable     = 0x0e
	opReturn      = 0x0f
	opDrop        = 0x1a
	opGetLocal    = 0x20
	opSetLocal    = 0x21
	opTeeLocal    = 0x22
	opGetGlobal   = 0x23
	opSetGlobal   = 0x24
	opI32Load     = 0x28 // the first instruction that reads memory
	opI32Store    = 0x36 // the first one that writes memory
	opI64Store32  = 0x3e // the last one
	opI32Const    = 0x41
	opI64Const    = 0x42
	opF32Const    = 0x43
	opF64Const    = 0x44
	opI32Eqz      = 0x45
	opI64Eqz      = 0x50
	opI32Add      = 0x6a
	opI64Add      = 0x7c
	opWrap        = 0xa7 // i32.wrap_i64
	opExtend      = 0xad // i64.extend_i32_u
	opLast        = 0xc4

	noResult = 0x40 // the type of a block
	target   = 0    // the local variable with the number of the next segment
	stack    = 1    // the local variable with the stack pointer
)

// immediates skips what follows the code of an instruction.
func immediates(r *wasm.Reader, op byte) {
	switch {
	case op == opBlock, op == opLoop, op == opIf:
		if r.Byte() != noResult {
			r.Fail()
		}
	case op <= opElse, op == opEnd, op == opReturn, op == opDrop, op == 0x1b, // select
		op >= opI32Eqz && op <= opLast:
	case op == opBr, op == opBrIf, op == 0x10, op >= opGetLocal && op <= opSetGlobal: // call
		r.Uint()
	case op == opBrTable:
		for n := r.Uint() + 1; n > 0 && !r.Failed(); n-- {
			r.Uint()
		}
	case op == 0x11, op >= opI32Load && op <= opI64Store32: // call_indirect
		r.Uint()
		r.Uint()
	case op == 0x3f, op == 0x40: // memory.size, memory.grow
		r.Byte()
	case op == opI32Const, op == opI64Const:
		r.Int()
	case op == opF32Const:
		r.Skip(4)
	case op == opF64Const:
		r.Skip(8)
	case op == 0xfc:
		switch n := r.Uint(); {
		case n <= 7: // conversions
		case n == 10: // memory.copy
			r.Skip(2)
		case n == 11: // memory.fill
			r.Skip(1)
		default:
			r.Fail()
		}
	default:
		r.Fail()
	}
}

// values returns how many values an instruction takes from the operand stack,
// and how many it leaves there. ok is false if it is none of those that compute
// something.
func values(op byte) (takes, leaves int, ok bool) {
	switch {
	case op == opGetLocal, op == opGetGlobal, op >= opI32Const && op <= opF64Const:
		return 0, 1, true
	case op == opSetLocal, op == opSetGlobal, op == opDrop:
		return 1, 0, true
	case op == opTeeLocal, op >= opI32Load && op < opI32Store:
		return 1, 1, true
	case op >= opI32Store && op <= opI64Store32:
		return 2, 0, true
	case op == opI32Eqz, op == opI64Eqz, op >= 0x67 && op <= 0x69, op >= 0x79 && op <= 0x7b,
		op >= 0x8b && op <= 0x91, op >= 0x99 && op <= 0x9f, op >= opWrap && op <= opLast:
		return 1, 1, true
	case op > opI32Eqz && op < opWrap: // comparisons and arithmetic
		return 2, 1, true
	}
	return 0, 0, false
}
