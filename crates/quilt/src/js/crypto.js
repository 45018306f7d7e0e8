// Node's `crypto`, as far as it needs no secret of this machine: hashes.

import { host } from 'weft:core';
import { Buffer } from 'weft:buffer';

const RealError = Error;

class Hash {
  constructor(name) {
    this.name = `${name}`.toLowerCase().replace('-', '');
    this.parts = [];
    if (!hashes.includes(this.name)) {
      throw new RealError(`there is no hash '${name}': use ${hashes.join(', ')}`);
    }
  }

  update(data, encoding) {
    if (this.parts === undefined) throw new RealError('a hash is done once its digest is taken: make another');
    if (typeof data !== 'string' && !(data instanceof Uint8Array)) {
      throw new RealError(`a hash is of a string or a Buffer, found ${typeof data}`);
    }
    this.parts.push(Buffer.from(data, encoding));
    return this;
  }

  digest(encoding) {
    if (this.parts === undefined) throw new RealError('a hash is done once its digest is taken: make another');
    const digest = Buffer.from(host.hash(this.name, Buffer.concat(this.parts).toString('latin1')), 'latin1');
    this.parts = undefined;
    return encoding ? digest.toString(encoding) : digest;
  }
}

const hashes = ['sha1', 'sha224', 'sha256', 'sha384', 'sha512'];

export function createHash(name) {
  return new Hash(name);
}

export function getHashes() {
  return [...hashes];
}

/** Bytes that would be the same every time are no secret, so there are none. */
export function randomBytes() {
  throw new RealError('crypto.randomBytes() is not available: a blueprint is the same every time, use `new Secret(name)`');
}

export default { createHash, getHashes, randomBytes };
