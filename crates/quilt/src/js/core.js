// What every dialect records into. Only the modules beside this one can import it.
//
// User code runs in the same realm and may redefine anything (Array.prototype, JSON, Error): this file captures
// what it needs before that, and hands Rust the user's own objects, which are copied with bounds.

const host = globalThis.__weft;
delete globalThis.__weft;

const { apply, ownKeys } = Reflect;
const { freeze, create, defineProperty } = Object;
const { isArray } = Array;
const RealError = Error;
const push = (list, value) => {
  defineProperty(list, list.length, { value, writable: true, enumerable: true, configurable: true });
};

/** The place in user code that called one of `names`, as a number the host understands. */
export function here(names = '') {
  return host.place(new RealError().stack, names);
}

/** Whether `value` is an array. */
export { isArray };

// Everything recorded, read once the script is done.
const deployment = { name: undefined, denied: undefined, at: 0 };
const containers = [];
const services = [];
const links = [];
const publishes = [];
const emulated = [];
const invariants = [];
const notes = [];
const aliases = [];
const placements = [];
const machines = [];
const functions = [];
const pipelets = [];
const hardware = [];
const finishers = [];
let record;

/** Tells the user something that is no error. */
export function note(text, at = here()) {
  push(notes, { text, at });
}

/** Names the deployment and says what happens to denied packets. */
export function setDeployment(options, at) {
  deployment.options = options;
  deployment.at = at;
}

/** Sets the name only where the script has not; `admins` and `maxPrice` are about machines. */
export function setNamespace(name, at, adminACL, maxPrice) {
  deployment.options = { name, adminACL, maxPrice };
  deployment.at = at;
}

/** Records a machine; `options()` is asked at the end. One of an `old` dialect may be what weft cannot boot. */
export function addMachine(options, at, old) {
  push(machines, { get options() { return options(); }, at, old });
}

/** Records a container; `name()` and `options()` are asked at the end. */
export function addContainer(name, options, at) {
  push(containers, { get name() { return name(); }, get options() { return options(); }, at });
}

/** Records a service; `name()` is asked at the end. */
export function addService(name, members, at, options) {
  push(services, { get name() { return name(); }, members, options, at });
}

/** One container or service, or a list of them, as what a container depends on. */
export function dependencies(value) {
  return boxed(value, 'what a container depends on');
}

/** Records something that must, or must not, be true of the network. */
export function claim(entry) {
  push(invariants, entry);
}

/** One party or a list of them, as parties of a claim. */
export function claimed(value) {
  return boxed(value, 'a party of an expectation');
}

/** Containers as members of a service. */
export function members(value) {
  return boxed(value, 'a member of a service');
}

/** Records where containers may run: `{ target, kind, options, other, at }`. */
export function addPlacement(entry) {
  push(placements, entry);
}

/** Records a further name for whatever is called `name`. */
export function addAlias(alias, name, at) {
  push(aliases, { alias, name, at });
}

/** Has `finish` called when the script is done: a dialect records then what its objects have become. */
export function whenDone(finish) {
  push(finishers, finish);
}

/** Says how the dialect that was asked for describes its deployment: `describe()` is asked at the end. */
export function setRecord(describe) {
  record = describe;
}

/** The entries, for the host. */
export function collect() {
  for (let i = 0; i < finishers.length; i += 1) finishers[i]();
  const original = record === undefined ? undefined : record();
  return { deployment, containers, services, links, publishes, emulated, invariants, placements, aliases, machines, functions, pipelets, hardware, notes, original };
}

/** The end of a link that stands for everything outside. */
export const publicInternet = {
  toString() {
    return 'publicInternet';
  },
  allowFrom(source, ports, protocol) {
    const made = connect(source, publicInternet, ports, protocol, here('allowFrom'));
    return new Link((chain) => lead(made, chain));
  },
};

// Objects that stand for a name in the network.
const names = new WeakMap();
const { get: mapGet, set: mapSet } = WeakMap.prototype;

/** Makes `object` usable as an end of a link, called what `name()` says at the end. */
export function registerParty(object, name) {
  apply(mapSet, names, [object, name]);
}

function party(value, role) {
  if (value === publicInternet) return { internet: true };
  if (typeof value === 'string') return { name: value };
  const name = typeof value === 'object' && value !== null ? apply(mapGet, names, [value]) : undefined;
  if (name === undefined) {
    throw new TypeError(`${role} must be a container, a service, publicInternet, a name or a list of these`);
  }
  return { object: true, get name() { return name(); } };
}

function boxed(value, role) {
  if (!isArray(value)) return [party(value, role)];
  const list = [];
  for (let i = 0; i < value.length; i += 1) push(list, party(value[i], role));
  return list;
}

/** Allows connections from every source to every destination; which entries that made, for `lead`. */
export function connect(sources, destinations, ports, protocol, at) {
  const from = boxed(sources, 'the source of a link');
  const to = boxed(destinations, 'the destination of a link');
  const made = since();
  for (let i = 0; i < from.length; i += 1) {
    for (let k = 0; k < to.length; k += 1) {
      if (from[i].internet && !to[k].internet) {
        push(publishes, { to: to[k], host: ports, inside: ports, protocol, at });
      } else {
        push(links, { from: from[i], to: to[k], ports, protocol, at });
      }
    }
  }
  return made();
}

// Where entries begin that are made from now on; called, which ones were.
function since() {
  const first = [links.length, publishes.length];
  return () => [
    { list: links, first: first[0], end: links.length }, { list: publishes, first: first[1], end: publishes.length },
  ];
}

/** What was allowed. It can be led through network functions, by `take`, which is told which. */
export class Link {
  #take;

  constructor(take) {
    this.#take = take;
  }

  through(...names) {
    this.#take(chained(names));
    return this;
  }
}

/** Leads parts of lists through network functions. */
export function lead(parts, chain) {
  for (let i = 0; i < parts.length; i += 1) {
    const { list, first, end } = parts[i];
    for (let k = first; k < end; k += 1) {
      if (list[k].through !== undefined) throw new TypeError('the link goes through network functions already: name all in one `through`');
      list[k].through = chain;
    }
  }
}

/** One entry as parts of lists, for `lead`. */
export const only = (entry) => [{ list: [entry], first: 0, end: 1 }];

/** Records a network function; `name()` and `options()` are asked at the end. */
export function addFunction(name, options, at) {
  push(functions, { get name() { return name(); }, get options() { return options(); }, at });
}

/** Records a pipelet; `name()` and `options()` are asked at the end. */
export function addPipelet(name, options, at) {
  push(pipelets, { get name() { return name(); }, get options() { return options(); }, at });
}

/** Records what pipelets run on; `options()` is asked at the end. */
export function addHardware(options, at) {
  push(hardware, { get options() { return options(); }, at });
}

// Objects that stand for a network function.
const functionNames = new WeakMap();

/** Makes `object` something that links go through, called what `name()` says at the end. */
export function registerFunction(object, name) {
  apply(mapSet, functionNames, [object, name]);
}

/** Network functions, or names of them, one by one or in a list, as a chain. */
export function chained(values) {
  const list = values.length === 1 && isArray(values[0]) ? values[0] : values;
  const chain = [];
  for (let i = 0; i < list.length; i += 1) {
    const value = list[i];
    const name = typeof value === 'object' && value !== null ? apply(mapGet, functionNames, [value]) : undefined;
    if (name !== undefined) push(chain, { get name() { return name(); } });
    else if (typeof value === 'string') push(chain, { name: value });
  }
  if (chain.length !== list.length || chain.length === 0) {
    throw new TypeError("a link goes through network functions: new NF(name, { run: 'monitor' }), of 'weft/nf', or their names");
  }
  return chain;
}

/** Has packets between two parties cross an emulated link. */
export function emulate(a, b, options, at) {
  push(emulated, { a: party(a, 'an end of a link'), b: party(b, 'an end of a link'), options, at });
}

/** Publishes a port of the host; which entries that made, for `lead`. */
export function open(destinations, host_, inside, protocol, at) {
  const to = boxed(destinations, 'the destination of a link');
  const made = since();
  for (let i = 0; i < to.length; i += 1) {
    push(publishes, { to: to[i], host: host_, inside: inside === undefined ? host_ : inside, protocol, at });
  }
  return made();
}

/** One port. */
export function Port(port) {
  return new PortRange(port, port);
}

/** Ports `min` to `max`, both included. */
export class PortRange {
  constructor(min, max, protocol) {
    this.min = min;
    this.max = max;
    if (protocol !== undefined) this.protocol = protocol;
  }

  toString() {
    return this.min === this.max ? `${this.min}` : `${this.min}-${this.max}`;
  }
}

/** A value that is kept out of the blueprint and looked up when a container starts. */
export class Secret {
  constructor(name) {
    this.secret = name;
  }
}

/** A copy of a list or map, so that later changes of the original do not show. */
export function copy(value) {
  if (isArray(value)) {
    const list = [];
    for (let i = 0; i < value.length; i += 1) push(list, value[i]);
    return list;
  }
  if (typeof value !== 'object' || value === null) return value;
  const map = {};
  const keys = ownKeys(value);
  for (let i = 0; i < keys.length; i += 1) {
    defineProperty(map, keys[i], { value: value[keys[i]], writable: true, enumerable: true, configurable: true });
  }
  return map;
}

/** `--arg name=value` of the command line. */
export const args = freeze(host.args(create(null)));

// Set by the module that has it: `require` for a file.
export const late = { require: undefined };

export { host, push };
