// Node's `fs`, as far as it reads: files below the blueprint's directory.

import { host } from 'weft:core';
import { Buffer } from 'weft:buffer';

const RealError = Error;

/** An error with the code that Node gives it. */
function failed(what, file, { reason, code }) {
  const error = new RealError(`cannot ${what} '${file}': ${reason}`);
  error.code = code;
  error.path = `${file}`;
  return error;
}

/** What there is; a relative path starts in the blueprint's own directory. */
const look = (file) => host.look(`${file}`);

/** The content of a file: bytes, or text if an encoding is given. */
export function readFileSync(file, options) {
  const encoding = typeof options === 'string' ? options : options?.encoding;
  const text = encoding === 'utf8' || encoding === 'utf-8';
  const { content, ...fault } = host.read(`${file}`, text);
  if (content === undefined) throw failed('read', file, fault);
  if (text) return content;
  const bytes = new Buffer(content);
  return encoding ? bytes.toString(encoding) : bytes;
}

export function existsSync(file) {
  return look(file).kind !== undefined;
}

/** What a path is: of a file its size, of neither when it was made nor whose it is. */
export function statSync(file, options) {
  const { kind, size, ...fault } = look(file);
  if (kind === undefined) {
    if (options?.throwIfNoEntry === false) return undefined;
    throw failed('look at', file, fault);
  }
  return {
    size,
    isFile: () => kind === 'file',
    isDirectory: () => kind === 'directory',
    isSymbolicLink: () => false,
  };
}

/** Links are followed before anything is looked at. */
export const lstatSync = statSync;

/** The names in a directory, sorted. */
export function readdirSync(directory, options) {
  const { names, kinds, ...fault } = host.list(`${directory}`);
  if (names === undefined) throw failed('list', directory, fault);
  if (!options?.withFileTypes) return names;
  return names.map((name, at) => ({
    name, isFile: () => kinds[at] === 'file', isDirectory: () => kinds[at] === 'directory', isSymbolicLink: () => false,
  }));
}

export function accessSync(file) {
  if (!existsSync(file)) throw failed('reach', file, look(file));
}

/** The path itself: links are followed wherever it is used. */
export function realpathSync(file) {
  accessSync(file);
  return `${file}`;
}

const fs = { readFileSync, existsSync, statSync, lstatSync, readdirSync, accessSync, realpathSync };

/** Whatever would write, or do its work later. */
const refused = [
  'writeFileSync', 'appendFileSync', 'mkdirSync', 'unlinkSync', 'rmSync', 'rmdirSync', 'renameSync', 'copyFileSync',
  'symlinkSync', 'chmodSync', 'openSync', 'mkdtempSync', 'createWriteStream', 'writeFile', 'appendFile', 'mkdir', 'unlink',
];
for (const name of refused) {
  fs[name] = () => {
    throw new RealError(`fs.${name}() is not available: a blueprint reads files and writes none`);
  };
}
for (const name of ['readFile', 'readdir', 'stat', 'lstat', 'access', 'exists', 'createReadStream', 'watch']) {
  fs[name] = () => {
    throw new RealError(`fs.${name}() is not available: a blueprint waits for nothing, use fs.${name}Sync()`);
  };
}

export default fs;
