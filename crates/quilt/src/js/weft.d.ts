// Types of the module 'weft', for editors. `weft check FILE` needs none of this.

/** A name in the network: a DNS label, such as 'web' or 'db-1'. */
type Name = string;

/** A port, or a range made by PortRange, tcp or udp. */
type Ports = number | PortRange;

/** 'any' is TCP and UDP. */
type Protocol = 'tcp' | 'udp' | 'any';

/** An end of a link: a container, a service, or the name of one. */
type End = Container | Service | Name;

/** One end, or several. */
type Ends<T> = T | readonly T[];

/** A time with its unit: '500ms', '5s', '2m', '1h'. */
type Time = string;

/** How it is found out whether a container does its work: one of command, http and tcp. */
export interface HealthCheck {
  /** A command, run inside as the container's user, that ends with code 0; one string is run by `/bin/sh -c`. */
  command?: readonly (string | number)[] | string;
  /** A page of the container (its port, or port and path; '/' without) whose status is 200 to 399. */
  http?: number | { port: number; path?: string };
  /** A port of the container that accepts a connection. */
  tcp?: number;
  /** Pause between two checks, '5s' without; more often at first. */
  interval?: Time;
  /** How long a check may take; '2s' without. */
  timeout?: Time;
  /** Failures in a row that make it unhealthy; 3 without. */
  retries?: number;
  /** How long after its start failures do not count, unless a check has succeeded; '10s' without. */
  startPeriod?: Time;
  /** Failures in a row after which its program is started anew; never without. */
  restartAfter?: number;
}

/** How the members of a service are replaced: a batch at a time, each out of rotation before it is stopped. */
export interface UpdateOptions {
  /** How many at the same time; 1 without. */
  batch?: number;
  /** Pause after a batch is ready; none without. */
  pause?: Time;
  /** How long connections of a member may go on once it gets no new ones; '10s' without. */
  drain?: Time;
}

/** What a container is made of. */
export interface ContainerOptions {
  /** Program and arguments; one string is run by `/bin/sh -c`. An image's entry point comes before it. */
  command?: readonly (string | number)[] | string;
  /** In place of the image's entry point, and of the command that the image has; `[]` for none. */
  entrypoint?: readonly (string | number)[] | string;
  /**
   * 'host' (the default): a copy-on-write view of this machine's files. 'scratch': nothing but `files` and `mounts`.
   * 'oci:PATH' or 'oci:PATH:NAME': an OCI image layout (a directory or a tar of one) or an archive of `docker save`, below
   * the blueprint's directory. An Image is built from its Dockerfile. Other names stand for programs of this machine.
   */
  image?: 'host' | 'scratch' | `oci:${string}` | string | Image;
  /** Environment variables. */
  env?: Record<string, string | number | boolean | Secret>;
  /** Files to write before the program starts: absolute path to content. */
  files?: Record<string, string | Secret>;
  /** Directories to show inside: absolute path to volume. */
  mounts?: Record<string, Volume | HostPath>;
  /** User to run as: name, uid or 'uid:gid'. */
  user?: string | number;
  /** Directory to start in. */
  workdir?: string;
  /** Most memory: bytes, or text such as '256M'. */
  memory?: number | string;
  /** Most processor time, in cores: 0.5 is half of one. */
  cpu?: number;
  /** Most processes and threads. */
  pids?: number;
  /** What happens when the program ends; 'always' without. */
  restart?: 'always' | 'on-failure' | 'never';
  /** How it is found out whether it does its work. While it does not, services give it no new connections. */
  health?: HealthCheck;
  /** What must be ready before it is started: healthy if it has a health check, else running. */
  dependsOn?: Ends<End>;
  /** How long it may take from its start until it is ready, when something waits for that; '60s' without. */
  readyWithin?: Time;
  /** How replicas are replaced; all at once without. */
  update?: UpdateOptions;
  /** How many to run. With 3, 'web' is a service of 'web-1', 'web-2' and 'web-3'. */
  replicas?: number;
}

/** What an Image is built from: a Dockerfile as text, or as a file. */
type Dockerfile = { dockerfile: string; file?: undefined } | { file: string; dockerfile?: undefined };

/**
 * An image that is built from a Dockerfile, on this machine, without a daemon. FROM takes host, scratch, oci:PATH, an
 * earlier stage, or a name that stands for programs of this machine. RUN has no network.
 */
export class Image {
  constructor(options: Dockerfile & {
    /** What it is called; the container's name without. */
    name?: string;
    /** The directory that COPY takes from; without, that of the Dockerfile, or the blueprint's. */
    context?: string;
    /** Values for ARG. */
    args?: Record<string, string | number | boolean>;
    /** The stage that is wanted; the last one without. */
    target?: string;
  });
}

/** What was allowed. */
interface Link {
  /**
   * Has its packets pass these network functions, `NF` of 'weft/nf' or their names: from the first to the last on their way from
   * who connects, the other way round on their way back. Said once of a link.
   */
  through(...functions: readonly (NetworkFunction | Name)[] | [readonly (NetworkFunction | Name)[]]): this;
}

/** An NF of the module 'weft/nf'. */
interface NetworkFunction {
  name: Name;
}

/** What containers and services share. */
declare class Party {
  /** The name others reach it by. */
  readonly hostname: Name;
  /** The same as `hostname`. */
  getHostname(): Name;
  /** Lets every source connect to it on these ports. What comes back stands for it, too, so that calls can follow. */
  allowFrom(sources: Ends<End | PublicInternet>, ports: Ports, protocol?: Protocol): Party & Link;
  /** The same. */
  allowTraffic(sources: Ends<End | PublicInternet>, ports: Ports, protocol?: Protocol): Party & Link;
  /** Opens a port of this machine onto it; `port` is the same number if left out. */
  publish(hostPort: number, port?: number, protocol?: 'tcp' | 'udp'): Party & Link;
  /** Has its containers run only on machines that are all of this. */
  placeOn(kind: MachineKind): this;
  /** Has its containers never run on a machine that is any of this. */
  notOn(kind: MachineKind): this;
  /** Keeps its containers off the machines that those of `others` run on; from itself: each on a machine of its own. */
  apartFrom(others: Ends<End>): this;
  /** Has each of its containers run only where another one of `others` runs. */
  beside(others: Ends<End>): this;
}

/** What machines of a kind have in common; what is left out does not matter. */
export interface MachineKind {
  provider?: string;
  size?: string;
  region?: string;
  floatingIp?: string;
}

/** One program, or `replicas` of it. It is deployed by being made. */
export class Container extends Party {
  constructor(name: Name, options?: ContainerOptions);
  name: Name;
  /** Its environment, to add to. */
  readonly env: Record<string, string | number | boolean | Secret>;
  /** Its files, to add to. */
  readonly files: Record<string, string | Secret>;
}

/** One name and one address for several containers; connections go to them in turn. */
export class Service extends Party {
  constructor(name: Name, containers: Ends<Container | Name>, options?: { update?: UpdateOptions });
  name: Name;
}

/** The original's name for Service. */
export const LoadBalancer: typeof Service;

/** Everything outside the deployment. */
interface PublicInternet {
  /** Lets every source connect to the outside on these ports. */
  allowFrom(sources: Ends<End>, ports: Ports, protocol?: Protocol): Link;
}

/** Everything outside: as a source, ports of this machine; as a destination, whatever the machine can reach, but not itself. */
export const publicInternet: PublicInternet;

/**
 * Lets every source connect to every destination on these ports. Nothing else passes, except replies. Without ports, on
 * those that the destination's image exposes.
 */
export function allow(
  sources: Ends<End | PublicInternet>, destinations: Ends<End | PublicInternet>, ports?: Ports, protocol?: Protocol): Link;

/** The original's name for allow. */
export const allowTraffic: typeof allow;

/** What an emulated link is like, one way; both directions are alike. */
export interface LinkOptions {
  /** Bits a second: '50mbit', '1gbit'. */
  rate: string;
  /** How long a packet is on it: '40ms'; none without. A round trip takes twice that. */
  delay?: string;
  /** Added to the delay, from nothing to this; the order of packets stays. */
  jitter?: string;
  /** The share of packets that are lost: 0.001 or '0.1%'. */
  loss?: number | string;
  /**
   * How much may wait before it: bytes, '64KB', or bandwidth-delay products of a round trip, '0.5bdp'. One such product, and 100 kB
   * at least, without.
   */
  buffer?: number | string;
}

/**
 * Has all packets between the two cross a link that is slow, long or lossy. It allows nothing: `allow` does. Two containers have one
 * link between them at most; of a service, all members share it.
 */
export function link(a: End, b: End, options: LinkOptions): void;

/** Opens a port of this machine onto a container or service; `port` is the same number if left out. */
export function publish(destination: Ends<End>, hostPort: number, port?: number, protocol?: 'tcp' | 'udp'): Link;

/**
 * What must be true of the network, or `weft check`, `plan` and `up` refuse the blueprint and say why not. It is
 * decided for every number of replicas, and about every pair of containers that the parties stand for.
 * Each call returns the expectation, to say more of the same parties.
 */
interface Expectation {
  /** A link lets each of them connect to each `to` on all of these ports ('tcp' unless said); without ports, on some port. */
  canConnect(to: Ends<End | PublicInternet>, ports?: Ports, protocol?: Protocol): this;
  /** No link lets one of them connect to a `to` on one of these ports; without ports, on any. */
  cannotConnect(to: Ends<End | PublicInternet>, ports?: Ports, protocol?: Protocol): this;
  /** A chain of connections leads from each of them to each `to`; its last one is on these ports. */
  canReach(to: Ends<End | PublicInternet>, ports?: Ports, protocol?: Protocol): this;
  /** Not even a chain of connections leads from one of them to a `to`; with ports, none whose last one is on these. */
  cannotReach(to: Ends<End | PublicInternet>, ports?: Ports, protocol?: Protocol): this;
  /** Every chain of connections from `from` to `to` passes one of them. */
  isBetween(from: Ends<End | PublicInternet>, to: Ends<End | PublicInternet>): this;
  /** From each `from` to each `to` a chain of connections leads that passes none of them. */
  isNotBetween(from: Ends<End | PublicInternet>, to: Ends<End | PublicInternet>): this;
}

/** Starts an expectation: `expect(client).cannotReach(db)`. */
export function expect(parties: Ends<End | PublicInternet>): Expectation;

/** Ports `min` to `max`, both included. */
export class PortRange {
  constructor(min: number, max: number, protocol?: Protocol);
  min: number;
  max: number;
}

/** One port. */
export function Port(port: number): PortRange;

/** One TCP port, or a range of them. */
export function tcp(min: number, max?: number): PortRange;

/** One UDP port, or a range of them. */
export function udp(min: number, max?: number): PortRange;

/** A value kept out of the blueprint: the environment variable WEFT_SECRET_<NAME> of the weft command. */
export class Secret {
  constructor(name: string);
}

/** What is asked of a machine. */
export interface MachineOptions {
  /** Whose it is to be. Only Amazon's can be booted so far. */
  provider: 'Amazon' | 'Azure' | 'DigitalOcean' | 'Google' | 'Vagrant';
  /** A master decides and runs containers too; a worker (the default) runs containers. A cluster needs a master. */
  role?: 'master' | 'worker';
  /** Where, in the provider's words; 'us-west-1' without. All machines of a deployment are in one region. */
  region?: string;
  /** How large, in the provider's words; without, the cheapest size that has what is asked for. */
  size?: string;
  /** Least number of cores, or a range. */
  cpu?: number | { min?: number; max?: number };
  /** Least memory, in bytes or text such as '8G', or a range. */
  memory?: number | string | { min?: number | string; max?: number | string };
  /** Size of the disk, in GiB; 32 without. */
  disk?: number;
  /** Rented at the market's price; the provider may take it away again at any time. */
  spot?: boolean;
  /** An address that outlives the machine: one that is yours, or true for a new one that is given back with it. */
  floatingIp?: string | boolean;
  /** Public keys that may log in. */
  sshKeys?: readonly string[];
  /** How many of them; one without. */
  replicas?: number;
}

/** A machine of a cloud. `weft up --target machines` boots them, makes one Kubernetes cluster of them and deploys there. */
export class Machine {
  constructor(options: MachineOptions);
}

/** A directory that outlives containers. */
export class Volume {
  constructor(name: string, options?: { readOnly?: boolean });
}

/** What hostPath gives. */
interface HostPath {
  readonly host: string;
}

/** A directory or file of this machine. */
export function hostPath(path: string, options?: { readOnly?: boolean }): HostPath;

/** Names the deployment (the file's name without), and says how denied packets are turned away: 'refuse' (the default) at once, 'drop' silently. */
export function deployment(options: {
  name?: Name;
  denied?: 'refuse' | 'drop';
  /** Networks (CIDR) that may reach the API server of machines, and log in. Your own address must be among them. */
  adminACL?: readonly string[];
  /** The most that an hour of one machine may cost, in US dollars. */
  maxPrice?: number;
}): void;

/** The values of `--arg name=value`. */
export const args: Readonly<Record<string, string>>;
