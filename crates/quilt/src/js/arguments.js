// What the two old dialects ask of the arguments they are given.

import { host, isArray, note } from 'weft:core';
import { existsSync, readFileSync } from 'weft:fs';

const { stringify } = JSON;
const { hasOwn, keys } = Object;
const { apply } = Reflect;
const { join } = Array.prototype;
const { slice } = String.prototype;
const RealError = Error;

/** An error that names what was given instead. */
export function wrong(what, expected, value) {
  return new RealError(`${what} must be ${expected}, found ${shown(value)}`);
}

/** A value in a few words. */
function shown(value) {
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'bigint' || typeof value === 'symbol') return `a ${typeof value}`;
  let text;
  try {
    text = stringify(value);
  } catch {
    text = undefined;
  }
  if (text === undefined) return value === undefined ? 'nothing' : 'an object';
  return text.length > 60 ? `${apply(slice, text, [0, 60])}…` : text;
}

/** Whether a value is an object with options in it. */
export const isOptions = (value) => typeof value === 'object' && value !== null && !isArray(value);

/** A string; an empty one if left out. */
export function text(what, value) {
  if (value === undefined) return '';
  if (typeof value !== 'string') throw wrong(what, 'a string', value);
  return value;
}

/** A number; 0 if left out. */
export function number(what, value) {
  if (value === undefined) return 0;
  if (typeof value !== 'number') throw wrong(what, 'a number', value);
  return value;
}

/** `true` or `false`; `false` if left out. */
export function flag(what, value) {
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw wrong(what, 'true or false', value);
  return value;
}

/** A list of strings, as it is; a new one if left out. */
export function texts(what, value) {
  if (value === undefined) return [];
  if (!isArray(value)) throw wrong(what, 'a list of strings', value);
  for (let i = 0; i < value.length; i += 1) {
    if (typeof value[i] !== 'string') throw wrong(`item ${i} of ${what}`, 'a string', value[i]);
  }
  return value;
}

/** A list of things of one class, as it is; `single` also takes one of them alone. */
export function listOf(what, value, type, single) {
  if (single && value instanceof type) return [value];
  if (!isArray(value)) throw wrong(what, `a ${type.name} or a list of them`, value);
  for (let i = 0; i < value.length; i += 1) {
    if (!(value[i] instanceof type)) throw wrong(`item ${i} of ${what}`, `a ${type.name}`, value[i]);
  }
  return value;
}

/** From `min` to `max`, both included: of ports, cores or memory. */
export class Range {
  constructor(min, max) {
    this.min = min;
    this.max = max;
  }

  /** Whether a number is in it, as Kelda asked: without a maximum, or with one of 0, it has no upper end. */
  inRange(x) {
    return (this.min === undefined || this.min <= x) && (!this.max || x <= this.max);
  }

  /** What blueprints write where they put a range into a text: Quilt had no words for it. */
  toString() {
    if (host.dialect === '') return spoken(this);
    if (host.dialect === 'quilt') return '[object Object]';
    if (this.max === undefined) return `[${this.min}, inf]`;
    return this.min === this.max ? `${this.max}` : `[${this.min}, ${this.max}]`;
  }
}

/** A range in our own errors. */
export const spoken = ({ min, max }) => (min === max ? `${min}` : `${min}-${max}`);

/** The range of one port. */
export function Port(port) {
  return new Range(port, port);
}

/** A range, or the one that holds just a number; 0 to 0 if left out. */
export function range(what, value) {
  if (value === undefined) return new Range(0, 0);
  if (typeof value === 'number') return new Range(value, value);
  if (!(value instanceof Range)) throw wrong(what, 'a number, Port or PortRange', value);
  return value;
}

/** The one port, as a range, that the public internet may use. */
export function publicPort(value) {
  const ports = range('the port', value);
  if (ports.min !== ports.max) {
    throw new RealError(`the public internet takes one port at a time, not ${spoken(ports)}: allow each on its own`);
  }
  return ports;
}

/** Refuses options that `object` did not take up as members of its own. Copies of objects have more, rightly. */
export function refuseUnknown(what, options, object) {
  if (!isOptions(options) || hasOwn(options, '_refID')) return;
  const unknown = [];
  const given = keys(options);
  for (let i = 0; i < given.length; i += 1) {
    if (!hasOwn(object, given[i])) unknown[unknown.length] = given[i];
  }
  if (unknown.length > 0) {
    throw new RealError(`${what} has no option '${apply(join, unknown, ["', '"])}': remove it`);
  }
}

/** Refuses anything but an object that has at least these options. */
export function needs(what, options, names) {
  if (!isOptions(options)) throw wrong(`the argument of new ${what}()`, 'an object of options', options);
  for (let i = 0; i < names.length; i += 1) {
    if (!(names[i] in options)) throw new RealError(`${what} needs the option '${names[i]}'`);
  }
}

/** Gives names out once each: `web`, `web2`, `web3`; `again` says whether a made-up name is tried against the given. */
export class Names {
  constructor(again) {
    this.again = again;
    this.counts = { __proto__: null };
  }

  unique(name) {
    const count = (this.counts[name] ?? 0) + 1;
    this.counts[name] = count;
    if (count === 1) return name;
    const next = `${name}${count}`;
    return this.again ? this.unique(next) : next;
  }
}

/** The public keys of a GitHub user: those in the file `USER.keys` beside the blueprint, as GitHub serves it. */
export function githubKeys(user) {
  const file = `${user}.keys`;
  if (existsSync(file)) return readFileSync(file, 'utf8').trim().split('\n');
  if (host.dialect !== '') {
    throw new RealError(
      `the SSH keys of '${user}' are not fetched: save https://github.com/${user}.keys beside the blueprint`);
  }
  note(`the SSH keys of '${user}' are not fetched: blueprints have no network`);
  return [];
}
