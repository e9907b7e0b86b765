package dodedupe

import (
	"encoding/binary"
	"errors"
	"math"

	"flow.internal/capdo/dedupe"
	"flow.internal/capdo/durable"
)

// Messages between Store and object. Each begins with its version. Then follows
//
//	putIfAbsent   owner (16 bytes), TTL in ms (uvarint)      reply   0 or 1: inserted
//	look          nothing                                    reply   0, or 1 and the record as it is stored
//	forget        the record, as look returned it            reply   nothing
//
// where a reply has doneCode in front, or is the code of an error and perhaps a text: the object definitely changed nothing.
const (
	methodPut    = "putIfAbsent"
	methodLook   = "look"
	methodForget = "forget"

	messageVersion = 1
	doneCode       = 0
	textCode       = 1 // an error that has only a text
)

// codes are the errors that keep their identity on the way to the caller.
var codes = [...]error{
	2: ErrMalformed,
	3: ErrVersion,
	4: ErrCorrupt,
	5: dedupe.ErrInvalidTTL,
	6: durable.ErrNoSQL,
	// Those of ledgers and sequencers.
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

func encodePut(o owner, ttl int64) []byte {
	b := append([]byte{messageVersion}, o[:]...)
	return binary.AppendUvarint(b, uint64(ttl))
}

func decodePut(msg []byte) (o owner, ttl int64, err error) {
	b, err := content(msg)
	if err != nil {
		return o, 0, err
	}
	n := copy(o[:], b)
	ms, size := binary.Uvarint(b[n:])
	if size <= 0 || n+size != len(b) || ms > math.MaxInt64 {
		return owner{}, 0, ErrMalformed
	}
	return o, int64(ms), nil
}

func encodeLook() []byte { return []byte{messageVersion} }

func encodeForget(seen []byte) []byte { return append([]byte{messageVersion}, seen...) }

// content strips the version.
func content(msg []byte) ([]byte, error) {
	switch {
	case len(msg) == 0:
		return nil, ErrMalformed
	case msg[0] != messageVersion:
		return nil, ErrVersion
	}
	return msg[1:], nil
}

// reply is how an object's method returns: errors that changed nothing travel in the message, others are thrown.
func reply(body []byte, err error) ([]byte, error) {
	if err == nil {
		return append([]byte{messageVersion, doneCode}, body...), nil
	}
	if !isUndone(err) {
		return nil, err
	}
	for code, known := range codes {
		if known != nil && errors.Is(err, known) {
			return []byte{messageVersion, byte(code)}, nil
		}
	}
	return append([]byte{messageVersion, textCode}, err.Error()...), nil
}

// decodeReply returns a reply's content, or the error that it carries.
func decodeReply(msg []byte) ([]byte, error) {
	b, err := content(msg)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return nil, ErrMalformed
	}
	code, b := int(b[0]), b[1:]
	switch {
	case code == doneCode:
		return b, nil
	case code == textCode:
		return nil, undone{errors.New(string(b))}
	case code < len(codes):
		return nil, undone{codes[code]}
	}
	return nil, undone{ErrVersion}
}

func encodeBool(v bool) []byte {
	if v {
		return []byte{1}
	}
	return []byte{0}
}

// cutBool splits off the leading boolean.
func cutBool(b []byte) (v bool, rest []byte, err error) {
	if len(b) == 0 || b[0] > 1 {
		return false, nil, ErrMalformed
	}
	return b[0] == 1, b[1:], nil
}
