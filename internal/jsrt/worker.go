package jsrt

// worker is a goroutine that does one task after another. Its stack has already
// grown; growing a new stack takes a quarter of a short call's time.
type worker struct{ next chan task }

// task is an [Invocation], or the function of a transaction. It sets the mark
// of the goroutine that works on it.
type task interface{ work() }

// workers are the idle ones.
var workers idle

type idle struct {
	list [32]*worker
	n    int
}

func (p *idle) take() *worker {
	if p.n == 0 {
		return nil
	}
	p.n--
	return p.list[p.n]
}

func (p *idle) give(w *worker) bool {
	if p.n == len(p.list) {
		return false
	}
	p.list[p.n] = w
	p.n++
	return true
}

// start begins a task in a goroutine of its own.
func start(t task) {
	if w := workers.take(); w != nil {
		w.next <- t
		return
	}
	go (&worker{next: make(chan task, 1)}).work(t)
}

func (w *worker) work(t task) {
	for {
		t.work()
		setMark(nil)
		if !workers.give(w) {
			return
		}
		t = <-w.next
	}
}
