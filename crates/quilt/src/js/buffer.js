// Bytes, with the part of Node's Buffer that blueprints use.

const { apply } = Reflect;
const { fromCharCode } = String;
const { charCodeAt, toLowerCase } = String.prototype;
const { subarray } = Object.getPrototypeOf(Uint8Array.prototype);
const RealError = Error;
const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';

/** The bytes of a text in UTF-8; half a surrogate pair is U+FFFD. */
function utf8(text) {
  const bytes = [];
  for (let character of text) {
    let code = character.codePointAt(0);
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | code >> 6, 0x80 | code & 63);
    else if (code < 0x10000) bytes.push(0xe0 | code >> 12, 0x80 | code >> 6 & 63, 0x80 | code & 63);
    else bytes.push(0xf0 | code >> 18, 0x80 | code >> 12 & 63, 0x80 | code >> 6 & 63, 0x80 | code & 63);
  }
  return bytes;
}

/** The text of bytes in UTF-8; what is none is U+FFFD (the Encoding standard's decoder). */
function fromUtf8(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at];
    at += 1;
    const length = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : -1;
    if (length === 0) {
      text += fromCharCode(first);
      continue;
    }
    if (length < 0 || first < 0xc2) {
      text += '\ufffd';
      continue;
    }
    let code = first & (0x3f >> length);
    let least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
    let most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
    let left = length;
    while (left > 0 && bytes[at] >= least && bytes[at] <= most) {
      code = code << 6 | bytes[at] & 63;
      [least, most] = [0x80, 0xbf];
      at += 1;
      left -= 1;
    }
    text += left > 0 ? '\ufffd' : String.fromCodePoint(code);
  }
  return text;
}

function fromBase64(text) {
  const bytes = [];
  let bits = 0;
  let held = 0;
  for (let at = 0; at < text.length; at += 1) {
    const digit = text[at] === '-' ? 62 : text[at] === '_' ? 63 : BASE64.indexOf(text[at]);
    if (digit < 0) {
      if (text[at] === '=') break;
      continue;
    }
    held = held << 6 | digit;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes.push(held >> bits & 255);
    }
  }
  return bytes;
}

function base64(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const three = bytes[at] << 16 | (bytes[at + 1] ?? 0) << 8 | (bytes[at + 2] ?? 0);
    text += BASE64[three >> 18] + BASE64[three >> 12 & 63];
    text += at + 1 < bytes.length ? BASE64[three >> 6 & 63] : '=';
    text += at + 2 < bytes.length ? BASE64[three & 63] : '=';
  }
  return text;
}

function fromHex(text) {
  const bytes = [];
  for (let at = 0; at + 1 < text.length; at += 2) {
    const byte = Number(`0x${text[at]}${text[at + 1]}`);
    if (Number.isNaN(byte)) break;
    bytes.push(byte);
  }
  return bytes;
}

function hex(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += 1) text += (bytes[at] < 16 ? '0' : '') + bytes[at].toString(16);
  return text;
}

function latin1(bytes) {
  let text = '';
  for (let at = 0; at < bytes.length; at += 1) text += fromCharCode(bytes[at]);
  return text;
}

function fromLatin1(text) {
  const bytes = [];
  for (let at = 0; at < text.length; at += 1) bytes.push(apply(charCodeAt, text, [at]) & 255);
  return bytes;
}

const encodings = {
  __proto__: null,
  utf8: [utf8, fromUtf8],
  'utf-8': [utf8, fromUtf8],
  base64: [fromBase64, base64],
  hex: [fromHex, hex],
  latin1: [fromLatin1, latin1],
  binary: [fromLatin1, latin1],
  ascii: [fromLatin1, (bytes) => latin1(bytes.map((byte) => byte & 127))],
};

/** How text of an encoding is read and written. */
function coder(encoding = 'utf8') {
  const found = encodings[apply(toLowerCase, `${encoding}`, [])];
  if (found === undefined) throw new RealError(`there is no encoding '${encoding}': use utf8, base64, hex or latin1`);
  return found;
}

export class Buffer extends Uint8Array {
  static from(value, encoding) {
    if (typeof value === 'string') return new Buffer(coder(encoding)[0](value));
    return new Buffer(value instanceof ArrayBuffer ? new Uint8Array(value) : value);
  }

  static alloc(length) {
    return new Buffer(length);
  }

  static concat(list) {
    let length = 0;
    for (const part of list) length += part.length;
    const all = new Buffer(length);
    let at = 0;
    for (const part of list) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  static isBuffer(value) {
    return value instanceof Buffer;
  }

  static byteLength(text, encoding) {
    return Buffer.from(text, encoding).length;
  }

  toString(encoding, start = 0, end = this.length) {
    return coder(encoding)[1](apply(subarray, this, [start, end]));
  }

  toJSON() {
    return { type: 'Buffer', data: [...this] };
  }

  equals(other) {
    return this.length === other.length && this.every((byte, at) => byte === other[at]);
  }
}

export default { Buffer };
