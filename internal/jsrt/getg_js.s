#include "textflag.h"

// func goroutine() uintptr
// The address of the running goroutine's g: it tells goroutines apart while they live, which is all that transactions need.
TEXT ·goroutine(SB), NOSPLIT, $0-8
	MOVD g, ret+0(FP)
	RET
