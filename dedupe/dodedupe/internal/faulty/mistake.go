package faulty

import "testing"

// Mistake is a known mistake of earlier implementations.
type Mistake struct {
	Name string
	// Find returns what is wrong: nothing in the correct code, something in the
	// code with the mistake.
	Find func(t *testing.T, made bool) (wrong string)
}

// TestMistakes finds each mistake in the code that has it, and nowhere else.
func TestMistakes(t *testing.T, mistakes []Mistake) {
	for _, m := range mistakes {
		t.Run("known mistake: "+m.Name, func(t *testing.T) {
			if wrong := m.Find(t, false); wrong != "" {
				t.Error(wrong)
			}
			if m.Find(t, true) == "" {
				t.Error("it is not found where it is made")
			}
		})
	}
}
