// The module '@quilt/quilt': the names of Quilt in July 2017, over the same record as 'weft'.
//
// Objects hold what they were told in public members, which blueprints read and change; what they mean is recorded
// once the script is done. Constructors are functions, so that `Service.call(this, …)` works as it did, and that one
// without `new` counts.

import {
  addAlias, addContainer, addMachine, addPlacement, addService, claim as expect, claimed, connect, copy, here, host, isArray, lead, Link, members, note,
  only, publicInternet as outside, push, registerParty, setNamespace, setRecord, whenDone,
} from 'weft:core';
import { flag, githubKeys, listOf, Names, number, Port, publicPort, Range, range, texts, wrong } from 'weft:arguments';
import { cloneMachine, describeMachine, each, mark, marked, PUBLIC, replicate, setEnv, withEnv, withFiles } from 'weft:both';

const { parse } = JSON;
const { apply } = Reflect;
const RealError = Error;
const DEFAULT_NAMESPACE = 'default-namespace';

// Machines and containers are numbered from 0 as they are made.
let made = 0;
let services = new Names(false);
const numbered = (object) => {
  object._refID = made;
  made += 1;
};

// --- deployments

/** What is deployed together. */
export function Deployment(options) {
  const { maxPrice, namespace, adminACL } = options || {};
  this.maxPrice = number('maxPrice', maxPrice);
  this.namespace = namespace || DEFAULT_NAMESPACE;
  this.adminACL = texts('adminACL', adminACL);
  this.machines = [];
  this.containers = {};
  this.services = [];
  this.allowedInboundConnections = [];
  this.placements = [];
  this.invariants = [];
  mark(this, here('createDeployment Deployment'));
}

/** Deploys whatever has a method `deploy(deployment)`, or a list of that. */
Deployment.prototype.deploy = function deploy(things) {
  const list = isArray(things) ? things : [things];
  for (let i = 0; i < list.length; i += 1) {
    if (typeof list[i]?.deploy !== 'function') {
      throw wrong('what is deployed', 'something with a method deploy(deployment)', list[i]);
    }
    list[i].deploy(this);
  }
};

/** Demands that `claim` be as `desired` says. */
Deployment.prototype.assert = function assert(claim, desired) {
  push(this.invariants, mark(new Assertion(claim, desired), here('assert')));
};

/** The deployment as Quilt's daemon was given it. */
Deployment.prototype.toQuiltRepresentation = function toQuiltRepresentation() {
  return parse(host.document(describe(this)));
};

/** Refuses what cannot be deployed. */
Deployment.prototype.vet = function vet() {
  host.document(describe(this));
};

/** Makes the deployment that is printed or run: the last one made. */
export function createDeployment(options) {
  globalThis._quiltDeployment = new Deployment(options);
  return globalThis._quiltDeployment;
}

/** The deployment made last. */
export function getDeployment() {
  return globalThis._quiltDeployment;
}

// --- machines

/** A machine to rent. */
export function Machine(options) {
  if (this === undefined) return new Machine(options);
  const given = options ?? {};
  numbered(this);
  describeMachine(this, given);
  this.cpu = range('cpu', given.cpu);
  this.ram = range('ram', given.ram);
  this.preemptible = flag('preemptible', given.preemptible);
}

Machine.prototype.deploy = function deploy(deployment) {
  push(deployment.machines, this);
};

Machine.prototype.clone = function clone() {
  return cloneMachine(Machine, this);
};

Machine.prototype.withRole = function withRole(role) {
  const machine = this.clone();
  machine.role = role;
  return machine;
};

Machine.prototype.asMaster = function asMaster() {
  return this.withRole('Master');
};

Machine.prototype.asWorker = function asWorker() {
  return this.withRole('Worker');
};

Machine.prototype.replicate = replicate;

/** A machine in the words of the model. */
function bootable({ provider, role, region, size, floatingIp, diskSize, sshKeys, cpu, ram, preemptible }) {
  return { provider, role, region, size, floatingIp, diskSize, sshKeys, cpu, ram, preemptible };
}

// --- containers

/** An image by name; with a Dockerfile, one to be built. */
export function Image(name, dockerfile) {
  if (this === undefined) return new Image(name, dockerfile);
  this.name = name;
  this.dockerfile = dockerfile;
}

Image.prototype.clone = function clone() {
  return new Image(this.name, this.dockerfile);
};

/** One program. It runs as part of a service. */
export function Container(image, command) {
  if (this === undefined) return new Container(image, command);
  numbered(this);
  this.image = typeof image === 'string' ? new Image(image) : image;
  if (!(this.image instanceof Image)) throw wrong('the image of a Container', 'an Image or a string', image);
  this.command = texts('command', command);
  this.env = {};
  this.filepathToContent = {};
  mark(this, here('Container super replicate clone withEnv withFiles'));
}

Container.prototype.clone = function clone() {
  const container = new Container(this.image.clone(), copy(this.command));
  container.env = copy(this.env);
  container.filepathToContent = copy(this.filepathToContent);
  return container;
};

Container.prototype.replicate = replicate;

Container.prototype.setEnv = setEnv;
Container.prototype.withEnv = withEnv;
Container.prototype.withFiles = withFiles;

Container.prototype.setHostname = function setHostname(hostname) {
  this.hostname = hostname;
};

Container.prototype.getHostname = function getHostname() {
  if (this.hostname === undefined) {
    throw new RealError('this container has no host name: give it one with setHostname(), or use those of its service');
  }
  return `${this.hostname}.q`;
};

// --- services

/** Containers with one name, one address and one policy. */
export function Service(name, containers) {
  if (this === undefined) return new Service(name, containers);
  if (typeof name !== 'string') throw wrong('the name of a Service', 'a string', name);
  listOf(`the containers of Service '${name}'`, containers, Container);
  this.name = services.unique(name);
  this.containers = containers;
  this.annotations = [];
  this.placements = [];
  this.allowedInboundConnections = [];
  this.outgoingPublic = [];
  this.incomingPublic = [];
  mark(this, here('Service super'));
  registerParty(this, () => labels?.get(this) ?? this.name);
}

Service.prototype.deploy = function deploy(deployment) {
  push(deployment.services, this);
};

/** The name that stands for all containers. */
Service.prototype.hostname = function hostname() {
  return `${this.name}.q`;
};

/** A name for each container. */
Service.prototype.children = function children() {
  const names = [];
  for (let i = 1; i <= this.containers.length; i += 1) push(names, `${i}.${this.name}.q`);
  return names;
};

Service.prototype.annotate = function annotate(word) {
  push(this.annotations, word);
};

Service.prototype.place = function place(rule) {
  push(this.placements, typeof rule === 'object' && rule !== null ? mark(rule, here('place')) : rule);
};

/** Lets `source` connect to this service. */
Service.prototype.allowFrom = function allowFrom(source, ports) {
  const boxed = range('the port', ports);
  if (source === publicInternet) {
    this.allowFromPublic(boxed);
    return undefined;
  }
  const at = here('allowFrom connect');
  const connection = mark(new Connection(service(source, 'the source'), boxed), at);
  push(this.allowedInboundConnections, connection);
  return new Link((chain) => lead(only(ledBy(connection)), chain));
};

// What connections are led through, beside them: their own members are printed.
const leads = new WeakMap();
const { get: leadOf, set: setLead } = WeakMap.prototype;

/** What is noted of where a connection is led. */
function ledBy(connection) {
  let noted = apply(leadOf, leads, [connection]);
  if (noted === undefined) {
    noted = { through: undefined };
    apply(setLead, leads, [connection, noted]);
  }
  return noted;
}

/** Lets the world outside connect to this service, on one port. */
Service.prototype.allowFromPublic = function allowFromPublic(port) {
  push(this.incomingPublic, mark(publicPort(port), here('allowFrom allowFromPublic connect connectFromPublic')));
};

/** Lets this service connect to the world outside, on one port. */
Service.prototype.allowOutboundPublic = function allowOutboundPublic(port) {
  push(this.outgoingPublic, mark(publicPort(port), here('allowFrom allowOutboundPublic connect connectToPublic')));
};

// The same the other way round, as it was before.
Service.prototype.connect = function connectTo(ports, to) {
  note('a.connect(port, b) is deprecated: write b.allowFrom(a, port)');
  if (to === publicInternet) return publicInternet.allowFrom(this, ports);
  return service(to, 'the destination').allowFrom(this, ports);
};

Service.prototype.connectToPublic = function connectToPublic(port) {
  note('connectToPublic is deprecated: write publicInternet.allowFrom(service, port)');
  this.allowOutboundPublic(port);
};

Service.prototype.connectFromPublic = function connectFromPublic(port) {
  note('connectFromPublic is deprecated: write service.allowFrom(publicInternet, port)');
  this.allowFromPublic(port);
};

function service(value, role) {
  if (value instanceof Service) return value;
  throw wrong(role, 'a Service or publicInternet (a Container connects as part of its Service)', value);
}

/** Everything outside. */
export const publicInternet = {
  allowFrom(source, port) {
    service(source, 'the source').allowOutboundPublic(port);
  },

  connect(port, to) {
    note('publicInternet.connect(port, b) is deprecated: write b.allowFrom(publicInternet, port)');
    service(to, 'the destination').allowFromPublic(port);
  },

  canReach: (to) => claim('reach', PUBLIC, to.name),
};

function Connection(from, ports) {
  this.minPort = ports.min;
  this.maxPort = ports.max;
  this.from = from;
}

// --- claims

const claim = (form, ...nodes) => ({ form, nodes });
const nameOf = (party) => (party === publicInternet ? PUBLIC : party.name);

/** There are machines enough. */
export const enough = { form: 'enough' };

/** A claim, and whether it is to hold. */
export function Assertion(invariant, desired) {
  this.form = invariant.form;
  this.nodes = invariant.nodes;
  this.target = desired;
}

Service.prototype.canReach = function canReach(target) {
  return claim('reach', this.name, nameOf(target));
};

Service.prototype.canReachACL = function canReachACL(target) {
  return claim('reachACL', this.name, target.name);
};

Service.prototype.neighborOf = function neighborOf(target) {
  return claim('reachDirect', this.name, target.name);
};

Service.prototype.between = function between(from, to) {
  return claim('between', from.name, this.name, to.name);
};

// --- placement

/** Beside another service, or (exclusive) never beside it. */
export function LabelRule(exclusive, other) {
  this.exclusive = exclusive;
  this.otherLabel = other.name;
}

/** On a certain kind of machine, or (exclusive) on none of it. */
export function MachineRule(exclusive, options) {
  this.exclusive = exclusive;
  const names = ['provider', 'size', 'region', 'floatingIp'];
  for (let i = 0; i < names.length; i += 1) {
    if (options[names[i]]) this[names[i]] = options[names[i]];
  }
}

/** Forgets the numbers and names given out. */
export function resetGlobals() {
  made = 0;
  services = new Names(false);
}

export { githubKeys, Port, Range, Range as PortRange };

// --- what it all means

globalThis._quiltDeployment = new Deployment({});

/** A deployment as the host reads it. */
function describe(deployment) {
  const containers = [];
  const known = new Map();
  const position = (container) => {
    if (!known.has(container)) {
      known.set(container, containers.length);
      push(containers, { value: container, at: marked(container) });
    }
    return known.get(container);
  };
  const ports = (list) => each(list, (one) => ({ min: one.min, max: one.max, at: marked(one) }));
  return {
    dialect: 'quilt',
    namespace: deployment.namespace,
    adminACL: deployment.adminACL,
    maxPrice: deployment.maxPrice,
    invariants: deployment.invariants,
    machines: deployment.machines,
    services: each(deployment.services, (one) => ({
      name: one.name,
      annotations: one.annotations,
      containers: each(one.containers, position),
      inbound: each(one.allowedInboundConnections, (connection) => ({
        from: connection.from.name, min: connection.minPort, max: connection.maxPort, at: marked(connection),
      })),
      outgoing: ports(one.outgoingPublic),
      incoming: ports(one.incomingPublic),
      placements: each(one.placements, (rule) => ({ ...rule, at: marked(rule) })),
      at: marked(one),
    })),
    containers,
  };
}

// What services are called in the network, once that is decided: their own names may be no host names.
let labels;

/** Records what was deployed in the words of the model. */
function finish() {
  const deployment = globalThis._quiltDeployment;
  if (!(deployment instanceof Deployment)) return;
  // Not a blueprint of Quilt: nothing of it is touched, whatever the script has redefined.
  const { services: deployedServices, machines, invariants } = deployment;
  if (deployedServices.length + machines.length + invariants.length === 0) return;
  const named = deployment.namespace !== DEFAULT_NAMESPACE ? label(deployment.namespace) : undefined;
  setNamespace(named, marked(deployment), deployment.adminACL, deployment.maxPrice);
  for (const one of machines) addMachine(() => bootable(one), marked(deployment), true);
  const deployed = [...new Set(deployedServices)];
  const names = nameAll(deployed);
  for (const one of deployed) {
    const service = labels.get(one);
    const own = each(one.containers, (container) => names.get(container));
    addService(() => service, members(own), marked(one));
    addAlias(`${one.name}.q`, service, marked(one));
    for (let i = 0; i < own.length; i += 1) addAlias(`${i + 1}.${one.name}.q`, own[i], marked(one));
    if (one.placements.length > 0) {
      note(`placement of service '${one.name}' is for clusters: here everything runs on this machine`, marked(one.placements[0]));
    }
    for (const rule of one.placements) addRule(one, rule, deployed);
  }
  for (const [container, name] of names) addProgram(container, name);
  for (const one of deployed) {
    for (const connection of one.allowedInboundConnections) {
      const ports = new Range(connection.minPort, connection.maxPort);
      const made = connect(connection.from, one, ports, undefined, marked(connection));
      const { through } = ledBy(connection);
      if (through !== undefined) lead(made, through);
    }
    for (const port of one.outgoingPublic) connect(one, outside, port, undefined, marked(port));
    for (const port of one.incomingPublic) connect(outside, one, port, undefined, marked(port));
  }
  for (const assertion of invariants) addExpectation(assertion, deployed);
}

/** Decides what services are called in the network, and gives the name of each container. */
function nameAll(deployed) {
  const taken = new Set();
  const names = new Map();
  labels = new Map();
  for (const one of deployed) {
    for (const container of one.containers) {
      if (container.hostname !== undefined) names.set(container, label(container.hostname));
    }
  }
  for (const name of names.values()) taken.add(name);
  for (const one of deployed) labels.set(one, free(taken, label(one.name)));
  for (const one of deployed) {
    one.containers.forEach((container, at) => {
      if (!names.has(container)) names.set(container, free(taken, `${labels.get(one)}-${at + 1}`));
    });
  }
  return names;
}

function addProgram(container, name) {
  const { hostname, image, command, env, filepathToContent } = container;
  const source = image.dockerfile === undefined ? image.name : { name: image.name, dockerfile: image.dockerfile };
  addContainer(() => name, () => ({ image: source, command, env, files: filepathToContent }), marked(container));
  if (hostname !== undefined) addAlias(`${hostname}.q`, name, marked(container));
}

/** An assertion as the model has it: what Quilt meant, not what its checker made of it. */
function addExpectation(assertion, deployed) {
  const { form, nodes = [], target } = assertion;
  const at = marked(assertion);
  const party = (name) => (name === PUBLIC ? outside : deployed.find((one) => one.name === name) ?? `${name}`);
  const parties = each(nodes, (name) => claimed(party(name)));
  const holds = target === true;
  const guards = deployed.filter((one) => one.annotations.includes('ACL'));
  const [from, to] = parties;
  if (form === 'reachDirect') {
    expect({ kind: 'connect', holds, subject: from, to, at });
  } else if (form === 'reach' || (form === 'reachACL' && guards.length === 0)) {
    expect({ kind: 'reach', holds, subject: from, to, at });
  } else if (form === 'reachACL') {
    // Reached round every guard: not all chains pass one.
    expect({ kind: 'between', holds: !holds, subject: claimed(guards), from, to, at });
  } else if (form === 'between') {
    expect({ kind: 'between', holds, subject: parties[1], from, to: parties[2], at });
  } else if (form === 'enough') {
    expect({ kind: 'enough', holds, subject: [], to: [], at });
  } else {
    note(`the assertion '${form}' is ignored: nothing is called that`, at);
  }
}

/** A rule of placement as the model has it. */
function addRule(target, rule, deployed) {
  const { exclusive, otherLabel, provider, size, region, floatingIp } = rule;
  const entry = { target: claimed(target), at: marked(rule) };
  if (otherLabel) {
    const other = deployed.find((one) => one.name === otherLabel) ?? `${otherLabel}`;
    addPlacement({ ...entry, kind: exclusive ? 'apart' : 'beside', other: claimed(other) });
  } else {
    addPlacement({ ...entry, kind: exclusive ? 'not-on' : 'on', options: { provider, size, region, floatingIp } });
  }
}

/** A host name that is like `name`. */
function label(name) {
  return `${name}`.toLowerCase().replace(/[^a-z0-9-]+/g, '-').replace(/^-+|-+$/g, '');
}

/** `name`, or if that is taken one with a number behind it. */
function free(taken, name) {
  let unique = name;
  for (let count = 2; taken.has(unique); count += 1) unique = `${name}-${count}`;
  taken.add(unique);
  return unique;
}

whenDone(finish);
if (host.dialect === 'quilt') setRecord(() => describe(globalThis._quiltDeployment));

export default {
  Assertion, Container, Deployment, Image, LabelRule, Machine, MachineRule, Port, PortRange: Range, Range, Service,
  createDeployment, getDeployment, githubKeys, publicInternet, enough, resetGlobals,
};
