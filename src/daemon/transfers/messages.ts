import type { LayerState, TransferState } from '../pulls/transfer.js';

/**
 * The messages of protos/transfers-v1.proto as they arrive and are sent; 64-bit numbers are decimal text,
 * enums their names.
 */

export interface LayerProgressMessage {
  readonly digest: string;
  readonly size: string;
  readonly presentBytes: string;
  readonly state: 'STATE_UNSPECIFIED' | Uppercase<LayerState>;
}

export interface TransferMessage {
  readonly id: string;
  readonly reference: string;
  readonly state: 'STATE_UNSPECIFIED' | Uppercase<TransferState>;
  readonly totalBytes: string;
  readonly presentBytes: string;
  readonly downloadedBytes: string;
  readonly bytesPerSecond: string;
  readonly layers: readonly LayerProgressMessage[];
  /** Milliseconds since 1970. */
  readonly startedAt: string;
  readonly waiting: number;
  readonly errorCode: string;
  readonly errorMessage: string;
}

export interface TransfersMessage {
  readonly transfers: readonly TransferMessage[];
}

export interface CredentialsMessage {
  readonly username: string;
  readonly password: string;
  readonly identityToken: string;
  readonly registryToken: string;
}

export interface PullRequestMessage {
  readonly reference: string;
  readonly platform: string;
  readonly credentials: CredentialsMessage | null;
  readonly allPlatforms: boolean;
  readonly noUnpack: boolean;
  readonly verifyFirst: boolean;
  readonly discardLayers: boolean;
}

/** One of both. */
export interface PullUpdateMessage {
  readonly event?: string;
  readonly result?: string;
}
