// Runs first, as a script: takes away what would make two evaluations of one blueprint differ.
(() => {
  'use strict';
  const RealDate = Date;
  const { construct, apply } = Reflect;
  const { defineProperty, setPrototypeOf, getOwnPropertyNames, getOwnPropertyDescriptor } = Object;

  // The clock stands at 1 January 1970.
  function FixedDate(...args) {
    if (new.target === undefined) return new FixedDate().toString();
    return construct(RealDate, args.length === 0 ? [0] : args, new.target);
  }
  for (const name of getOwnPropertyNames(RealDate)) {
    if (name === 'prototype' || name === 'length' || name === 'name') continue;
    defineProperty(FixedDate, name, getOwnPropertyDescriptor(RealDate, name));
  }
  defineProperty(FixedDate, 'name', { value: 'Date' });
  defineProperty(FixedDate, 'now', { value: () => 0, writable: true, configurable: true });
  FixedDate.prototype = RealDate.prototype;
  defineProperty(RealDate.prototype, 'constructor', { value: FixedDate, writable: true, configurable: true });
  setPrototypeOf(FixedDate, Function.prototype);
  defineProperty(globalThis, 'Date', { value: FixedDate, writable: true, configurable: true });

  // Random numbers are the same every time: xorshift32 from a fixed seed.
  let state = 0x9e3779b9;
  Math.random = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4294967296;
  };

  // console goes to the caller's buffer.
  const { print } = globalThis.__weft;
  const { stringify } = JSON;
  const show = (value) => {
    if (typeof value === 'string') return value;
    if (typeof value === 'object' && value !== null && !(value instanceof Error)) {
      try {
        return stringify(value);
      } catch {
        return '[object]';
      }
    }
    return String(value);
  };
  const log = (...values) => {
    let line = '';
    for (let i = 0; i < values.length; i += 1) line += (i === 0 ? '' : ' ') + show(values[i]);
    apply(print, undefined, [line]);
  };
  globalThis.console = { log, info: log, warn: log, error: log, debug: log };
  globalThis.global = globalThis;
})();
