// The file system of a Go test, in memory: the package's files, and files that
// the test writes. Package syscall calls it like Node's fs. Every function
// calls its callback before it returns. This module must be loaded before
// wasm_exec.js.

import index from "./files.json";  // {cwd, dirs: [path], files: [{path, size, mtime, mode}]}
import content from "./files.bin"; // the content of these files, one after another

const S_IFDIR = 0o040000, S_IFREG = 0o100000, S_IFCHR = 0o020000, S_IFMT = 0o170000;
const O_WRONLY = 1, O_RDWR = 2, O_CREAT = 64, O_EXCL = 128, O_TRUNC = 512, O_APPEND = 1024, O_DIRECTORY = 65536;

const failure = (code, path) => Object.assign(new Error(`${code}: ${path}`), { code });

let inodes = 0;
class Node {
  constructor(mode, data, mtime = Date.now()) {
    this.mode = mode;
    this.data = data; // a file's Uint8Array, maybe longer than size; a folder's Map: name → Node
    this.size = data instanceof Map ? 0 : data.length;
    this.mtime = this.atime = mtime;
    this.ino = ++inodes;
  }
  get isDir() { return this.data instanceof Map; }
  get isNull() { return (this.mode & S_IFMT) === S_IFCHR; } // /dev/null
  stat() {
    return {
      dev: 1, ino: this.ino, mode: this.mode, nlink: 1, uid: 0, gid: 0, rdev: 0, size: this.size, blksize: 4096,
      blocks: Math.ceil(this.size / 512), atimeMs: this.atime, mtimeMs: this.mtime, ctimeMs: this.mtime, isDirectory: () => this.isDir,
    };
  }
  resize(size) {
    if (this.isNull) return;
    if (size > this.data.length) {
      const grown = new Uint8Array(Math.max(size, 2 * this.data.length, 256));
      grown.set(this.data.subarray(0, this.size));
      this.data = grown;
    }
    if (size < this.size) this.data = this.data.slice(0, size);
    this.size = size;
    this.mtime = Date.now();
  }
  write(bytes, at) {
    if (this.isNull) return bytes.length;
    if (at + bytes.length > this.size) this.resize(at + bytes.length);
    this.data.set(bytes, at);
    this.mtime = Date.now();
    return bytes.length;
  }
}
const newDir = (mode = 0o755) => new Node(S_IFDIR | mode, new Map());

const root = newDir();
let cwd = index.cwd;

const absolute = (path) => {
  const parts = [];
  for (const p of (path.startsWith("/") ? path : `${cwd}/${path}`).split("/")) {
    if (p === "..") parts.pop();
    else if (p && p !== ".") parts.push(p);
  }
  return parts;
};

// find returns a path's node, its folder, and its name in the folder. If
// nothing exists there, the node is undefined.
function find(path) {
  const parts = absolute(path), name = parts.pop();
  let dir = root;
  for (const p of parts) {
    dir = dir.data.get(p);
    if (!dir) throw failure("ENOENT", path);
    if (!dir.isDir) throw failure("ENOTDIR", path);
  }
  return { dir, name, node: name === undefined ? root : dir.data.get(name) };
}
function existing(path) {
  const { node } = find(path);
  if (!node) throw failure("ENOENT", path);
  return node;
}

const open = new Map(); // file descriptor → {node, path, append, at}
let lastFD = 2;
const file = (fd) => {
  const f = open.get(fd);
  if (!f) throw failure("EBADF", String(fd));
  return f;
};

const operations = {
  open(path, flags, mode) {
    const { dir, name, node } = find(path);
    const forWriting = (flags & (O_WRONLY | O_RDWR)) !== 0;
    if (node && flags & O_CREAT && flags & O_EXCL) throw failure("EEXIST", path);
    if (node?.isDir && forWriting) throw failure("EISDIR", path);
    if (node && !node.isDir && flags & O_DIRECTORY) throw failure("ENOTDIR", path);
    if (!node && !(flags & O_CREAT)) throw failure("ENOENT", path);
    const target = node ?? new Node(S_IFREG | mode, new Uint8Array(0));
    if (!node) dir.data.set(name, target);
    else if (flags & O_TRUNC && forWriting) target.resize(0);
    open.set(++lastFD, { node: target, path, append: (flags & O_APPEND) !== 0, at: 0 });
    return lastFD;
  },
  close(fd) { file(fd); open.delete(fd); },
  read(fd, buffer, offset, length, position) {
    if (fd === 0) return 0;
    const f = file(fd), at = position ?? f.at;
    if (f.node.isDir) throw failure("EISDIR", f.path);
    const bytes = f.node.data.subarray(at, Math.min(at + length, f.node.size));
    buffer.set(bytes, offset);
    if (position === null) f.at += bytes.length;
    return bytes.length;
  },
  write(fd, buffer, offset, length, position) {
    if (fd === 1 || fd === 2) return globalThis.fs.writeSync(fd, buffer.subarray(offset, offset + length));
    const f = file(fd), at = f.append ? f.node.size : position ?? f.at;
    const n = f.node.write(buffer.subarray(offset, offset + length), at);
    if (position === null) f.at = at + n;
    return n;
  },
  stat: (path) => existing(path).stat(),
  lstat: (path) => existing(path).stat(),
  fstat: (fd) => fd <= 2 ? { ...new Node(0o020666, new Uint8Array(0)).stat() } : file(fd).node.stat(),
  mkdir(path, mode) {
    const { dir, name, node } = find(path);
    if (node) throw failure("EEXIST", path);
    dir.data.set(name, newDir(mode));
  },
  readdir(path) {
    const node = existing(path);
    if (!node.isDir) throw failure("ENOTDIR", path);
    return [...node.data.keys()].sort();
  },
  unlink(path) {
    const { dir, name, node } = find(path);
    if (!node) throw failure("ENOENT", path);
    if (node.isDir) throw failure("EISDIR", path);
    dir.data.delete(name);
  },
  rmdir(path) {
    const { dir, name, node } = find(path);
    if (!node) throw failure("ENOENT", path);
    if (!node.isDir) throw failure("ENOTDIR", path);
    if (node.data.size > 0) throw failure("ENOTEMPTY", path);
    dir.data.delete(name);
  },
  rename(from, to) {
    const source = find(from), target = find(to);
    if (!source.node) throw failure("ENOENT", from);
    if (target.node?.isDir && (!source.node.isDir || target.node.data.size > 0)) throw failure("EEXIST", to);
    source.dir.data.delete(source.name);
    target.dir.data.set(target.name, source.node);
  },
  truncate(path, size) { existing(path).resize(size); },
  ftruncate(fd, size) { file(fd).node.resize(size); },
  chmod(path, mode) { const n = existing(path); n.mode = (n.mode & ~0o7777) | mode; },
  fchmod(fd, mode) { const n = file(fd).node; n.mode = (n.mode & ~0o7777) | mode; },
  chown: existing, lchown: existing, fchown: file,
  utimes(path, atime, mtime) { Object.assign(existing(path), { atime: atime * 1000, mtime: mtime * 1000 }); },
  fsync: file,
  link(path) { throw failure("ENOSYS", path); },
  symlink(path) { throw failure("ENOSYS", path); },
  readlink(path) { existing(path); throw failure("EINVAL", path); },
};

const withCallback = (operation) => (...args) => {
  const callback = args.pop();
  let result;
  try {
    result = operation(...args);
  } catch (e) {
    return callback(e);
  }
  callback(null, result);
};

globalThis.fs = { constants: { O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_EXCL, O_DIRECTORY } };
for (const [name, operation] of Object.entries(operations)) globalThis.fs[name] = withCallback(operation);

const no = (what) => () => { throw Object.assign(new Error(`${what} is not available in a test`), { code: "ENOSYS" }); };
globalThis.process = {
  pid: 1, ppid: 0, getuid: () => 0, getgid: () => 0, geteuid: () => 0, getegid: () => 0, getgroups: no("getgroups"), umask: no("umask"),
  cwd: () => cwd,
  chdir(path) {
    if (!existing(path).isDir) throw failure("ENOTDIR", path);
    cwd = `/${absolute(path).join("/")}`;
  },
};
globalThis.path = { resolve: (...parts) => `/${absolute(parts.join("/")).join("/")}` };

const makeDir = (path) => absolute(path).reduce((dir, p) => {
  if (!dir.data.has(p)) dir.data.set(p, newDir());
  return dir.data.get(p);
}, root);

makeDir("/tmp");
makeDir("/dev").data.set("null", new Node(S_IFCHR | 0o666, new Uint8Array(0)));
for (const path of [cwd, ...index.dirs]) makeDir(path);
let at = 0;
for (const { path, size, mtime, mode } of index.files) {
  const parts = absolute(path), name = parts.pop();
  makeDir(`/${parts.join("/")}`).data.set(name, new Node(S_IFREG | mode, new Uint8Array(content, at, size), mtime));
  at += size;
}

// written returns the content of the given files and folders, path → bytes. It
// skips those that do not exist.
export function written(paths) {
  const out = {};
  const add = (path, node) => {
    if (!node) return;
    if (node.isDir) for (const [name, child] of node.data) add(`${path}/${name}`, child);
    else out[path] = node.data.subarray(0, node.size);
  };
  for (const path of paths) {
    try {
      add(path, find(path).node);
    } catch {} // its folder is gone
  }
  return out;
}

// freeze returns the whole state in a form for JSON; thaw restores it.
export function freeze() {
  const nodes = []; // [mode, mtime, bytes or {name: index}]
  const indexes = new Map();
  const put = (node) => {
    if (indexes.has(node)) return indexes.get(node);
    const i = nodes.push(null) - 1;
    indexes.set(node, i);
    const data = node.isDir ? Object.fromEntries([...node.data].map(([name, child]) => [name, put(child)])) : node.data.subarray(0, node.size).toBase64();
    nodes[i] = [node.mode, node.mtime, data];
    return i;
  };
  put(root);
  return { cwd, lastFD, open: [...open].map(([fd, f]) => [fd, { ...f, node: put(f.node) }]), nodes };
}

export function thaw(state) {
  const nodes = state.nodes.map(([mode, mtime, data], i) => {
    const node = i === 0 ? root : new Node(mode, typeof data === "string" ? Uint8Array.fromBase64(data) : new Map(), mtime);
    if (i === 0) root.data.clear();
    return node;
  });
  state.nodes.forEach(([, , data], i) => {
    if (typeof data !== "string") for (const [name, child] of Object.entries(data)) nodes[i].data.set(name, nodes[child]);
  });
  open.clear();
  for (const [fd, f] of state.open) open.set(fd, { ...f, node: nodes[f.node] });
  ({ cwd, lastFD } = state);
}
