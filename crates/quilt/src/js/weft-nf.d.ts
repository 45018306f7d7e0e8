// Types of the module 'weft/nf', for editors.

/** Fields of a packet's headers. */
export type Field = 'ip.src' | 'ip.dst' | 'ip.proto' | 'port.src' | 'port.dst';

/** So many bits a second: '8 Gbit/s', '600 Mbit/s'. */
export type Rate = string;

/** What a network function is. */
export interface NFOptions {
  /**
   * A function of `weft netbricks list` and its arguments: 'firewall rule=permit out any any', or a list of words where a value
   * holds an equals sign, ['signature', 'rule=drop "exe" content "a=b"']. Its inside is the side that opens connections. Where
   * links go through it, one of acl, firewall, monitor, ratelimit, signature. Of a legacy one, the command that sets it up and
   * returns: a list of words, or one text for the shell.
   */
  run?: string | readonly (string | number)[];
  /**
   * How many run; 1 without, 32 at most of all functions that links go through. A pipelet's may be from `least` to `most`, and are
   * as many as its capacity asks for where nothing is said.
   */
  instances?: number | { least?: number; most?: number };
  /**
   * What packets have in common that go to the same instance: the 'flow' (the default of links, both directions of it), the 'host
   * pair', or 'none' (the default of pipelets): instances take turns. Pipelets may ask for fields too.
   */
  affinity?: 'flow' | 'host pair' | 'none' | readonly Field[];

  // What follows is for pipelets alone.

  /** Whether it is one of weft's, or a program behind interfaces `inside` and `outside`. 'native' without. */
  kind?: 'native' | 'legacy';
  /** Whether each instance runs in a confined process. False without; of native ones alone. */
  isolated?: boolean;
  /** What it says of packets, and how: by a port of its own for each, or by a tag that travels with the packet. Legacy ones by port. */
  attributes?: { readonly [name: string]: 'port' | 'metadata' };
  /** What one core of it carries. */
  capacity?: Rate;
  /** Whether there may be more than one. True without. */
  scalable?: boolean;
  /** Fields that it changes. */
  rewrites?: Field | readonly Field[];
  /** A switch can do the same, in so many entries of its table. */
  switchEntries?: number;
  /** Ports whose packets come to its inside; those of others come to its outside. All come to the inside without. */
  inside?: readonly string[];
}

/**
 * A network function. It runs beside the network itself, `allow(client, web, 80).through(new NF('watch', {run: 'monitor'}))`, or
 * where a policy of pipelets puts it.
 */
export class NF {
  constructor(name: string, options?: NFOptions);
  name: string;
  options: NFOptions;
}

/** A way from one function or port to the next. The first edge of a function that a packet matches is taken. */
export interface Edge {
  /** A function, or the name of a port. */
  from: NF | string;
  /** A function, or the name of a port. */
  to: NF | string;
  /** Which packets, in tcpdump's words and attributes: 'tcp dst port 80 and not safe'. All without. */
  when?: string;
  /** The part of what leaves `from` that takes it, as an estimate: '75%'. Edges without one divide the rest. */
  share?: string;
}

/** What a pipelet is. */
export interface PipeletOptions {
  /** Which packets, by headers, in tcpdump's words. All without. */
  traffic?: string;
  /** How much it is thought to be. */
  rate: Rate;
  /** A graph without circles from ports to ports. */
  edges: readonly Edge[];
}

/** A class of traffic, and the graph of functions that it passes. Where two overlap, the one that was made first has it. */
export class Pipelet {
  constructor(name: string, options: PipeletOptions);
  name: string;
  options: PipeletOptions;
}

/** What pipelets run on. */
export interface HardwareOptions {
  /** The switch between all servers, and the entries of its table. */
  switch: { name: string; entries: number };
  /** Servers; each instance has a core. */
  servers: readonly { name: string; cores: number }[];
  /** Links between servers and the switch. */
  links: readonly { between: readonly [string, string]; rate: Rate }[];
  /** Where traffic comes in and leaves; `at` says what a port really is, as `weft netbricks run --in` takes it: 'veth:eth1'. */
  ports: readonly { name: string; rate: Rate; at?: string }[];
}

/** Describes the hardware, once. */
export class Hardware {
  constructor(options: HardwareOptions);
  options: HardwareOptions;
}
