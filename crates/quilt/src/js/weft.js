// The module 'weft': weft's own blueprint language. Its types are in weft.d.ts.

import {
  addContainer, addMachine, addPlacement, addService, args, chained, claim, claimed, connect, copy, dependencies, emulate, here, isArray, lead, Link, members,
  open, Port,
  PortRange,
  publicInternet, registerParty, Secret, setDeployment,
} from 'weft:core';

/** What containers and services share: a name others connect to. */
class Party {
  constructor(name) {
    this.name = name;
    registerParty(this, () => this.name);
  }

  /** The name other containers reach it by. */
  get hostname() {
    return this.name;
  }

  getHostname() {
    return this.name;
  }

  /** Lets `sources` connect to it. */
  allowFrom(sources, ports, protocol) {
    return new Allowed(this, connect(sources, this, ports, protocol, here('allowFrom allowTraffic')));
  }

  /** The same. */
  allowTraffic(sources, ports, protocol) {
    return this.allowFrom(sources, ports, protocol);
  }

  /** Opens a port of the host onto it. */
  publish(hostPort, port, protocol) {
    return new Allowed(this, open(this, hostPort, port, protocol, here('publish')));
  }

  /** Has its containers run only on machines of this kind. */
  placeOn(kind) {
    addPlacement({ target: claimed(this), kind: 'on', options: kind, at: here('placeOn') });
    return this;
  }

  /** Has its containers never run on machines of this kind. */
  notOn(kind) {
    addPlacement({ target: claimed(this), kind: 'not-on', options: kind, at: here('notOn') });
    return this;
  }

  /** Keeps its containers away from the machines that those of `others` are on; from its own, each on one of its own. */
  apartFrom(others) {
    addPlacement({ target: claimed(this), kind: 'apart', other: claimed(others), at: here('apartFrom') });
    return this;
  }

  /** Has its containers run only where one of `others` runs. */
  beside(others) {
    addPlacement({ target: claimed(this), kind: 'beside', other: claimed(others), at: here('beside') });
    return this;
  }

  toString() {
    return `${this.name}`;
  }
}

/** What was allowed to a party, and still the party itself: calls go on from here as from there. */
class Allowed extends Party {
  #made;

  constructor(party, made) {
    super(party.name);
    registerParty(this, () => party.name);
    this.#made = made;
  }

  /** Leads the packets of what was allowed through network functions, from who connects to who is connected to. */
  through(...functions) {
    lead(this.#made, chained(functions));
    return this;
  }
}

/** One program, or `replicas` of it behind one name. */
export class Container extends Party {
  constructor(name, options = {}) {
    super(name);
    this.options = copy(options);
    const { dependsOn } = this.options ?? {};
    if (dependsOn !== undefined && dependsOn !== null) this.options.dependsOn = dependencies(dependsOn);
    addContainer(() => this.name, () => this.options, here('Container super'));
  }

  /** Its environment, to add to. */
  get env() {
    if (this.options.env === undefined) this.options.env = {};
    return this.options.env;
  }

  /** Its files, to add to. */
  get files() {
    if (this.options.files === undefined) this.options.files = {};
    return this.options.files;
  }
}

/** An image that is built from a Dockerfile, its text or its file. */
export class Image {
  constructor(options = {}) {
    const own = copy(options);
    for (const key in own) this[key] = own[key];
  }
}

/** One name for several containers. */
export class Service extends Party {
  constructor(name, containers, options) {
    super(name);
    this.containers = isArray(containers) ? copy(containers) : [containers];
    addService(() => this.name, members(this.containers), here('Service LoadBalancer super'), copy(options));
  }
}

/** The original's word for a service. */
export const LoadBalancer = Service;

/** A machine of a cloud, which `weft up --target machines` boots. */
export class Machine {
  constructor(options = {}) {
    this.options = copy(options);
    addMachine(() => this.options, here('Machine super'));
  }
}

/** A directory that outlives containers. */
export class Volume {
  constructor(name, options = {}) {
    this.named = name;
    this.readOnly = options.readOnly;
  }
}

/** A directory or file of the host. */
export function hostPath(path, options = {}) {
  return { host: path, readOnly: options.readOnly };
}

/** Lets every source connect to every destination. */
export function allow(sources, destinations, ports, protocol) {
  const made = connect(sources, destinations, ports, protocol, here('allow allowTraffic'));
  return new Link((chain) => lead(made, chain));
}

/** The original's word for `allow`. */
export const allowTraffic = allow;

/** Has all packets between two parties cross a link with a rate and a delay. */
export function link(a, b, options) {
  emulate(a, b, copy(options), here('link'));
}

/** Opens a port of the host onto a container or service. */
export function publish(destination, hostPort, port, protocol) {
  const made = open(destination, hostPort, port, protocol, here('publish'));
  return new Link((chain) => lead(made, chain));
}

/** What must be true of a party, for every number of replicas; decided before anything runs. */
class Expectation {
  constructor(subject) {
    this.subject = subject;
  }

  canConnect(to, ports, protocol) {
    return about(this, 'connect', true, { to: claimed(to), ports, protocol }, here('canConnect'));
  }

  cannotConnect(to, ports, protocol) {
    return about(this, 'connect', false, { to: claimed(to), ports, protocol }, here('cannotConnect'));
  }

  canReach(to, ports, protocol) {
    return about(this, 'reach', true, { to: claimed(to), ports, protocol }, here('canReach'));
  }

  cannotReach(to, ports, protocol) {
    return about(this, 'reach', false, { to: claimed(to), ports, protocol }, here('cannotReach'));
  }

  isBetween(from, to) {
    return about(this, 'between', true, { from: claimed(from), to: claimed(to) }, here('isBetween'));
  }

  isNotBetween(from, to) {
    return about(this, 'between', false, { from: claimed(from), to: claimed(to) }, here('isNotBetween'));
  }
}

function about(expectation, kind, holds, rest, at) {
  claim({ kind, holds, subject: expectation.subject, ...rest, at });
  return expectation;
}

/** Starts an expectation: `expect(web).canConnect(db, 5432)`. */
export function expect(parties) {
  return new Expectation(claimed(parties));
}

/** Ports for TCP only. */
export function tcp(min, max = min) {
  return new PortRange(min, max, 'tcp');
}

/** Ports for UDP only. */
export function udp(min, max = min) {
  return new PortRange(min, max, 'udp');
}

/** Names the deployment and says how denied packets are turned away. */
export function deployment(options) {
  setDeployment(options, here('deployment'));
}

export { args, Port, PortRange, publicInternet, Secret };
