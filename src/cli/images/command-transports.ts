import { resolve } from 'node:path';
import { ResultCache } from '../../concurrency/index.js';
import { openStore, type Store } from '../../engine/store.js';
import type { RegistryClient } from '../../registry/index.js';
import { ImageTransports } from '../../transfer/transports/image-transports.js';
import { invalidConfig } from '../config/settings.js';
import type { CommandContext } from '../output/command-context.js';

/** The options by which registries that are read, and that are written to, are reached in different ways. */
export interface SideFlags {
  readonly srcPlainHttp?: boolean;
  readonly srcInsecure?: boolean;
  /** Path of a PEM file. */
  readonly srcCa?: string;
  readonly destPlainHttp?: boolean;
  readonly destInsecure?: boolean;
  readonly destCa?: string;
}

/** Settings of one side that differ from those for all. */
export interface SideConnection {
  readonly plainHttp?: boolean | undefined;
  readonly insecure?: boolean | undefined;
  /** Absolute path. */
  readonly ca?: string | undefined;
}

export function sideConnection(flags: SideFlags, side: 'source' | 'destination'): SideConnection {
  const [plainHttp, insecure, ca] =
    side === 'source'
      ? [flags.srcPlainHttp, flags.srcInsecure, flags.srcCa]
      : [flags.destPlainHttp, flags.destInsecure, flags.destCa];
  return { plainHttp, insecure, ca: ca === undefined ? undefined : resolve(ca) };
}

export interface CommandTransportsOptions {
  /**
   * `USER[:PASSWORD]` for the registry that is read, and for the one that is written, where they are not
   * those of all.
   */
  readonly sourceCreds?: string | undefined;
  readonly destinationCreds?: string | undefined;
  /** How the registries of each side are reached, where that is not as the options of all commands say. */
  readonly sides?: SideFlags | undefined;
  /** Whether what is read in the store is not fetched again where that dropped it. Default false. */
  readonly isLocal?: boolean | undefined;
}

/** Opens what a command copies images between, with its store, its credentials and its standard streams. */
export class CommandTransports extends ImageTransports {
  readonly #context: CommandContext;
  readonly #options: CommandTransportsOptions;
  readonly #registries = new ResultCache<string, RegistryClient>();
  /** The registry that `--creds` is for. */
  #credsHost: string | undefined;
  readonly #stores = new ResultCache<'store', Store>();

  constructor(context: CommandContext, options: CommandTransportsOptions = {}) {
    super(context);
    this.#context = context;
    this.#options = options;
  }

  /** The store of this run, opened when it is first asked for. */
  override async store(): Promise<Store> {
    const { root, additionalRoots } = this.#context.settings;
    return await this.#stores.get('store', async () => this.keep(await openStore({ root, additionalRoots })));
  }

  /**
   * One client for all that goes without credentials of the command line, which are shown to one registry
   * alone.
   */
  protected override async client(host: string, side: 'source' | 'destination'): Promise<RegistryClient> {
    const { sourceCreds, destinationCreds, sides = {} } = this.#options;
    const own = side === 'source' ? sourceCreds : destinationCreds;
    const creds = own ?? this.#context.settings.creds;
    const connection = sideConnection(sides, side);
    if (creds === undefined) return await this.#connected(undefined, [], connection);
    if (own === undefined) this.#refuseAnother(host);
    return await this.#connected(creds, [host], connection);
  }

  protected override async layerClient(): Promise<RegistryClient | undefined> {
    return this.#options.isLocal === true ? undefined : await this.#connected(undefined, []);
  }

  async #connected(
    creds: string | undefined,
    hosts: readonly string[],
    { plainHttp, insecure, ca }: SideConnection = {},
  ): Promise<RegistryClient> {
    const common = this.#context.settings;
    const connection = {
      plainHttp: plainHttp ?? common.plainHttp,
      insecure: insecure ?? common.insecure,
      ca: ca ?? common.ca,
    };
    const context = { ...this.#context, settings: { ...common, ...connection, creds } };
    const references = hosts.map((host) => `${host}/any/repository`);
    return await this.#registries.get(JSON.stringify([creds, hosts, connection]), async () => {
      const { openRegistry } = await import('./open-registry.js');
      return this.keep(await openRegistry(context, references));
    });
  }

  /** @throws {LandfallError} INVALID_CONFIG where `--creds` was for another registry */
  #refuseAnother(host: string): void {
    this.#credsHost ??= host;
    if (this.#credsHost === host) return;
    throw invalidConfig(`--creds is for one registry, not for ${this.#credsHost} and ${host}`, {
      hint: 'Use --src-creds and --dest-creds where there are these, or --authfile.',
    });
  }
}
