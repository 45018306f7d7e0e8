// The module 'kelda', over the same record as 'weft': the names of Kelda 0.8 (arguments by position), of 0.13 (one
// object of options), or of both where the command line does not say which.
//
// Connections and host names are recorded as they are allowed and given; what was deployed, once the script is done.

import {
  addAlias, addContainer, addMachine, addPlacement, addService, claimed, connect, copy, here, host, isArray, late, lead, Link, members, note,
  only, publicInternet as outside, push, registerParty, Secret as CoreSecret, setNamespace, setRecord,
  whenDone,
} from 'weft:core';
import {
  flag, githubKeys, isOptions, listOf, Names, needs, Port, Range, range, refuseUnknown, spoken, text, texts, wrong,
} from 'weft:arguments';
import { cloneMachine, describeMachine, each, mark, marked, PUBLIC, replicate, setEnv, withEnv, withFiles } from 'weft:both';
import { existsSync } from 'weft:fs';

const { assign, hasOwn, keys } = Object;
const { parse } = JSON;
const { apply } = Reflect;
const { includes } = Array.prototype;
const RealError = Error;

// What was of one version only.
const by08 = host.dialect === 'kelda-0.8';
const by13 = host.dialect === 'kelda-0.13';
const domain = by08 ? '.q' : '';
const regions = { Amazon: 'us-west-1', Google: 'us-east1-b', DigitalOcean: by08 ? 'sfo1' : 'sfo2', Vagrant: '' };
const DEFAULT_NAMESPACE = 'kelda';

// Machines and containers are numbered from 1 as they are made.
let made = 0;
let hostnames = new Names(true);
let volumeNames = new Names(true);
let connections = [];
let current;

function numbered(object) {
  made += 1;
  object._refID = made;
}

/** One object of options, from whichever way the version in use takes its arguments. */
function options(what, names, required, given) {
  const first = given[0];
  if (by13 || (!by08 && isOptions(first) && !(first instanceof Machine))) {
    needs(what, first, required);
    return first;
  }
  const rest = given[names.length];
  return assign({}, rest, ...names.map((name, at) => ({ [name]: given[at] })));
}

/** Refuses what 0.8 would not have known, where arguments came by position. */
function refuseRest(what, rest, object, names) {
  if (!isOptions(rest)) return;
  for (let i = 0; i < names.length; i += 1) {
    if (hasOwn(rest, names[i]) && !hasOwn(rest, '_refID')) {
      throw new RealError(`${what} has no option '${names[i]}': it is an argument by itself`);
    }
  }
  refuseUnknown(what, rest, object);
}

// --- infrastructure

/** Where containers are deployed: here, one machine, whatever it says. */
export class Infrastructure {
  constructor(...given) {
    const own = options('Infrastructure', ['masters', 'workers'], ['masters', 'workers'], given);
    const asked = by13 && 'namespace' in own ? text('namespace', own.namespace) : own.namespace || DEFAULT_NAMESPACE;
    this.namespace = asked;
    this.adminACL = texts('adminACL', own.adminACL);
    if (by08) refuseRest('Infrastructure', given[2], this, ['masters', 'workers']);
    this.containers = new Set();
    this.loadBalancers = [];
    this.volumes = new Set();
    this.masters = listOf('masters', own.masters, Machine, true);
    this.workers = listOf('workers', own.workers, Machine, true);
    if (this.masters.length === 0) throw new RealError('masters must have one Machine at least');
    if (this.workers.length === 0) throw new RealError('workers must have one Machine at least');
    if (!by08) refuseUnknown('Infrastructure', own, this);
    if (current !== undefined) {
      throw new RealError('there is an Infrastructure already: a blueprint has one, use getInfrastructure()');
    }
    if (by08) {
      // Machines were copied at once, so that nothing a blueprint does to them later is seen.
      this.machines = withRoles(this);
    }
    mark(this, here('Infrastructure'));
    current = this;
  }

  /** Deploys anything that can be deployed, or a list of it. */
  deploy(things) {
    const list = isArray(things) ? things : [things];
    for (let i = 0; i < list.length; i += 1) list[i].deploy(this);
  }

  /** The deployment as Kelda's daemon was given it. */
  toKeldaRepresentation() {
    return parse(host.document(describe(this)));
  }
}

function withRoles({ masters, workers }) {
  const machines = [];
  for (let i = 0; i < masters.length; i += 1) push(machines, assign(masters[i].clone(), { role: 'Master' }));
  for (let i = 0; i < workers.length; i += 1) push(machines, assign(workers[i].clone(), { role: 'Worker' }));
  return machines;
}

/** The infrastructure made last. */
export function getInfrastructure() {
  return current;
}

/** Where `kelda` kept the infrastructure of all blueprints; here below the blueprint's own directory. */
export const baseInfraLocation = `${host.cwd}/.kelda/infra/default.js`;

/** The infrastructure that is kept there. */
export function baseInfrastructure() {
  if (existsSync(baseInfraLocation)) return late.require('')(baseInfraLocation)(kelda);
  if (by08 || by13) {
    throw new RealError(
      'there is no base infrastructure: copy ~/.kelda/infra/default.js to .kelda/infra/default.js beside the blueprint');
  }
  const machine = new Machine({ provider: 'Vagrant' });
  return new Infrastructure(machine, machine);
}

// --- machines

/** A machine to rent. Its size, cores and memory are those of the cheapest that has what is asked for. */
export class Machine {
  constructor(given = {}) {
    numbered(this);
    describeMachine(this, given);
    if (this.provider === '') {
      throw new RealError('a Machine needs a provider: Amazon, DigitalOcean, Google or Vagrant');
    }
    this.preemptible = flag('preemptible', given.preemptible);
    const cpu = range('cpu', given.cpu);
    const ram = range('ram', given.ram);
    if (this.provider === 'Vagrant') {
      this.size = `${atLeastOne(ram.min)},${atLeastOne(cpu.min)}`;
    } else {
      const size = host.size(this.provider, this.size, [cpu.min, cpu.max], [ram.min, ram.max]);
      this.size = size.name;
      this.ram = size.ram;
      this.cpu = size.cpu;
    }
    if (this.region === '') this.region = regions[this.provider];
    refuseUnknown('Machine', given, { cpu, ram, ...this });
  }

  clone() {
    return cloneMachine(Machine, this);
  }

  replicate(count) {
    return apply(replicate, this, [count]);
  }
}

/** A machine in the words of the model. */
function bootable({ provider, region, size, floatingIp, diskSize, sshKeys, preemptible }, role) {
  return { provider, role, region, size, floatingIp, diskSize, sshKeys, preemptible };
}

const atLeastOne = (least) => (least < 1 ? 1 : least);

// --- containers

/** An image by name; with a Dockerfile, one to be built. */
export class Image {
  constructor(...given) {
    const own = options('Image', ['name', 'dockerfile'], ['name'], given);
    this.name = by08 ? own.name : text('the name of an Image', own.name);
    this.dockerfile = by08 ? own.dockerfile : text('the Dockerfile of an Image', own.dockerfile);
    if (!by08) refuseUnknown('Image', own, this);
  }

  clone() {
    return by13 ? new Image(this) : new Image(this.name, this.dockerfile);
  }
}

/** One program. It runs once it is deployed. */
export class Container {
  constructor(...given) {
    numbered(this);
    const own = options('Container', ['name', 'image'], ['name', 'image'], given);
    const image = typeof own.image === 'string' ? named(own.image) : own.image;
    if (!(image instanceof Image)) throw wrong('the image of a Container', 'an Image or a string', own.image);
    const name = text('the name of a Container', own.name);
    if (!by08) this.name = name;
    if (!by13) this.hostnamePrefix = name;
    this.image = image.clone();
    this.hostname = hostname(name);
    this.command = copy(texts('command', own.command));
    this.env = copy(values('env', own.env));
    this.filepathToContent = copy(values('filepathToContent', own.filepathToContent));
    if (!by08) {
      this.privileged = flag('privileged', own.privileged);
      this.volumeMounts = listOf('volumeMounts', own.volumeMounts || [], VolumeMount, false);
    }
    if (by08) refuseRest('Container', given[2], this, ['name']);
    else refuseUnknown('Container', own, this);
    this.placements = [];
    mark(this, here('Container super'));
    registerParty(this, () => this.hostname);
    if (this.privileged) note(`'privileged' of container '${this.hostname}' is ignored`);
  }

  clone() {
    return by13 ? new Container(this) : new Container(this.hostnamePrefix, this.image, this);
  }

  getHostname() {
    return this.hostname + domain;
  }

  getConnectableName() {
    return this.hostname;
  }

  /** Asks for a machine of this kind. */
  placeOn(machine) {
    const at = here('placeOn');
    push(this.placements, mark({
      targetContainer: this.hostname,
      exclusive: false,
      provider: text('provider', machine.provider),
      size: text('size', machine.size),
      region: text('region', machine.region),
      floatingIp: text('floatingIp', machine.floatingIp),
    }, at));
    note(`placement of container '${this.hostname}' is for clusters: here everything runs on this machine`);
  }

  deploy(infrastructure) {
    deployable(infrastructure, `container '${this.hostname}'`).containers.add(this);
    if (by08) return;
    for (let i = 0; i < this.volumeMounts.length; i += 1) infrastructure.volumes.add(this.volumeMounts[i].volume);
  }
}

const named = (name) => (by13 ? new Image({ name }) : new Image(name));

function deployable(infrastructure, what) {
  if (infrastructure instanceof Infrastructure) return infrastructure;
  throw wrong(`the argument of deploy() of ${what}`, 'an Infrastructure', infrastructure);
}

/** A host name nothing else has. */
function hostname(name) {
  const unique = hostnames.unique(name);
  if (by13 && (unique.length > 253 || !/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(unique))) {
    throw new RealError(`'${unique}' is no host name: write a-z, 0-9 and '-', and no '-' at either end`);
  }
  return unique;
}

/** An object of strings, secrets and (once) values that were known when a container started. */
function values(what, given) {
  if (given === undefined) return {};
  if (typeof given !== 'object') throw wrong(what, 'an object', given);
  const names = keys(given ?? {});
  for (let i = 0; i < names.length; i += 1) {
    const value = given[names[i]];
    const known = typeof value === 'string' || value instanceof Secret || (!by13 && value instanceof RuntimeValue);
    if (!known) throw wrong(`'${names[i]}' in ${what}`, 'a string or a Secret', value);
  }
  return given;
}

/** A value that is set by `kelda secret`; here by the environment variable WEFT_SECRET_<NAME>. */
export class Secret {
  constructor(name) {
    this.nameOfSecret = name;
  }
}

/** A value that was known once the container had a machine. */
class RuntimeValue {
  constructor(resourceKey) {
    this.resourceKey = resourceKey;
  }
}

/** The address of the machine a container runs on. */
export const hostIP = new RuntimeValue('host.ip');

/** A directory: of the host (`type: 'hostPath'`), or kept by weft. */
export class Volume {
  constructor(given) {
    needs('Volume', given, by13 ? ['name', 'type'] : ['name']);
    if (given.type === 'hostPath') needs('Volume', given, ['path']);
    else if (by13 || given.type !== undefined) throw wrong(`the type of volume '${given.name}'`, "'hostPath'", given.type);
    assign(this, given);
    this.name = volumeNames.unique(given.name);
  }
}

/** Where a container sees a Volume. */
export class VolumeMount {
  constructor(given) {
    needs('VolumeMount', given, ['volume', 'mountPath']);
    this.mountPath = text('mountPath', given.mountPath);
    if (!(given.volume instanceof Volume)) throw wrong('the volume of a VolumeMount', 'a Volume', given.volume);
    this.volume = given.volume;
    refuseUnknown('VolumeMount', given, this);
  }
}

// --- traffic

/** One name and one address for several containers. */
export class LoadBalancer {
  constructor(...given) {
    const own = options('LoadBalancer', ['name', 'containers'], ['name', 'containers'], given);
    if (typeof own.name !== 'string') throw wrong('the name of a LoadBalancer', 'a string', own.name);
    this.name = hostname(own.name);
    this.containers = listOf(`the containers of LoadBalancer '${own.name}'`, own.containers, Container, true);
    if (!by08) refuseUnknown('LoadBalancer', own, this);
    mark(this, here('LoadBalancer super'));
    registerParty(this, () => this.name);
  }

  getConnectableName() {
    return this.name;
  }

  deploy(infrastructure) {
    push(deployable(infrastructure, `load balancer '${this.name}'`).loadBalancers, this);
  }
}

/** Everything outside. */
export const publicInternet = {
  getConnectableName: () => PUBLIC,
};

const isConnectable = (value) => typeof value?.getConnectableName === 'function';

function connectables(what, value) {
  const list = isConnectable(value) ? [value] : value;
  if (!isArray(list)) throw wrong(what, 'something to connect to, or a list of that', value);
  for (let i = 0; i < list.length; i += 1) {
    if (!isConnectable(list[i])) throw wrong(`item ${i} of ${what}`, 'something to connect to', list[i]);
  }
  return list;
}

/** Lets `sources` connect to `destinations` on these ports. */
export function allowTraffic(sources, destinations, port) {
  const at = here('allow allowTraffic allowFrom');
  if (port === undefined || port === null) throw new RealError('a port or a PortRange is missing');
  const ports = range('the port', port);
  const from = connectables('the source', sources);
  for (let i = 0; i < from.length; i += 1) {
    if (from[i] instanceof LoadBalancer) {
      throw new RealError(`load balancer '${from[i].name}' opens no connections: allow its containers instead`);
    }
  }
  const to = connectables('the destination', own(sources, destinations, port));
  const outsides = apply(includes, from, [publicInternet]) || apply(includes, to, [publicInternet]);
  if (outsides && ports.min !== ports.max) {
    throw new RealError(`the public internet takes one port at a time, not ${spoken(ports)}: allow each on its own`);
  }
  const connection = { from: called(from), to: called(to), ports, parties: [from, to], at };
  if (by08 || by13 || to.length > 0) push(connections, connection);
  // The originals gave nothing back.
  return by08 || by13 ? undefined : new Link((chain) => lead(only(connection), chain));
}

/** In weft, things a blueprint defines with a method `allowFrom` only are told so themselves; the others are left. */
function own(sources, destinations, port) {
  if (by08 || by13) return destinations;
  const list = isArray(destinations) ? destinations : [destinations];
  const others = [];
  for (let i = 0; i < list.length; i += 1) {
    if (!isConnectable(list[i]) && typeof list[i]?.allowFrom === 'function') list[i].allowFrom(sources, port);
    else push(others, list[i]);
  }
  return others;
}

function called(list) {
  const names = [];
  for (let i = 0; i < list.length; i += 1) push(names, list[i].getConnectableName());
  return names;
}

/** Tells each destination, by its method `allowFrom`, who may connect to it. */
export function allow(sources, destinations, port) {
  if (!by08) return allowTraffic(sources, destinations, port);
  const list = connectables('the destination', destinations);
  for (let i = 0; i < list.length; i += 1) list[i].allowFrom(sources, port);
  return undefined;
}

// What 0.13 no longer had.
if (!by13) {
  const allowFrom = function allowFrom(sources, port) {
    return allowTraffic(sources, this, port);
  };
  Container.prototype.allowFrom = allowFrom;
  LoadBalancer.prototype.allowFrom = allowFrom;
  publicInternet.allowFrom = allowFrom;
  LoadBalancer.prototype.hostname = function hostname() {
    return this.name + domain;
  };
  Container.prototype.setEnv = setEnv;
  Container.prototype.withEnv = withEnv;
}
if (!by08) {
  LoadBalancer.prototype.getHostname = function getHostname() {
    return this.name;
  };
}
// What no version of these had any more, and weft keeps.
if (!by08 && !by13) {
  Container.prototype.getContainerHostname = Container.prototype.getHostname;
  Container.prototype.withFiles = withFiles;
  Container.prototype.replicate = replicate;
}

/** Forgets everything made. */
export function resetGlobals() {
  made = 0;
  hostnames = new Names(true);
  volumeNames = new Names(true);
  connections = [];
  current = undefined;
}

export { githubKeys, Port, Range, Range as PortRange };

// --- what it all means

/** The infrastructure as the host reads it. */
function describe(infrastructure) {
  if (infrastructure === undefined) return { dialect: 'kelda' };
  const mounts = (container) => each(container.volumeMounts, ({ volume, mountPath }) => ({ volumeName: volume.name, mountPath }));
  return {
    dialect: 'kelda',
    namespace: infrastructure.namespace,
    adminACL: infrastructure.adminACL,
    machines: infrastructure.machines ?? withRoles(infrastructure),
    loadBalancers: each(infrastructure.loadBalancers, (one) => ({
      name: one.name, hostnames: each(one.containers, (container) => container.hostname), at: marked(one),
    })),
    containers: each([...infrastructure.containers], (one) => ({
      value: one, placements: one.placements, mounts: by08 ? undefined : mounts(one), at: marked(one),
    })),
    connections: each(connections, ({ from, to, ports, at }) => ({ from, to, minPort: ports.min, maxPort: ports.max, at })),
    volumes: by08 ? undefined : [...infrastructure.volumes],
    at: marked(infrastructure),
  };
}

/** Records what was deployed in the words of the model. */
function finish() {
  if (current === undefined) return;
  setNamespace(current.namespace !== DEFAULT_NAMESPACE ? current.namespace : undefined, marked(current), current.adminACL);
  for (const one of current.masters) addMachine(() => bootable(one, 'Master'), marked(current), true);
  for (const one of current.workers) addMachine(() => bootable(one, 'Worker'), marked(current), true);
  for (const container of current.containers) {
    for (const rule of container.placements) {
      const { provider, size, region, floatingIp } = rule;
      addPlacement({ target: claimed(container), kind: 'on', options: { provider, size, region, floatingIp }, at: marked(rule) });
    }
    addContainer(() => container.hostname, () => programOf(container), marked(container));
    if (!by13) addAlias(`${container.hostname}.q`, container.hostname, marked(container));
  }
  for (const one of new Set(current.loadBalancers)) {
    addService(() => one.name, members(one.containers), marked(one));
    if (!by13) addAlias(`${one.name}.q`, one.name, marked(one));
  }
  for (const { from, to, parties, ports, at, through } of connections) {
    const made = connect(party(from, parties[0]), party(to, parties[1]), ports, undefined, at);
    if (through !== undefined) lead(made, through);
  }
}

/** Ends of a link: the objects themselves where they are ours, else the names they went by. */
function party(names, objects) {
  const ends = [];
  for (let i = 0; i < names.length; i += 1) {
    const ours = objects[i] instanceof Container || objects[i] instanceof LoadBalancer;
    push(ends, names[i] === PUBLIC ? outside : ours ? objects[i] : names[i]);
  }
  return ends;
}

/** A container in the words of weft. */
function programOf({ image, command, env, filepathToContent, volumeMounts = [] }) {
  const mounts = {};
  for (const { volume, mountPath } of volumeMounts) {
    mounts[mountPath] = volume.path === undefined ? { named: volume.name } : { host: volume.path };
  }
  return { image: imageOf(image), command, env: plain(env), files: plain(filepathToContent), mounts };
}

function imageOf({ name, dockerfile }) {
  return dockerfile ? { name, dockerfile } : name;
}

function plain(given) {
  const result = copy(given);
  for (const key of keys(result)) {
    if (result[key] instanceof Secret) result[key] = new CoreSecret(result[key].nameOfSecret);
    else if (result[key] instanceof RuntimeValue) result[key] = '127.0.0.1';
  }
  return result;
}

whenDone(finish);
if (by08 || by13) {
  setRecord(() => describe(current));
  // What Kelda's own program called once a blueprint had run.
  globalThis.getInfrastructureKeldaRepr = () => (current === undefined ? {} : current.toKeldaRepresentation());
}

const shared = {
  Container, Infrastructure, Image, Machine, Port, PortRange: Range, Range, Secret, LoadBalancer,
  allowTraffic, getInfrastructure, githubKeys, publicInternet, resetGlobals, baseInfraLocation, baseInfrastructure,
};
const kelda = assign(shared, by13 ? {} : { allow, hostIP }, by08 ? {} : { Volume, VolumeMount });

export default kelda;
