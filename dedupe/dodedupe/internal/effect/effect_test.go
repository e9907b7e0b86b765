package effect

import (
	"errors"
	"testing"
)

func TestARepeatedCauseIsPrintedOnce(t *testing.T) {
	lost, late := errors.New("connection lost"), errors.New("too late")
	for _, tt := range []struct {
		causes []error
		want   string
	}{
		{[]error{lost, errors.New("connection lost")}, "connection lost"},
		{[]error{lost, late}, "connection lost: too late"},
		{[]error{lost, late, lost}, "connection lost: too late: connection lost"},
	} {
		err := Chain(tt.causes...)
		if err.Error() != tt.want {
			t.Errorf("the text is %q; want %q", err, tt.want)
		}
		for _, cause := range tt.causes {
			if !errors.Is(err, cause) {
				t.Errorf("%q does not match %q", err, cause)
			}
		}
	}
}
