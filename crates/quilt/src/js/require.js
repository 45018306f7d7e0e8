// The CommonJS side: `require`, over the host's sandboxed files, as Node has it.

import { host, late, push } from 'weft:core';
import * as weft from 'weft';
import * as nf from 'weft:nf';
import kelda from 'weft:kelda';
import quilt from 'weft:quilt';
import buffer from 'weft:buffer';
import crypto from 'weft:crypto';
import fs from 'weft:fs';
import path from 'weft:path';
import util, { assert, os } from 'weft:util';

const { create, freeze, hasOwn } = Object;
const { apply } = Reflect;
const RealError = Error;

const builtin = freeze({
  __proto__: null, weft: { ...weft }, 'weft/nf': { ...nf }, kelda, '@quilt/quilt': quilt, assert, buffer, crypto, fs, os, path, util,
});
const files = create(null);

/** The module of ours that is called `name`. */
function own(name) {
  const bare = name.startsWith('node:') ? name.slice(5) : name;
  const dialects = { __proto__: null, '@quilt/quilt': ['quilt'], kelda: ['kelda-0.8', 'kelda-0.13'] };
  const { dialect } = host;
  if (dialect !== '' && bare in dialects && !dialects[bare].includes(dialect)) {
    throw new RealError(`the dialect is ${dialect}, which has no '${bare}': evaluate with --dialect ${dialects[bare].at(-1)}`);
  }
  return builtin[bare];
}

/** Whether `name` is a module of ours, which no package can replace. */
const isOwn = (name) => name in builtin || (name.startsWith('node:') && name.slice(5) in builtin);

/** `require` for the file `from`. */
export function requireFrom(from) {
  const require = (name) => {
    if (typeof name !== 'string' || name === '') throw new RealError('require() needs the name of a module');
    return isOwn(name) ? own(name) : load(host.find(from, name));
  };
  require.resolve = (name) => (isOwn(name) ? name : host.virtual(host.find(from, name)));
  require.cache = files;
  require.main = undefined;
  return require;
}

late.require = requireFrom;

/** The exports of a file already found, evaluated once; a cycle sees what is there so far, as in Node. */
export function load(file) {
  if (hasOwn(files, file)) return files[file].exports;
  const filename = host.virtual(file);
  const module = { exports: {}, id: filename, filename, loaded: false, children: [], paths: [], parent: undefined };
  files[file] = module;
  let done = false;
  try {
    evaluate(module, file);
    done = true;
  } finally {
    // What failed is tried again, as in Node.
    if (!done) delete files[file];
  }
  module.loaded = true;
  return module.exports;
}

function evaluate(module, file) {
  const kind = host.kind(file);
  if (kind === 'module') {
    module.exports = host.importNow(file);
  } else if (kind === 'json') {
    module.exports = host.json(file);
  } else {
    const body = host.compile(file);
    module.require = requireFrom(file);
    const given = [module.exports, module.require, module, module.filename, path.dirname(module.filename)];
    apply(body, module.exports, given);
  }
}

// `process`, `Buffer` and `global` as scripts have them without asking.
const argv = ['node'];
for (const word of host.argv()) push(argv, word);
const stream = { write: (text) => host.write(`${text}`), isTTY: false };
globalThis.process = {
  argv,
  env: host.env({}),
  execArgv: [],
  pid: 1,
  platform: 'linux',
  arch: 'x64',
  version: 'v8.0.0',
  versions: { node: '8.0.0' },
  stdout: stream,
  stderr: stream,
  cwd: () => host.cwd,
  nextTick: (call, ...rest) => Promise.resolve().then(() => call(...rest)),
  on: () => globalThis.process,
  exit() {
    throw new RealError('process.exit() is not available: let the script end, or throw an error');
  },
  chdir() {
    throw new RealError('process.chdir() is not available: paths start in the directory of the blueprint');
  },
};
globalThis.Buffer = buffer.Buffer;
