package durablesql

import (
	"database/sql/driver"
	"errors"
	"strconv"

	"flow.internal/capdo/durable/internal/sqltext"
)

// positional returns the arguments in the order of the parameters' numbers, as
// workerd binds them. A [database/sql.Named] argument binds to every parameter
// of its name, whatever its sign: :name, @name, $name.
func positional(query string, args []driver.NamedValue) ([]any, error) {
	values := make([]any, len(args))
	hasNames := false
	for i, a := range args {
		values[i] = a.Value
		hasNames = hasNames || a.Name != ""
	}
	if !hasNames {
		return values, nil
	}
	text, _ := sqltext.Statements(query)
	names, highest := sqltext.Parameters(text)
	values = make([]any, highest)
	isSet := make([]bool, highest)
	set := func(number int, v any) {
		values[number-1], isSet[number-1] = v, true
	}
	for _, a := range args {
		isUsed := false
		switch {
		case a.Name == "" && a.Ordinal <= highest:
			set(a.Ordinal, a.Value)
			isUsed = true
		case a.Name != "":
			for _, sign := range []string{":", "@", "$"} {
				if number := names[sign+a.Name]; number > 0 {
					set(number, a.Value)
					isUsed = true
				}
			}
		}
		if !isUsed {
			return nil, argumentError("no parameter for argument " + describe(a))
		}
	}
	for name, number := range names {
		if !isSet[number-1] {
			return nil, argumentError("no argument for parameter " + name)
		}
	}
	return values, nil
}

func describe(a driver.NamedValue) string {
	if a.Name != "" {
		return strconv.Quote(a.Name)
	}
	return strconv.Itoa(a.Ordinal)
}

func argumentError(text string) error {
	return errors.New("durablesql: the last statement has " + text)
}
