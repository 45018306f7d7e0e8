// Node's `util`, `os` and `assert`, as far as blueprints use them.

import { host } from 'weft:core';

const { stringify } = JSON;
const RealError = Error;

/** A value in JavaScript's notation, on one line. */
export function inspect(value) {
  const seen = new Set();
  const show = (one) => {
    if (typeof one === 'string') return `'${one.replace(/\\/g, '\\\\').replace(/'/g, "\\'").replace(/\n/g, '\\n')}'`;
    if (typeof one === 'function') return one.name ? `[Function: ${one.name}]` : '[Function (anonymous)]';
    if (typeof one === 'symbol') return one.toString();
    if (typeof one !== 'object' || one === null) return Object.is(one, -0) ? '-0' : `${one}`;
    if (one instanceof RealError) return one.stack ? `${one}\n${one.stack}` : `[${one}]`;
    if (seen.has(one)) return '[Circular *1]';
    seen.add(one);
    const list = Array.isArray(one);
    const key = (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : show(name));
    const items = list ? one.map(show) : Object.keys(one).map((name) => `${key(name)}: ${show(one[name])}`);
    seen.delete(one);
    const made = one.constructor?.name;
    const kind = list || made === 'Object' || made === undefined ? '' : `${made} `;
    if (items.length === 0) return kind + (list ? '[]' : '{}');
    return list ? `[ ${items.join(', ')} ]` : `${kind}{ ${items.join(', ')} }`;
  };
  return show(value);
}

/** `%s %d %i %f %j %o %O %%` filled in; what is left over follows. */
export function format(...values) {
  let at = 0;
  let text = '';
  if (typeof values[0] === 'string') {
    at = 1;
    text = values[0].replace(/%[sdifjoO%]/g, (mark) => {
      if (mark === '%%') return '%';
      if (at >= values.length) return mark;
      const value = values[at];
      at += 1;
      if (mark === '%s') return typeof value === 'object' && value !== null ? inspect(value) : String(value);
      if (mark === '%d' || mark === '%f') return `${Number(value)}`;
      if (mark === '%i') return `${Number.parseInt(value, 10)}`;
      return mark === '%j' ? `${stringify(value)}` : inspect(value);
    });
  }
  const rest = values.slice(at).map((value) => (typeof value === 'string' ? value : inspect(value)));
  return (at === 0 ? rest : [text, ...rest]).join(' ');
}

/** Makes `derived` a kind of `base`, as before there were classes. */
export function inherits(derived, base) {
  derived.super_ = base;
  Object.setPrototypeOf(derived.prototype, base.prototype);
}

export const isArray = Array.isArray;

export function deprecate(call) {
  return call;
}

export function isDeepStrictEqual(a, b) {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const [mine, other] = [Object.keys(a), Object.keys(b)];
  return mine.length === other.length
    && mine.every((key) => Object.hasOwn(b, key) && isDeepStrictEqual(a[key], b[key]));
}

const util = { inspect, format, inherits, isArray, deprecate, isDeepStrictEqual };
export default util;

/** This machine as every blueprint sees it: the same everywhere. */
export const os = {
  EOL: '\n',
  platform: () => 'linux',
  type: () => 'Linux',
  arch: () => 'x64',
  homedir: () => host.cwd,
  tmpdir: () => '/tmp',
  hostname: () => 'localhost',
  userInfo: () => ({ username: 'weft', homedir: host.cwd }),
};

class AssertionError extends RealError {
  constructor(message) {
    super(message);
    this.name = 'AssertionError';
    this.code = 'ERR_ASSERTION';
  }
}

function demand(holds, message, otherwise) {
  if (holds) return;
  throw message instanceof RealError ? message : new AssertionError(message ?? otherwise());
}

/** Node's `assert`. */
export function assert(value, message) {
  demand(value, message, () => `${inspect(value)} is not true`);
}

assert.ok = assert;
assert.AssertionError = AssertionError;
assert.fail = (message) => demand(false, message, () => 'failed');
assert.equal = (a, b, message) => demand(a == b, message, () => `${inspect(a)} == ${inspect(b)}`);
assert.notEqual = (a, b, message) => demand(a != b, message, () => `${inspect(a)} != ${inspect(b)}`);
assert.strictEqual = (a, b, message) => demand(Object.is(a, b), message, () => `${inspect(a)} === ${inspect(b)}`);
assert.notStrictEqual = (a, b, message) => demand(!Object.is(a, b), message, () => `${inspect(a)} !== ${inspect(b)}`);
assert.deepStrictEqual = (a, b, message) =>
  demand(isDeepStrictEqual(a, b), message, () => `${inspect(a)} is not the same as ${inspect(b)}`);
assert.deepEqual = assert.deepStrictEqual;
assert.throws = (call, message) => {
  try {
    call();
  } catch {
    return;
  }
  demand(false, typeof message === 'string' ? message : undefined, () => 'nothing was thrown');
};
