/**
 * The messages of protos/containerd-snapshots-v1.proto as they arrive and are sent: absent messages are null, absent texts empty,
 * 64-bit numbers decimal text.
 */

import type { Labels, Mount } from '../../unpack/index.js';

export interface PrepareRequest {
  readonly key: string;
  readonly parent: string;
  readonly labels: Labels;
}

export interface MountsMessage {
  readonly mounts: readonly Mount[];
}

/** One snapshot, by its key or its name. */
export interface KeyRequest {
  readonly key: string;
}

export interface CommitRequest {
  readonly name: string;
  readonly key: string;
  /** The new parent of the snapshot; empty where the parent stays (since containerd 2.2). */
  readonly parent: string;
  readonly labels: Labels;
}

export interface TimestampMessage {
  readonly seconds: string;
  readonly nanos: number;
}

export interface InfoMessage {
  readonly name: string;
  readonly parent: string;
  readonly kind: 'VIEW' | 'ACTIVE' | 'COMMITTED';
  readonly createdAt: TimestampMessage;
  readonly updatedAt: TimestampMessage;
  readonly labels: Labels;
}

export interface StatResponse {
  readonly info: InfoMessage;
}

export interface UpdateRequest {
  readonly info: InfoMessage | null;
  readonly updateMask: { readonly paths: readonly string[] } | null;
}

export interface ListRequest {
  readonly filters: readonly string[];
}

export interface ListResponse {
  readonly info: readonly InfoMessage[];
}

export interface UsageResponse {
  readonly size: string;
  readonly inodes: string;
}
