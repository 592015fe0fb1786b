import { type Digest, digestOf } from '../../spec/index.js';
import type { Labels, SnapshotKind, Usage } from '../snapshotter.js';
import type { FoundSnapshot, OldSnapshot, SnapshotChain } from './find-snapshots.js';
import { isUnpacking } from './snapshot-records.js';

/** What a directory says that it is. */
export interface ClaimedSnapshot {
  readonly number: number;
  readonly snapshotter: string;
  readonly name: string;
  readonly kind: SnapshotKind;
  /** The name or the chain of its parent, or its number, or both. */
  readonly parent: string | undefined;
  readonly parentNumber: number | undefined;
  readonly chain: SnapshotChain | undefined;
  readonly labels: Labels;
  /** Microseconds since 1970. */
  readonly createdAt: number;
  /** Microseconds since 1970. */
  readonly updatedAt: number;
  readonly usage: Usage | undefined;
  /** See src/metadata/unsynced.ts. What the old database said of it is newer than what it says itself. */
  readonly unsynced: string | undefined;
  /** Whether the old database knew it. */
  readonly recorded: boolean;
}

export interface SettledSnapshots {
  /** Each behind its parent, all names and chains different, and every parent a number of a committed one. */
  readonly snapshots: readonly ClaimedSnapshot[];
  /** The numbers of those whose parent is lost, or whose chain another one stands for or it cannot be. */
  readonly refused: readonly number[];
}

/** What a directory is; undefined for one that was being filled, and for one of which nothing is known. */
export function claimOf({ number, file, old, updatedAt }: FoundSnapshot): ClaimedSnapshot | undefined {
  if (old !== undefined && isUnpacking(old)) return undefined;
  // It says what it is before its commit is recorded, and until then it is not committed.
  if (old !== undefined && (old.kind !== 'committed' || file === undefined)) return claimOfOld(old);
  if (file === undefined) return undefined;
  const { name, parent, chainId, diffId, snapshotter } = file;
  const { unsynced } = old ?? file;
  return {
    number,
    snapshotter,
    name,
    kind: 'committed',
    parent,
    parentNumber: old?.parentNumber,
    chain: chainId === undefined || diffId === undefined ? undefined : { chainId, diffId },
    labels: old?.labels ?? {},
    createdAt: old?.createdAt ?? updatedAt,
    updatedAt: old?.updatedAt ?? updatedAt,
    usage: old?.usage,
    unsynced,
    recorded: old !== undefined,
  };
}

function claimOfOld(old: OldSnapshot): ClaimedSnapshot {
  const { number, snapshotter, name, kind, parentNumber, chain, labels, createdAt, updatedAt, usage } = old;
  return {
    number,
    snapshotter,
    name,
    kind,
    parent: undefined,
    parentNumber,
    chain,
    labels,
    createdAt,
    updatedAt,
    usage,
    unsynced: old.unsynced,
    recorded: true,
  };
}

/** Finds the parents, and of those that claim the same the one that is it. */
export function settleClaims(claims: readonly ClaimedSnapshot[]): SettledSnapshots {
  return new Settlement(claims).settle();
}

class Settlement {
  readonly #claims = new Map<number, ClaimedSnapshot>();
  readonly #byChain = new Map<string, number>();
  readonly #byName = new Map<string, number>();
  /** Undefined while a claim is being settled, or once it was refused. */
  readonly #settled = new Map<number, ClaimedSnapshot | undefined>();
  readonly #order: ClaimedSnapshot[] = [];
  readonly #refused: number[] = [];

  constructor(claims: readonly ClaimedSnapshot[]) {
    // What is verified takes its name first, since its children look for it by that, and what the old database knew before.
    const ranked = [...claims].sort((a, b) => rank(a) - rank(b) || a.number - b.number);
    for (const claim of ranked) this.#enter(claim);
  }

  settle(): SettledSnapshots {
    for (const number of this.#claims.keys()) this.#settle(number);
    return { snapshots: this.#order, refused: this.#refused };
  }

  #enter(claim: ClaimedSnapshot): void {
    const { number, snapshotter, chain } = claim;
    if (chain !== undefined) {
      const key = `${snapshotter} ${chain.chainId}`;
      // Two processes unpacked one layer, and the slower one had not taken its own away yet.
      if (this.#byChain.has(key)) {
        this.#refused.push(number);
        return;
      }
      this.#byChain.set(key, number);
    }
    let { name } = claim;
    while (this.#byName.has(`${snapshotter} ${name}`)) name = `${name}+${number}`;
    this.#byName.set(`${snapshotter} ${name}`, number);
    this.#claims.set(number, { ...claim, name });
  }

  #settle(number: number): ClaimedSnapshot | undefined {
    const claim = this.#claims.get(number);
    if (claim === undefined || this.#settled.has(number)) return this.#settled.get(number);
    this.#settled.set(number, undefined);
    const parentNumber = this.#parentOf(claim);
    const parent = parentNumber === undefined ? undefined : this.#settle(parentNumber);
    const stands = parent?.kind === 'committed' || !hasParent(claim);
    if (!stands || !fitsChain(claim, parent?.chain?.chainId)) {
      this.#refused.push(number);
      return undefined;
    }
    const settled = { ...claim, parentNumber };
    this.#settled.set(number, settled);
    this.#order.push(settled);
    return settled;
  }

  #parentOf({ snapshotter, parent, parentNumber, chain }: ClaimedSnapshot): number | undefined {
    if (parent === undefined) return parentNumber;
    const key = `${snapshotter} ${parent}`;
    const [chained, named] = [this.#byChain.get(key), this.#byName.get(key)];
    return (chain === undefined ? (named ?? chained) : (chained ?? named)) ?? parentNumber;
  }
}

function rank({ chain, recorded }: ClaimedSnapshot): number {
  return (chain === undefined ? 2 : 0) + (recorded ? 0 : 1);
}

function hasParent({ parent, parentNumber }: ClaimedSnapshot): boolean {
  return parent !== undefined || parentNumber !== undefined;
}

/** A chain's ID follows from its parent's and its own layer (image-spec: config.md, Layer ChainID). */
function fitsChain({ chain }: ClaimedSnapshot, parentChainId: Digest | undefined): boolean {
  if (chain === undefined) return true;
  const { chainId, diffId } = chain;
  return (
    chainId === (parentChainId === undefined ? diffId : digestOf(Buffer.from(`${parentChainId} ${diffId}`)))
  );
}
