package faulty

import "context"

// Storage keeps one record, and an alarm, in memory.
type Storage struct {
	Log
	Record []byte
	OK     bool
	Alarm  int64          // 0: none
	Armed  func(at int64) // if set, is told of alarms
}

// Get returns the record.
func (s *Storage) Get() (record []byte, ok bool, err error) {
	if err := s.do("get", func() {}); err != nil {
		return nil, false, err
	}
	return append([]byte{}, s.Record...), s.OK, nil
}

// Put stores the record.
func (s *Storage) Put(record []byte) error {
	return s.do("put", func() { s.Record, s.OK = append([]byte{}, record...), true })
}

// SetAlarm sets the alarm.
func (s *Storage) SetAlarm(_ context.Context, at int64) error {
	return s.do("setAlarm", func() {
		s.Alarm = at
		if s.Armed != nil {
			s.Armed(at)
		}
	})
}

// Clear removes the record and the alarm.
func (s *Storage) Clear(context.Context) error {
	return s.do("clear", func() { s.Record, s.OK, s.Alarm = nil, false, 0 })
}
