// Go's standard output and standard error, and the file system for package os.
// wasm_exec.js calls both through globalThis.fs. It creates globalThis.fs
// unless testfs.mjs has done so, in tests.

import "./wasm_exec.js"; // copied from the Go toolchain; it defines globalThis.Go

const { fs } = globalThis;

// Line is an incomplete line of output of one file.
class Line {
  constructor() {
    this.text = "";
    this.decoder = new TextDecoder(); // a character may be split between two writes
  }
}

// current is the Runtime whose Go code has the stack, and the I/O context that
// it runs for. A line in the log belongs to one invocation.
export const current = { runtime: null, context: null };

let print = null; // gets the output unchanged, instead of the console
const nobody = {};

// redirect sends Go's output to a function instead of the console.
export function redirect(to) { print = to; }

export const log = (fd, text) => (fd === 2 ? console.error : console.log)(text);

// Go's runtime prints this at the beginning of a line when the program is about
// to end. jsrt prints recovered panics the same way, with a mark.
const fatal = /^(panic|fatal error|runtime: out of memory|runtime: goroutine stack exceeds)\b.*/m, recovered = "[recovered by capdo";

function write(fd, bytes, isRuntime) {
  print?.(fd, bytes);
  const { runtime } = current, lines = (current.context ?? nobody).lines ??= { 1: new Line(), 2: new Line() }, line = lines[fd];
  line.text += line.decoder.decode(bytes, { stream: true });
  if (isRuntime && fd === 2 && runtime && !line.text.includes(recovered)) runtime.isEnding ||= fatal.test(line.text);
  if (fd === 2 && runtime?.isEnding) return; // the program's last words become one entry in the log
  const end = line.text.lastIndexOf("\n");
  if (end < 0) return;
  if (!print) log(fd, line.text.slice(0, end));
  line.text = line.text.slice(end + 1);
}

// flush prints a context's incomplete lines. If the program is ending, it
// returns the line that explains why.
export function flush(context) {
  const { lines } = context ?? nobody;
  if (!lines) return "";
  const cause = fatal.exec(lines[2].text)?.[0] ?? "";
  for (const fd of [1, 2]) {
    if (lines[fd].text && !print) log(fd, lines[fd].text.trimEnd());
    lines[fd].text = "";
  }
  return cause;
}

fs.writeSync = (fd, buffer) => {
  write(fd, buffer, false);
  return buffer.length;
};

// runtimeWrite replaces Go's import runtime.wasmWrite, which prints the output
// of Go's runtime and println.
export const runtimeWrite = (go) => (sp) => {
  const at = sp >>> 0, fd = Number(go.mem.getBigInt64(at + 8, true)), p = Number(go.mem.getBigInt64(at + 16, true));
  write(fd, new Uint8Array(go.mem.buffer, p, go.mem.getInt32(at + 24, true)), true);
};

// Every function of fs calls its callback before it returns. Go would then run
// below itself, as deep as there are goroutines that use files. So callbacks
// wait until Go no longer has the stack.
const waiting = [];
let next = 0; // index in waiting
for (const [name, f] of Object.entries(fs)) {
  if (typeof f !== "function" || name === "writeSync") continue;
  fs[name] = (...args) => {
    const callback = args.at(-1);
    if (typeof callback !== "function") return f.apply(fs, args);
    return f.call(fs, ...args.slice(0, -1), (...results) => { waiting.push(() => callback(...results)); });
  };
}

// callBack calls the first waiting callback and reports whether there was one.
export function callBack() {
  if (next === waiting.length) {
    if (next > 0) forgetCallbacks();
    return false;
  }
  waiting[next++]();
  return true;
}

export const forgetCallbacks = () => { waiting.length = next = 0; };
