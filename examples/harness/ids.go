package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"flow.internal/capdo/dedupe/dodedupe"
	"flow.internal/capdo/durable"
	"flow.internal/capdo/durable/durablehttp"
)

// bindingOf returns the name of the binding that a request uses.
func bindingOf(r *http.Request) string {
	if name := r.URL.Query().Get("binding"); name != "" {
		return name
	}
	return defaultBinding
}

func namespaceOf(r *http.Request) (*durable.Namespace, error) {
	return durablehttp.Env(r).Namespace(bindingOf(r))
}

// objectName returns an object's name from a query parameter. It refuses the
// names of dedupe's own objects.
func objectName(r *http.Request, parameter, absent string) (string, error) {
	name := r.URL.Query().Get(parameter)
	switch {
	case name == "" && absent == "":
		return "", &inputError{parameter, "it is missing"}
	case name == "":
		return absent, nil
	case len(name) > durable.MaxNameSize:
		return "", &inputError{parameter,
			fmt.Sprintf("it is longer than %d bytes", durable.MaxNameSize)}
	case strings.HasPrefix(name, dodedupe.RecordPrefix):
		return "", &inputError{parameter,
			`names that begin with "` + dodedupe.RecordPrefix + `" are reserved for dedupe`}
	}
	return name, nil
}

func idFromName(_ http.ResponseWriter, r *http.Request) (any, error) {
	return idOf(r, "name", (*durable.Namespace).IDFromName)
}

func idFromString(_ http.ResponseWriter, r *http.Request) (any, error) {
	return idOf(r, "id", (*durable.Namespace).IDFromString)
}

// idOf makes an id of a query parameter.
func idOf(
	r *http.Request, parameter string, make func(*durable.Namespace, string) (*durable.ID, error),
) (any, error) {
	return answerID(r, func(n *durable.Namespace) (*durable.ID, error) {
		text := r.URL.Query().Get(parameter)
		if text == "" {
			return nil, &inputError{parameter, "it is missing"}
		}
		return make(n, text)
	})
}

var jurisdictions = []string{durable.JurisdictionEU, durable.JurisdictionFedRAMP,
	durable.JurisdictionFedRAMPHigh, durable.JurisdictionUS}

func uniqueID(_ http.ResponseWriter, r *http.Request) (any, error) {
	return answerID(r, func(n *durable.Namespace) (*durable.ID, error) {
		jurisdiction := r.URL.Query().Get("jurisdiction")
		if jurisdiction != "" && !slices.Contains(jurisdictions, jurisdiction) {
			return nil, &inputError{"jurisdiction",
				"it can be " + strings.Join(jurisdictions, ", ")}
		}
		return n.NewUniqueID(&durable.IDOptions{Jurisdiction: jurisdiction})
	})
}

// answerID returns the answer for the id that make returns.
func answerID(
	r *http.Request, make func(*durable.Namespace) (*durable.ID, error),
) (any, error) {
	namespace, err := namespaceOf(r)
	if err != nil {
		return nil, err
	}
	id, err := make(namespace)
	if err != nil {
		return nil, err
	}
	return map[string]any{"id": id.String(), "name": orNull(id.Name()),
		"jurisdiction": orNull(id.Jurisdiction())}, nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// fetchStub calls an object's fetch through a stub by name, and through a stub
// by id.
func fetchStub(w http.ResponseWriter, r *http.Request) {
	namespace, err := namespaceOf(r)
	if err != nil {
		fail(w, err)
		return
	}
	name, err := objectName(r, "name", "")
	if err != nil {
		fail(w, err)
		return
	}
	answers := map[string]any{}
	for how, connect := range map[string]func() (*durable.Stub, error){
		"by_name": func() (*durable.Stub, error) { return namespace.GetByName(name, nil) },
		"by_id": func() (*durable.Stub, error) {
			id, err := namespace.IDFromName(name)
			if err != nil {
				return nil, err
			}
			return namespace.Get(id, nil)
		},
	} {
		stub, err := connect()
		if err == nil {
			answers[how], err = fetchHello(r, stub)
		}
		if err != nil {
			fail(w, err)
			return
		}
	}
	reply(w, http.StatusOK, answers)
}

func fetchHello(r *http.Request, stub *durable.Stub) (any, error) {
	resp, err := stub.Fetch(r.Context(), &durable.Request{Method: "GET", URL: "http://object/"})
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(resp.Body)
	return json.RawMessage(b), err
}
