/**
 * The messages of containerd's services as they are sent and arrive: absent messages are null, absent texts empty, 64-bit numbers
 * decimal text. What landfall neither sends nor looks at is left out.
 */

import type { ImageSpec } from '../cri/messages.js';

export type Labels = Readonly<Record<string, string>>;

export interface DescriptorMessage {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: string;
}

/** A name for content, in a namespace. */
export interface ImageMessage {
  readonly name: string;
  readonly labels: Labels;
  readonly target: DescriptorMessage | null;
}

/** Which fields an update is about: `target`, `labels`, or `labels.` and a key. */
export interface FieldMask {
  readonly paths: readonly string[];
}

export interface ContentInfo {
  readonly digest: string;
  readonly size: string;
  readonly labels: Labels;
}

export interface WriteContentRequest {
  readonly action: 'WRITE' | 'COMMIT';
  /** Names the write; one at a time has it. */
  readonly ref: string;
  readonly total: string;
  readonly expected: string;
  readonly offset: string;
  readonly data: Uint8Array;
  readonly labels: Labels;
}

/** One snapshot of a snapshotter. */
export interface SnapshotKey {
  readonly snapshotter: string;
  readonly key: string;
}

export interface EventEnvelope {
  readonly namespace: string;
  readonly topic: string;
}

/** What containerd's CRI says of an image. */
export interface CriImage {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

type Empty = object;

/** The calls that landfall makes, by service and method; each a request with its answer. */
export interface ContainerdCalls {
  'leases/Create': [{ readonly id: string; readonly labels: Labels }, Empty];
  'leases/Delete': [{ readonly id: string }, Empty];
  'content/Info': [{ readonly digest: string }, { readonly info: ContentInfo | null }];
  'content/Update': [
    { readonly info: Pick<ContentInfo, 'digest' | 'labels'>; readonly updateMask: FieldMask },
    Empty,
  ];
  'images/List': [Empty, { readonly images: readonly ImageMessage[] }];
  'images/Create': [{ readonly image: ImageMessage }, Empty];
  'images/Update': [{ readonly image: ImageMessage; readonly updateMask: FieldMask }, Empty];
  'images/Delete': [{ readonly name: string; readonly sync: boolean }, Empty];
  'snapshots/Prepare': [SnapshotKey & { readonly parent: string; readonly labels: Labels }, Empty];
  'snapshots/Stat': [SnapshotKey, Empty];
  'snapshots/Remove': [SnapshotKey, Empty];
  'cri/ListImages': [Empty, { readonly images: readonly CriImage[] }];
  'cri/ImageStatus': [{ readonly image: Pick<ImageSpec, 'image'> }, { readonly image: CriImage | null }];
}
