//go:build !js

package main

import (
	"math"
	"math/rand/v2"
)

// Service is for how long, in seconds, an operation occupies the thread of an
// isolate. The thread serves one after another, in the order of their arrival.
type Service struct {
	Claim    float64 // of a new key
	Repeat   float64 // claim of a key that is taken
	Complete float64
	Sweep    float64 // an alarm
	Record   float64 // each record that it removes, in addition
	Open     float64 // waking an object that is not in memory, in addition
	Varies   bool    // those of requests are random, exponential with that mean
}

// Load is what callers do.
type Load struct {
	Claims     float64 // a second, at random times (Poisson)
	Duplicates float64 // share of the claims that repeat a recent key
	Zipf       *zipf   // if set, keys are drawn from it
	Hot        float64 // claims of one single key a second, in addition
	Work       float64 // from a claim of a new key to its completion, in seconds
	TTL        float64 // from the claim, in seconds
	Spread     float64 // the TTL is longer by a random time up to this one
	Warm, For  float64 // for how long it lasts: before it is measured, and then
	Storm      int     // records that exist, and expire when measuring begins
	Retries    int     // of a caller that is refused
	Pause      float64 // before the first one, then twice as long, ± half
	Frontends  int     // isolates of the Worker which cache what is completed
	Cache      float64 // for so many seconds; 0 for no cache
}

// Layout is where keys are.
type Layout struct {
	Buckets  int // 0: an object per key
	Isolates int // that share all objects; 0: each object has its own
}

// Platform is what the network does. Only Rate, Window and Idle come from
// Cloudflare's documentation.
type Platform struct {
	Rate, Window float64 // more than Rate×Window requests in a Window are refused
	MaxWait      float64 // a request that would wait for longer is refused
	AlarmDelay   float64 // from an alarm's time to its delivery
	AlarmFails   float64 // share of deliveries that fail, and are repeated
	Idle         float64 // an object leaves the memory after so long
}

// Setup is one run.
type Setup struct {
	Service
	Load
	Layout
	Platform
	Seed uint64
}

// sweepLimit is how many records one alarm of package dodedupe removes.
const sweepLimit = 200

// The platform repeats an alarm that fails 2, 4, 8, … s later, up to 6 times.
// dodedupe sets it again, at the next operation, if it is overdue by a minute.
const (
	firstRepeat = 2.0
	maxRepeats  = 6
	overdue     = 60.0
)

// object is a Durable Object. It has one alarm.
type object struct {
	isolate    int32
	due        times
	alarmAt    float64 // when it is set for; 0: not
	window     float64 // when the current window of its rate began
	inWindow   int
	awakeUntil float64
	awake      bool
	requests   int
}

type isolate struct {
	free, used  float64 // when it has served all; for how long it was busy
	awake, most int
}

// Result is what was measured, after the warm-up.
type Result struct {
	Wait      histogram // from asking to being served, of all
	HotWait   histogram // … of the single hot key
	Neighbors histogram // … of others in its bucket
	During    histogram // … of all while expired records are left
	Requests  int       // that were served
	Asked     int       // claims that callers made, those that a cache answered included
	Cached    int
	Refused   int // answers "overloaded"
	Lost      int // claims and completions that were refused to the end
	HotAsked  int
	HotLost   int
	NextLost  int // of its neighbors' requests
	NewKeys   int
	Alarms    int
	Failed    int // of the alarms
	GivenUp   int // alarms that failed for the last time
	Removed   int
	MostRings int     // the most alarms in a second
	Emptied   float64 // when the last record of the storm was removed, from the beginning
	Busiest   float64 // share of the time that the busiest isolate is busy
	Mean      float64 // … on average
	HotRate   float64 // requests a second of the object with most of them
	Awake     int     // the most objects in memory
	MostAwake int     // … in one isolate
}

// sim is a run.
type sim struct {
	Setup
	Result
	r         *rand.Rand
	events    events
	objects   []object
	isolates  []isolate
	byKey     map[int32]int32 // the objects of keys that may be claimed again
	state     map[int32]uint8 // of the same
	recent    []int32
	cached    []map[int32]float64
	serial    int32
	now, end  float64
	hotKey    int32
	hotObject int32 // the bucket of the hot key; else -1
	expiring  int   // records of the storm that are left
	awake     int
	ringsAt   int
	rings     int
}

// States of a key that may be claimed again.
const (
	absent uint8 = iota
	held
	completed
)

// Run simulates.
func Run(s Setup) *Result {
	m := &sim{Setup: s, r: rand.New(rand.NewPCG(s.Seed, 1)),
		byKey: map[int32]int32{}, state: map[int32]uint8{}, hotKey: math.MaxInt32}
	m.end = s.Warm + s.For
	m.isolates = make([]isolate, s.Isolates)
	m.objects = make([]object, 0, s.Buckets)
	for range s.Buckets {
		m.newObject()
	}
	m.hotObject = -1
	if s.Load.Hot > 0 && s.Buckets > 0 {
		m.hotObject = m.objectOf(m.hotKey)
	}
	for range s.Frontends {
		m.cached = append(m.cached, map[int32]float64{})
	}
	m.prepareStorm()
	m.run()
	m.finish()
	return &m.Result
}

func (m *sim) newObject() int32 {
	n := int32(len(m.objects))
	at := n
	if m.Isolates > 0 {
		at = n % int32(m.Isolates)
	} else {
		m.isolates = append(m.isolates, isolate{})
	}
	m.objects = append(m.objects, object{isolate: at, window: -math.MaxFloat64})
	return n
}

func (m *sim) objectOf(key int32) int32 {
	if m.Buckets > 0 {
		return bucketOf(key, m.Buckets)
	}
	if n, ok := m.byKey[key]; ok {
		return n
	}
	n := m.newObject()
	if m.isAgain(key) {
		m.byKey[key] = n
	}
	return n
}

// prepareStorm stores records that are due when measuring begins.
func (m *sim) prepareStorm() {
	for range m.Storm {
		m.serial++
		n := m.objectOf(m.serial)
		m.objects[n].due.push(m.Warm + m.Spread*m.r.Float64())
	}
	m.expiring = m.Storm
	for n := range m.objects {
		if o := &m.objects[n]; len(o.due) > 0 {
			m.setAlarm(int32(n), o.due[0])
		}
	}
}

// run handles events in their order until the load has ended, and the records
// of the storm are removed.
func (m *sim) run() {
	next, hot := m.after(m.Claims), m.after(m.Load.Hot)
	for {
		at := min(next, hot)
		if len(m.events.list) > 0 && m.events.list[0].at < at {
			e := m.events.pop()
			if m.now = e.at; m.now > m.end && m.expiring <= 0 {
				return
			}
			m.handle(&e)
			continue
		}
		if at > m.end && m.expiring <= 0 || math.IsInf(at, 1) {
			return
		}
		m.now = at
		if at == hot {
			m.arrive(m.hotKey)
			hot += m.after(m.Load.Hot)
		} else {
			m.arrive(m.drawKey())
			next += m.after(m.Claims)
		}
	}
}

// after returns the time to the next arrival.
func (m *sim) after(rate float64) float64 {
	if rate == 0 {
		return math.Inf(1)
	}
	return m.r.ExpFloat64() / rate
}

func (m *sim) drawKey() int32 {
	if m.Zipf != nil {
		return m.Zipf.draw(m.r)
	}
	if len(m.recent) > 0 && m.r.Float64() < m.Duplicates {
		return m.recent[m.r.IntN(len(m.recent))]
	}
	m.serial++
	if m.Duplicates > 0 {
		if m.recent = append(m.recent, m.serial); len(m.recent) > 1000 {
			m.recent = m.recent[1:]
		}
	}
	return m.serial
}

func (m *sim) measures() bool { return m.now >= m.Warm && m.now <= m.end }

// arrive is a caller's claim of a key.
func (m *sim) arrive(key int32) {
	if m.measures() {
		m.Asked++
		if key == m.hotKey {
			m.HotAsked++
		}
	}
	var cache map[int32]float64
	if m.Frontends > 0 {
		cache = m.cached[m.r.IntN(m.Frontends)]
		if cache[key] > m.now {
			if m.measures() {
				m.Cached++
			}
			return
		}
	}
	if m.state[key] == completed && m.Cache > 0 {
		cache[key] = m.now + m.Cache
	}
	e := event{at: m.now, kind: claim, object: m.objectOf(key), key: key, due: m.now}
	m.handle(&e)
}

func (m *sim) handle(e *event) {
	o := &m.objects[e.object]
	switch e.kind {
	case sleep:
		if o.awakeUntil > m.now {
			m.events.push(event{at: o.awakeUntil, kind: sleep, object: e.object})
			return
		}
		o.awake = false
		m.awake--
		m.isolates[o.isolate].awake--
	case ring:
		if o.alarmAt == e.due { // else it was moved
			m.ring(e, o)
		}
	default:
		m.request(e, o)
	}
}

// request serves a claim or a completion, or refuses it.
func (m *sim) request(e *event, o *object) {
	if m.now-o.window >= m.Window {
		o.window, o.inWindow = m.now, 0
	}
	o.inWindow++
	wait := max(m.isolates[o.isolate].free-m.now, 0)
	if float64(o.inWindow) > m.Rate*m.Window || wait > m.MaxWait {
		m.refuse(e)
		return
	}
	if o.alarmAt > 0 && m.now > o.alarmAt+overdue {
		m.setAlarm(e.object, m.now)
	}
	takes, isNew := m.takes(e)
	if m.Varies {
		takes *= m.r.ExpFloat64()
	}
	done := m.serve(e.object, o, takes)
	if isNew {
		m.store(e, o, done)
	}
	if !m.measures() {
		return
	}
	o.requests++
	m.Requests++
	total := m.now + wait - e.due
	m.Wait.add(total)
	switch {
	case e.key == m.hotKey:
		m.HotWait.add(total)
	case e.object == m.hotObject:
		m.Neighbors.add(total)
	}
	if m.Storm > 0 && m.expiring > 0 {
		m.During.add(total)
	}
}

// takes returns how long a request takes, and whether it is the claim of a new
// key.
func (m *sim) takes(e *event) (seconds float64, isNew bool) {
	if e.kind == complete {
		m.setState(e.key, completed)
		return m.Service.Complete, false
	}
	if m.state[e.key] != absent {
		return m.Service.Repeat, false
	}
	m.setState(e.key, held)
	return m.Service.Claim, true
}

// isAgain reports whether a key may be claimed again: then it is remembered.
func (m *sim) isAgain(key int32) bool {
	return m.Zipf != nil || m.Duplicates > 0 || key == m.hotKey
}

func (m *sim) setState(key int32, state uint8) {
	if m.isAgain(key) {
		m.state[key] = state
	}
}

// store stores a new record, and has its holder complete it.
func (m *sim) store(e *event, o *object, done float64) {
	if m.measures() {
		m.NewKeys++
	}
	if m.TTL > 0 {
		due := m.now + m.TTL + m.Spread*m.r.Float64()
		o.due.push(due)
		if o.alarmAt == 0 || due < o.alarmAt {
			m.setAlarm(e.object, due)
		}
	}
	at := done + m.Work
	m.events.push(event{at: at, kind: complete, object: e.object, key: e.key, due: at})
}

// serve occupies the object's isolate, and returns when that is over.
func (m *sim) serve(n int32, o *object, takes float64) (done float64) {
	i := &m.isolates[o.isolate]
	if !o.awake {
		takes += m.Open
		o.awake = true
		m.awake++
		i.awake++
		m.Awake, i.most = max(m.Awake, m.awake), max(i.most, i.awake)
		if m.Idle > 0 {
			m.events.push(event{at: m.now + m.Idle, kind: sleep, object: n})
		}
	}
	i.free = max(i.free, m.now) + takes
	o.awakeUntil = i.free + m.Idle
	if m.measures() {
		i.used += takes
	}
	return i.free
}

// refuse has the caller ask again later, or give up.
func (m *sim) refuse(e *event) {
	if m.measures() {
		m.Refused++
	}
	if int(e.tries) < m.Retries {
		again := *e
		pause := m.Pause * math.Pow(2, float64(e.tries)) * (0.5 + m.r.Float64())
		again.tries++
		again.at = m.now + pause
		m.events.push(again)
		return
	}
	if m.measures() {
		m.Lost++
		switch {
		case e.key == m.hotKey:
			m.HotLost++
		case e.object == m.hotObject:
			m.NextLost++
		}
	}
}

func (m *sim) setAlarm(n int32, at float64) {
	m.objects[n].alarmAt = at
	m.events.push(event{at: at + m.AlarmDelay, kind: ring, object: n, due: at})
}

// ring is the delivery of an object's alarm.
func (m *sim) ring(e *event, o *object) {
	m.count()
	takes := m.Sweep
	if m.AlarmFails > 0 && m.r.Float64() < m.AlarmFails {
		m.fail(e, m.serve(e.object, o, takes))
		return
	}
	begins := max(m.isolates[o.isolate].free, m.now)
	removed := 0
	for len(o.due) > 0 && o.due[0] <= begins && removed < sweepLimit {
		o.due.pop()
		removed++
	}
	done := m.serve(e.object, o, takes+m.Record*float64(removed))
	m.Removed += removed
	if m.expiring > 0 && m.now >= m.Warm {
		m.expiring -= removed
		if m.expiring <= 0 {
			m.Emptied = done - m.Warm
		}
	}
	o.alarmAt = 0
	if len(o.due) > 0 {
		m.setAlarm(e.object, max(o.due[0], done))
	}
}

// fail has the platform deliver an alarm again.
func (m *sim) fail(e *event, done float64) {
	m.Failed++
	if e.tries >= maxRepeats {
		m.GivenUp++
		return
	}
	again := *e
	again.at = done + firstRepeat*math.Pow(2, float64(e.tries))
	again.tries++
	m.events.push(again)
}

// count counts alarms, and the most in a second.
func (m *sim) count() {
	if m.now < m.Warm {
		return
	}
	m.Alarms++
	if second := int(m.now - m.Warm); second != m.ringsAt {
		m.ringsAt, m.rings = second, 0
	}
	m.rings++
	m.MostRings = max(m.MostRings, m.rings)
}

func (m *sim) finish() {
	used := 0.0
	for i := range m.isolates {
		share := m.isolates[i].used / m.For
		m.Busiest = max(m.Busiest, share)
		used += share
		m.MostAwake = max(m.MostAwake, m.isolates[i].most)
	}
	m.Mean = used / float64(max(len(m.isolates), 1))
	for n := range m.objects {
		m.HotRate = max(m.HotRate, float64(m.objects[n].requests)/m.For)
	}
}
