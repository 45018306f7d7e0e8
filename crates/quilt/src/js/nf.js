// The module 'weft/nf': network functions that links are led through, and policies of those that are placed and scaled. Its types
// are in weft-nf.d.ts.

import { addFunction, addHardware, addPipelet, copy, here, registerFunction } from 'weft:core';

/** A network function, in one or more instances; links go through it by `.through(…)`, and pipelets lead to it. */
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

/** A class of traffic, and the graph of functions that it passes. */
export class Pipelet {
  constructor(name, options = {}) {
    this.name = name;
    this.options = copy(options);
    addPipelet(() => this.name, () => this.options, here('Pipelet super'));
  }

  toString() {
    return `${this.name}`;
  }
}

/** What pipelets run on: a switch, the servers on it, and ports to the world. */
export class Hardware {
  constructor(options = {}) {
    this.options = copy(options);
    addHardware(() => this.options, here('Hardware super'));
  }
}
