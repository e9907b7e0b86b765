package dodedupe

// What native tests and those in workerd share.

// noon is when the tests of pure code begin, in ms.
const noon = 1_800_000_000_000

func (a *answer) holder() holder { return holder{a.entry.owner, a.entry.number} }
