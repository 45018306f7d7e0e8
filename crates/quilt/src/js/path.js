// Node's `path`, with the separators of Linux.

import { host } from 'weft:core';

const { apply } = Reflect;
const { endsWith, lastIndexOf, slice, split, startsWith } = String.prototype;
const call = (method, text, ...rest) => apply(method, text, rest);

function strings(list) {
  for (let i = 0; i < list.length; i += 1) {
    if (typeof list[i] !== 'string') throw new TypeError(`a path must be a string, found ${typeof list[i]}`);
  }
  return list;
}

/** The steps of a path without `.` and, as far as can be, `..`. */
function steps(text, absolute) {
  const list = [];
  for (const step of call(split, text, '/')) {
    if (step === '' || step === '.') continue;
    if (step !== '..') list.push(step);
    else if (list.length > 0 && list[list.length - 1] !== '..') list.pop();
    else if (!absolute) list.push(step);
  }
  return list;
}

export const sep = '/';
export const delimiter = ':';

export function isAbsolute(text) {
  strings([text]);
  return call(startsWith, text, '/');
}

export function normalize(text) {
  const absolute = isAbsolute(text);
  const inner = steps(text, absolute).join('/');
  const end = inner !== '' && call(endsWith, text, '/') ? '/' : '';
  return (absolute ? '/' : '') + inner + end || (absolute ? '/' : call(endsWith, text, '/') ? './' : '.');
}

export function join(...parts) {
  return normalize(strings(parts).filter((part) => part !== '').join('/') || '.');
}

export function resolve(...parts) {
  let whole = '';
  for (const part of strings(parts)) whole = call(startsWith, part, '/') ? part : `${whole}/${part}`;
  const absolute = parts.some((part) => call(startsWith, part, '/')) ? whole : `${host.cwd}${whole}`;
  return `/${steps(absolute, true).join('/')}`;
}

export function relative(from, to) {
  const [here, there] = [steps(resolve(from), true), steps(resolve(to), true)];
  let same = 0;
  while (same < here.length && here[same] === there[same]) same += 1;
  return [...here.slice(same).map(() => '..'), ...there.slice(same)].join('/');
}

const trimmed = (text) => {
  let end = text.length;
  while (end > 1 && text[end - 1] === '/') end -= 1;
  return call(slice, text, 0, end);
};

export function basename(text, ending) {
  const whole = trimmed(strings([text])[0]);
  const name = call(slice, whole, call(lastIndexOf, whole, '/') + 1);
  const ends = ending !== undefined && ending !== name && call(endsWith, name, ending);
  return ends ? call(slice, name, 0, name.length - ending.length) : name;
}

export function dirname(text) {
  const whole = trimmed(strings([text])[0]);
  const at = call(lastIndexOf, whole, '/');
  return at < 0 ? '.' : trimmed(call(slice, whole, 0, at) || '/');
}

export function extname(text) {
  const name = basename(text);
  const at = call(lastIndexOf, name, '.');
  return at <= 0 ? '' : call(slice, name, at);
}

export function parse(text) {
  const [base, ext] = [basename(text), extname(text)];
  const root = isAbsolute(text) ? '/' : '';
  const dir = call(lastIndexOf, trimmed(text), '/') < 0 ? '' : dirname(text);
  return { root, dir, base, ext, name: call(slice, base, 0, base.length - ext.length) };
}

export function format({ root = '', dir = root, base, name = '', ext = '' }) {
  const last = base || name + ext;
  return dir === '' ? last : dir === root ? dir + last : `${dir}/${last}`;
}

const path = { sep, delimiter, isAbsolute, normalize, join, resolve, relative, basename, dirname, extname, parse, format };
path.posix = path;
export const posix = path;
export default path;
