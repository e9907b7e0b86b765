package gotest

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// host answers testing.mjs, about what only the outside knows and can do.
type host struct {
	address string
	disk    string
	server  *http.Server

	mu        sync.Mutex
	state     []byte // of a program that is to go on in another workerd, see restart.mjs
	wanted    bool   // a restart
	onWanting func()
}

func (h *host) start() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	h.address = l.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /objects", h.objects)
	mux.HandleFunc("DELETE /objects", h.deleteObjects)
	mux.HandleFunc("POST /restart", h.restart)
	mux.HandleFunc("GET /state", h.giveState)
	h.server = &http.Server{Handler: mux}
	go h.server.Serve(l)
	return nil
}

func (h *host) stop() {
	if h.server != nil {
		h.server.Close()
	}
}

// objects lists the ids of a class's objects: each has a file.
func (h *host) objects(w http.ResponseWriter, r *http.Request) {
	files, err := h.files(filepath.Base(r.FormValue("class")), ".sqlite")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ids := []string{}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
			ids = append(ids, strings.TrimSuffix(filepath.Base(f), ".sqlite"))
		}
	}
	json.NewEncoder(w).Encode(ids)
}

func (h *host) deleteObjects(w http.ResponseWriter, r *http.Request) {
	files, err := h.files("*", ".sqlite*")
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// files returns objects' files. An id is 64 digits; metadata.sqlite beside them
// is where workerd keeps when alarms are due.
func (h *host) files(class, ending string) ([]string, error) {
	return filepath.Glob(filepath.Join(h.disk, class, strings.Repeat("?", 64)+ending))
}

// restart takes over the program's state. It is never answered: the one who
// asks is killed.
func (h *host) restart(w http.ResponseWriter, r *http.Request) {
	state, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h.mu.Lock()
	h.state, h.wanted = state, true
	h.onWanting()
	h.mu.Unlock()
	<-r.Context().Done()
}

func (h *host) giveState(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.Write(h.state)
	h.state = nil
}

// onRestart has stop called when a restart is wanted, until it is undone.
func (h *host) onRestart(stop func()) (undo func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onWanting = stop
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.onWanting = func() {}
	}
}

// takeRestart reports whether a restart is wanted, once.
func (h *host) takeRestart() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := h.wanted
	h.wanted = false
	return wanted
}
