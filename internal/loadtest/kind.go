package loadtest

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
)

var (
	errUnsent      = errors.New("not sent: too many requests were in flight")
	errInterrupted = errors.New("interrupted")
	errTooLarge    = errors.New("answer over 64 MiB")
)

// kindOf names an error's kind without addresses and ports, so that equal
// errors are counted together.
func kindOf(err error) string {
	var (
		timeout net.Error
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		outer   *url.Error
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	case errors.As(err, &dns):
		return "host not found"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, syscall.EMFILE):
		return "too many open files"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no free local port"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	case errors.As(err, &cert):
		return "certificate not trusted"
	case errors.As(err, &outer):
		return outer.Err.Error()
	}
	return err.Error()
}

// discard reads a body to its end.
func discard(body io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(body, MaxAnswer+1))
	if err == nil && n > MaxAnswer {
		err = errTooLarge
	}
	return err
}
