// The CommonJS side: `require`, and the few Node modules blueprints use, over the host's sandboxed files.

import { host } from 'weft:core';
import * as weft from 'weft';
import * as kelda from 'kelda';

const { create, freeze } = Object;
const { split, slice, lastIndexOf, startsWith, endsWith } = String.prototype;
const { apply } = Reflect;
const RealError = Error;
const call = (method, text, ...args) => apply(method, text, args);

function normalise(text) {
  const absolute = call(startsWith, text, '/');
  const parts = [];
  for (const part of call(split, text, '/')) {
    if (part === '' || part === '.') continue;
    if (part === '..' && parts.length > 0 && parts[parts.length - 1] !== '..') parts.pop();
    else if (part !== '..' || !absolute) parts.push(part);
  }
  return (absolute ? '/' : '') + parts.join('/') || (absolute ? '/' : '.');
}

/** The subset of Node's `path` that blueprints use. */
const path = {
  sep: '/',
  join: (...parts) => normalise(parts.filter((part) => part !== '').join('/')),
  normalize: normalise,
  resolve(...parts) {
    let result = '';
    for (const part of parts) result = call(startsWith, part, '/') ? part : `${result}/${part}`;
    return normalise(call(startsWith, result, '/blueprint') ? result : `/blueprint/${result}`);
  },
  basename(text, ending) {
    const base = call(slice, text, call(lastIndexOf, text, '/') + 1);
    return ending !== undefined && call(endsWith, base, ending) ? call(slice, base, 0, -ending.length) : base;
  },
  dirname(text) {
    const at = call(lastIndexOf, text, '/');
    if (at < 0) return '.';
    return at === 0 ? '/' : call(slice, text, 0, at);
  },
  extname(text) {
    const base = path.basename(text);
    const at = call(lastIndexOf, base, '.');
    return at <= 0 ? '' : call(slice, base, at);
  },
  isAbsolute: (text) => call(startsWith, text, '/'),
};

/** The subset of Node's `fs`: files below the blueprint's directory, as text. */
const fs = {
  readFileSync(file) {
    const text = host.read(`${file}`);
    if (typeof text === 'string') return text;
    throw new RealError(`cannot read '${file}': ${text.reason}`);
  },
  existsSync: (file) => typeof host.read(`${file}`) === 'string',
};

const builtin = { weft: { ...weft }, kelda: { ...kelda }, path, fs, 'node:path': path, 'node:fs': fs };
const cache = create(null);

/** `require` for the file `from`. */
export function requireFrom(from) {
  return function require(name) {
    const own = builtin[name];
    if (typeof name === 'string' && own !== undefined && Object.hasOwn(builtin, name)) return own;
    const file = host.find(from, `${name}`);
    return load(file);
  };
}

/** The exports of a file already found, evaluated once; a cycle sees what is there so far, as in Node. */
export function load(file) {
  if (file in cache) return cache[file].exports;
  const module = { exports: {}, id: file };
  cache[file] = module;
  const kind = host.kind(file);
  if (kind === 'module') {
    module.exports = host.importNow(file);
    return module.exports;
  }
  if (kind === 'json') {
    module.exports = host.json(file);
    return module.exports;
  }
  const body = host.compile(file);
  const directory = host.directory(file);
  apply(body, module.exports, [module.exports, requireFrom(file), module, `${directory}/${path.basename(file)}`, directory]);
  return module.exports;
}

freeze(path);
freeze(fs);
