package durable

import "flow.internal/capdo/internal/jsrt"

// State is a Durable Object instance's own side: its id and its storage.
type State struct {
	ref     *jsrt.Ref
	storage *Storage
}

func newState(ref *jsrt.Ref) (*State, error) {
	v, err := ref.Get("storage")
	if err != nil {
		return nil, classify(err)
	}
	storage := &Storage{ref: v.(*jsrt.Ref)}
	storage.kv.storage, storage.sql.storage = storage, storage
	return &State{ref, storage}, nil
}

// ID returns the object's id.
func (s *State) ID() (*ID, error) { return newID(s.ref.Get("id")) }

// Storage returns the object's storage.
func (s *State) Storage() *Storage { return s.storage }
