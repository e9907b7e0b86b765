// The explorer's scenarios. Each function in scenarios makes a random scenario.
// small has scenarios that are explored in all orders, those with the fewest
// orders first.
//
//   calls    the calls of clients; leaves: the client may disconnect
//   delays   I/O is slow, and timeouts come late
//   mayFail  calls may fail; otherwise each must succeed
//   faults   faults that may happen at any time, each once
//   construct  what constructors do at first
//   local    the platform does not end a request's work after its answer
//   least    what objects have at least at the end, besides what calls say
// A call to the stateless Worker is a cron trigger if it has isEvent.

const many = (n, f) => Array.from({ length: n }, (_, i) => f(i));

// calls returns some calls to the stateless Worker and some directly to an
// object.
function calls(pick, generate, faults = []) {
  return many(2 + pick(4), () => {
    const to = pick(3) === 0 ? String(pick(3)) : null;
    return { to, leaves: true, script: generate(pick, { object: to !== null, faults }) };
  });
}

export const scenarios = {
  calm: (pick, generate) => ({ calls: calls(pick, generate), delays: true, local: true }),
  punctual: (pick, generate) => ({ calls: calls(pick, generate), delays: false }),
  evictions: (pick, generate) => ({ calls: calls(pick, generate), delays: true, faults: ["evict", "evict", "evict"] }),
  resets: (pick, generate) => ({ calls: calls(pick, generate), delays: true, mayFail: true, faults: ["reset", "reset", "evict"] }),
  departures: (pick, generate) => ({ calls: calls(pick, generate, ["untilGone"]), delays: true, mayFail: true, local: pick(2) === 0, faults: ["leave", "leave", "reset"] }),
  failures: (pick, generate) => ({ calls: calls(pick, generate, ["panic", "fail", "abort"]), delays: true, mayFail: true, faults: ["evict"] }),
  crashes: (pick, generate) => ({ calls: calls(pick, generate, ["crash", "exit", "abort", "crash"]), delays: true, mayFail: true, faults: ["construct fails", "construct locks", "construct reads", "evict"] }),
  bodies: (pick, generate) => ({
    calls: [...calls(pick, generate), ...many(1 + pick(2), () => ({ to: null, leaves: true,
      script: pick(2) ? ["refuse"] : ["body", pick(6), [1, 50, 3000][pick(3)], "task", generate(pick, { depth: 1 })] }))],
    delays: true, mayFail: true, local: pick(2) === 0, faults: ["leave"],
  }),
  long: (pick, generate) => ({
    calls: [...calls(pick, generate), { to: null, script: ["add", "task", ["lock", pick(2), ["sleep", 20_000, "sleep", 20_000, "call", 1, ["add"]]]] }],
    delays: true, mayFail: true, local: pick(2) === 0, faults: ["reset"],
  }),
  events: (pick, generate) => ({ // work goes on for longer than after a request's answer
    calls: [...calls(pick, generate), { to: null, isEvent: true, script: generate(pick) },
      { to: null, isEvent: true, script: ["add", "task", ["sleep", 20_000, "sleep", 20_000, "call", 3, ["add"]]] }],
    delays: true, local: pick(2) === 0, least: { 3: 1 },
  }),
  stuck: (pick, generate) => ({ calls: [...calls(pick, generate), { to: null, script: ["forever"] }], delays: true, mayFail: true }),
  waiting: (pick, generate) => ({ calls: calls(pick, generate), delays: true, mayFail: true, faults: ["construct reads", "reset", "evict", "evict"] }),
  interruptions: (pick, generate) => ({ // rare, because each takes real time
    calls: [...calls(pick, generate), ...pick(8) === 0 ? [{ to: pick(2) ? "0" : null, script: ["sleep", 20, "spin"] }] : []],
    delays: true, mayFail: true, interrupts: true,
  }),
};

export const small = {
  sectionAfterCrash: { mayFail: true, calls: [{ to: "1", script: ["section", ["add"]] }, { to: null, script: ["crash"] }] },
  outside: { calls: [{ to: "1", script: ["callback", "add"] }, { to: null, script: ["sleep", 1, "callback", "call", 1, ["add"]] }] },
  section: { calls: [{ to: "1", script: ["sleep", 5, "section", ["sleep", 5, "get", "add"]] }, { to: "1", script: ["add", "sleep", 1, "add"] }] },
  // One call writes while the transaction of another is rolled back.
  rollback: { mayFail: true, calls: [{ to: "1", script: ["sleep", 1, "transaction", ["sleep", 20, "fail"]] }, { to: "1", script: ["sleep", 5, "add"] }] },
  // A transaction waits for a call that waits for the transaction's end.
  // workerd resets the object, and both locks become free.
  inversion: { mayFail: true, calls: [
    { to: "1", script: ["lock", 0, ["transaction", ["sleep", 20, "lock", 1, ["add"]]]] },
    { to: "1", script: ["sleep", 10, "lock", 1, ["sleep", 5, "add"]] },
    { to: "2", script: ["sleep", 30, "lock", 0, ["add"]] },
  ] },
  // A woken turn wakes the next one.
  transactions: { calls: [
    { to: "1", script: ["lock", 0, ["sleep", 5, "transact", ["add"]], "lock", 0, ["add"]] },
    { to: "2", script: ["lock", 0, ["transact", ["add"]], "lock", 0, ["add"]] },
  ] },
  // The section in which the program ends delays a requested turn.
  crashInSection: { mayFail: true, calls: [
    { to: "1", script: ["sleep", 2, "add", "sleep", 9] },
    { to: "2", script: ["sleep", 2, "sleep", 9] },
    { to: "1", script: ["section", ["sleep", 5, "crash"]] },
  ] },
  evict: { faults: ["evict"], calls: [{ to: null, script: ["call", 1, ["add"], "sleep", 1, "call", 1, ["add"]] }, { to: "1", script: ["add"] }] },
  // Two objects and a request share a lock that is held during I/O.
  lock: { calls: [
    { to: null, script: ["lock", 0, ["sleep", 5]] },
    { to: "1", script: ["lock", 0, ["get", "add"]] },
    { to: "2", script: ["lock", 0, ["transact", ["add"]], "add"] },
  ] },
  calls: { calls: [{ to: null, script: ["call", 1, ["call", 2, ["add"], "add"]] }, { to: "2", script: ["call", 1, ["add"]] }] },
  reset: { mayFail: true, faults: ["reset"], calls: [{ to: "1", script: ["lock", 0, ["get", "add"]] }, { to: null, script: ["lock", 0, ["sleep", 5], "call", 1, ["add"]] }] },
  crash: { mayFail: true, calls: [{ to: "1", script: ["sleep", 5, "add"] }, { to: null, script: ["lock", 0, ["call", 1, ["add"]]] }, { to: "2", script: ["lock", 0, ["crash"]] }] },
  construct: { mayFail: true, faults: ["construct fails"], calls: [{ to: "1", script: ["get"] }, { to: null, script: ["crash"] }, { to: "1", script: ["add"] }] },
  // The constructor's goroutine ends in another context's turn, and the program
  // soon after. Before the object knows of either, an event constructs it again.
  constructAgain: { mayFail: true, construct: "construct locks", calls: [
    { to: null, script: ["lock", 0, ["sleep", 20], "spawn", ["call", 1, ["add"]], "collect", "exit"] },
    { to: "1", script: ["add"] },
  ] },
  // A goroutine holds a lock while it waits for a call that takes longer than
  // its request may run.
  contextEnds: { mayFail: true, calls: [
    { to: null, script: ["task", ["spawn", ["lock", 0, ["call", 1, ["sleep", 60_000, "add"]]], "sleep", 60_000]] },
    { to: null, script: ["sleep", 5, "lock", 0, ["sleep", 5]] },
  ] },
  leave: { mayFail: true, faults: ["leave"], calls: [{ to: null, leaves: true, script: ["call", 1, ["get"], "untilGone"] }, { to: null, leaves: true, script: ["body", 2, 1] }] },
};
