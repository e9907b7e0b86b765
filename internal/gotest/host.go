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

// host answers requests of testing.mjs that only a process outside of workerd
// can answer.
type host struct {
	address string
	disk    string
	server  *http.Server

	mu        sync.Mutex
	state     []byte // of a program that will continue in another workerd, see restart.mjs
	wanted    bool   // the program asked for a restart
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

// objects lists the ids of a class's objects. Each object has a file.
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

// files returns the objects' files. An id has 64 digits. workerd keeps the
// times of alarms in metadata.sqlite beside them.
func (h *host) files(class, ending string) ([]string, error) {
	return filepath.Glob(filepath.Join(h.disk, class, strings.Repeat("?", 64)+ending))
}

// restart stores the program's state. It never answers, because the workerd
// that asks is killed.
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

// onRestart makes a requested restart call stop, until undo is called.
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

// takeRestart reports whether the program asked for a restart, and clears the
// request.
func (h *host) takeRestart() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	wanted := h.wanted
	h.wanted = false
	return wanted
}
