// The module 'weft/nf': network functions that links are led through. Its types are in weft-nf.d.ts.

import { addFunction, copy, here, registerFunction } from 'weft:core';

/** A network function, in one or more instances; links go through it by `.through(…)`. */
export class NF {
  constructor(name, options = {}) {
    this.name = name;
    this.options = copy(options);
    registerFunction(this, () => this.name);
    addFunction(() => this.name, () => this.options, here('NF super'));
  }

  toString() {
    return `${this.name}`;
  }
}
