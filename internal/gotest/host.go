package gotest

import (
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// host answers testing.mjs, about what only the outside knows.
type host struct {
	address string
	disk    string
	server  *http.Server
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
	h.server = &http.Server{Handler: mux}
	go h.server.Serve(l)
	return nil
}

func (h *host) stop() { h.server.Close() }

// objects lists the ids of a class's objects: each has a file.
func (h *host) objects(w http.ResponseWriter, r *http.Request) {
	files, err := filepath.Glob(filepath.Join(h.disk, filepath.Base(r.FormValue("class")), "*.sqlite"))
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
	files, err := filepath.Glob(filepath.Join(h.disk, "*", "*.sqlite*"))
	for _, f := range files {
		err = errors.Join(err, os.Remove(f))
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
