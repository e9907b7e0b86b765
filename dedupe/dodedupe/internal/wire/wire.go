// Package wire has the messages between callers and objects, and determines
// which errors had no effect. A message begins with its version. In a reply
// doneCode follows the version, or the code of an error, perhaps with a text;
// such an error means that the object definitely changed nothing. Errors that
// may come after a change are thrown.
package wire

import (
	"errors"
	"slices"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/dedupe/dodedupe/internal/codec"
	"flow.internal/capdo/dedupe/dodedupe/internal/effect"
	"flow.internal/capdo/durable"
)

const (
	messageVersion = 1
	doneCode       = 0
	textCode       = 1 // an error that has only a text
)

// ErrNeedsSQLite is package dodedupe's.
var ErrNeedsSQLite error = needsSQLite{}

type needsSQLite struct{}

func (needsSQLite) Error() string {
	return "the class has key-value storage\n" +
		"hint: ledgers, sequencers and buckets need a class in new_sqlite_classes"
}

func (needsSQLite) Is(target error) bool { return target == durable.ErrNoSQL }

// codes are the errors that keep their identity on the way to the caller.
var codes = [...]error{
	2: codec.ErrMalformed,
	3: codec.ErrVersion,
	4: codec.ErrCorrupt,
	5: dedupe.ErrInvalidTTL,
	// Those of ledgers and sequencers.
	6:  ErrNeedsSQLite,
	7:  dedupe.ErrMismatch,
	8:  dedupe.ErrFenced,
	9:  dedupe.ErrResultTooLarge,
	10: dedupe.ErrInvalidLease,
	11: dedupe.ErrInvalidWait,
	12: dedupe.ErrOwnerTooLarge,
	13: dedupe.ErrFingerprintTooLarge,
	14: dedupe.ErrKeyEmpty,
	15: dedupe.ErrOverloaded,
}

// content strips the version.
func content(msg []byte) ([]byte, error) {
	switch {
	case len(msg) == 0:
		return nil, codec.ErrMalformed
	case msg[0] != messageVersion:
		return nil, codec.ErrVersion
	}
	return msg[1:], nil
}

// Reply returns the result of an object's method. It may move body within its
// memory, so body must be nobody else's.
func Reply(body []byte, err error) ([]byte, error) {
	if err == nil {
		return slices.Insert(body, 0, messageVersion, doneCode), nil
	}
	if !effect.IsNone(err) {
		return nil, err
	}
	for code, known := range codes {
		if known != nil && errors.Is(err, known) {
			return []byte{messageVersion, byte(code)}, nil
		}
	}
	return append([]byte{messageVersion, textCode}, err.Error()...), nil
}

// DecodeReply returns a reply's content, or the error that it carries.
func DecodeReply(msg []byte) ([]byte, error) {
	b, err := content(msg)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, codec.ErrMalformed
	}
	code, b := int(b[0]), b[1:]
	switch {
	case code == doneCode:
		return b, nil
	case code == textCode:
		return nil, effect.None(errors.New(string(b)))
	case code < len(codes):
		return nil, effect.None(codes[code])
	}
	return nil, effect.None(codec.ErrVersion)
}
