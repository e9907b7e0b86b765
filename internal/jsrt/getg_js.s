#include "textflag.h"

// func goroutine() uintptr
// goroutine returns the address of the running goroutine's g. Two live
// goroutines have different addresses; transactions need no more than that.
TEXT ·goroutine(SB), NOSPLIT, $0-8
	MOVD g, ret+0(FP)
	RET
