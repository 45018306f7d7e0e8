// The module 'kelda': the names of Kelda 0.8 (positional arguments) and 0.13 (one object of options), over the
// same record as 'weft'. Machines are accepted and play no part: everything runs on this one.

import {
  addContainer, addService, connect, copy, here, isArray, members, note, Port, PortRange, publicInternet, push,
  registerParty, Secret as CoreSecret, setNamespace,
} from 'weft:core';

const counts = new Map();
const { get, set, has } = Map.prototype;
const { apply } = Reflect;

// The second container called `web` is `web2`, the third `web3`.
function uniqueHostname(name) {
  if (!apply(has, counts, [name])) {
    apply(set, counts, [name, 1]);
    return name;
  }
  const count = apply(get, counts, [name]) + 1;
  apply(set, counts, [name, count]);
  return uniqueHostname(`${name}${count}`);
}

const isOptions = (value) => typeof value === 'object' && value !== null && !isArray(value);

function box(value, type, what) {
  const list = isArray(value) ? value : [value];
  for (let i = 0; i < list.length; i += 1) {
    if (!(list[i] instanceof type)) throw new TypeError(`${what} must be a ${type.name} or a list of them`);
  }
  return list;
}

let current;

/** Where containers are deployed: here, one machine, whatever it says. */
export class Infrastructure {
  constructor(masters, workers, options = {}) {
    let given = options;
    let all = [masters, workers];
    if (workers === undefined && isOptions(masters) && !(masters instanceof Machine)) {
      given = masters;
      all = [masters.masters, masters.workers];
    }
    this.masters = box(all[0], Machine, 'masters');
    this.workers = box(all[1], Machine, 'workers');
    if (this.masters.length === 0) throw new Error('masters must include 1 or more Machines');
    if (this.workers.length === 0) throw new Error('workers must include 1 or more Machines');
    this.namespace = given.namespace === undefined ? 'default-namespace' : given.namespace;
    this.adminACL = given.adminACL === undefined ? [] : given.adminACL;
    this.containers = new Set();
    this.loadBalancers = [];
    setNamespace(this.namespace, here('Infrastructure'));
    note('machines are accepted and ignored: everything runs on this one');
    current = this;
  }

  /** Deploys anything that can be deployed, or a list of it. */
  deploy(what) {
    const list = isArray(what) ? what : [what];
    for (let i = 0; i < list.length; i += 1) list[i].deploy(this);
  }
}

/** A machine to rent; here only something an Infrastructure asks for. */
export class Machine {
  constructor(options = {}) {
    const own = copy(options);
    for (const key of Object.keys(own)) this[key] = own[key];
    this.sshKeys = this.sshKeys === undefined ? [] : this.sshKeys;
  }

  clone() {
    return new Machine(this);
  }

  replicate(count) {
    const machines = [];
    for (let i = 0; i < count; i += 1) push(machines, this.clone());
    return machines;
  }
}

/** An image by name; a Dockerfile is remembered, not built. */
export class Image {
  constructor(name, dockerfile) {
    this.name = isOptions(name) ? name.name : name;
    this.dockerfile = isOptions(name) ? name.dockerfile : dockerfile;
  }

  clone() {
    return new Image(this.name, this.dockerfile);
  }
}

/** One program. It runs once it is deployed. */
export class Container {
  constructor(first, second, third = {}) {
    const options = isOptions(first) ? first : third;
    const prefix = isOptions(first) ? first.name : first;
    const image = isOptions(first) ? first.image : second;
    if (typeof prefix !== 'string') throw new TypeError('the name of a Container must be a string');
    if (typeof image !== 'string' && !(image instanceof Image)) {
      throw new TypeError(`image of Container '${prefix}' must be an Image or a string`);
    }
    this.image = typeof image === 'string' ? new Image(image) : image.clone();
    this.hostnamePrefix = prefix;
    this.hostname = uniqueHostname(prefix);
    this.command = options.command === undefined ? [] : copy(options.command);
    this.env = options.env === undefined ? {} : copy(options.env);
    this.filepathToContent = options.filepathToContent === undefined ? {} : copy(options.filepathToContent);
    this.volumeMounts = options.volumeMounts === undefined ? [] : copy(options.volumeMounts);
    this.privileged = options.privileged === true;
    this.placements = [];
    const known = ['name', 'image', 'command', 'env', 'filepathToContent', 'volumeMounts', 'privileged'];
    if (!(options instanceof Container)) {
      for (const key of Object.keys(options)) {
        if (!known.includes(key)) throw new Error(`Unrecognized keys passed to Container constructor: ${key}`);
      }
    }
    if (this.privileged) note(`'privileged' of container '${this.hostname}' is ignored`);
    if (this.image.dockerfile !== undefined) {
      note(`the Dockerfile of image '${this.image.name}' is not built: programs come from this host`);
    }
    this.at = here('Container super');
    this.deployed = false;
    registerParty(this, () => this.hostname);
  }

  clone() {
    return new Container(this.hostnamePrefix, this.image, this);
  }

  setEnv(key, value) {
    this.env[key] = value;
  }

  withEnv(env) {
    const clone = this.clone();
    clone.env = env;
    return clone;
  }

  withFiles(files) {
    const clone = this.clone();
    clone.filepathToContent = files;
    return clone;
  }

  replicate(count) {
    const list = [];
    for (let i = 0; i < count; i += 1) push(list, this.clone());
    return list;
  }

  getHostname() {
    return this.hostname;
  }

  getContainerHostname() {
    return this.hostname;
  }

  placeOn(machine) {
    push(this.placements, machine);
    note(`placement of container '${this.hostname}' is ignored: everything runs on this machine`);
  }

  allowFrom(sources, port) {
    refuseLoadBalancers(sources);
    connect(sources, this, port, undefined, here('allowFrom'));
  }

  deploy(infrastructure) {
    if (!(infrastructure instanceof Infrastructure)) {
      throw new TypeError(`deploy() of container '${this.hostname}' needs an Infrastructure`);
    }
    infrastructure.containers.add(this);
    if (this.deployed) return;
    this.deployed = true;
    addContainer({ container: this, dialect: 'kelda', at: this.at });
  }
}

function refuseLoadBalancers(sources) {
  const list = isArray(sources) ? sources : [sources];
  for (let i = 0; i < list.length; i += 1) {
    if (list[i] instanceof LoadBalancer) throw new Error('LoadBalancers can not make outgoing connections');
  }
}

/** One name and one address for several containers. */
export class LoadBalancer {
  constructor(first, second) {
    this.name = uniqueHostname(isOptions(first) ? first.name : first);
    this.containers = copy(box(isOptions(first) ? first.containers : second, Container, 'containers'));
    this.at = here('LoadBalancer super');
    this.deployed = false;
    registerParty(this, () => this.name);
  }

  hostname() {
    return this.name;
  }

  getHostname() {
    return this.name;
  }

  allowFrom(sources, port) {
    refuseLoadBalancers(sources);
    connect(sources, this, port, undefined, here('allowFrom'));
  }

  deploy(infrastructure) {
    if (!(infrastructure instanceof Infrastructure)) {
      throw new TypeError(`deploy() of load balancer '${this.name}' needs an Infrastructure`);
    }
    push(infrastructure.loadBalancers, this);
    if (this.deployed) return;
    this.deployed = true;
    addService(() => this.name, members(this.containers), this.at);
  }
}

/** Lets `sources` connect to `destinations`; with publicInternet as source, a port of this machine leads there. */
export function allowTraffic(sources, destinations, port) {
  refuseLoadBalancers(sources);
  const list = isArray(destinations) ? destinations : [destinations];
  for (let i = 0; i < list.length; i += 1) {
    const to = list[i];
    // Blueprints define their own connectable things by a method allowFrom.
    const ours = typeof to === 'string' || to instanceof Container || to instanceof LoadBalancer
      || to === publicInternet;
    if (!ours && isOptions(to) && typeof to.allowFrom === 'function') to.allowFrom(sources, port);
    else connect(sources, to, port, undefined, here('allow allowTraffic'));
  }
}

/** The name of allowTraffic in 0.8. */
export const allow = allowTraffic;

/** The original's name of a range that is not only of ports. */
export const Range = PortRange;

/** A value that is set by `kelda secret`; here by the environment variable WEFT_SECRET_<NAME>. */
export class Secret extends CoreSecret {}

/** A directory: of the host (`type: 'hostPath'`), or kept by weft. */
export class Volume {
  constructor({ name, type = 'named', path }) {
    this.name = name;
    this.type = type;
    this.path = path;
  }
}

/** Where a container sees a Volume. */
export class VolumeMount {
  constructor({ volume, mountPath }) {
    this.volume = volume;
    this.mountPath = mountPath;
  }
}

/** The address the deployment is published on. */
export const hostIP = '127.0.0.1';

/** The infrastructure `kelda init` would have made. */
export function baseInfrastructure() {
  const machine = new Machine({ provider: 'Local' });
  return new Infrastructure({ masters: machine, workers: machine });
}

/** The infrastructure made last. */
export function getInfrastructure() {
  return current;
}

/** Keys are fetched from nowhere. */
export function githubKeys(user) {
  note(`the SSH keys of '${user}' are not fetched: blueprints have no network`);
  return [];
}

export { Port, PortRange, publicInternet };
