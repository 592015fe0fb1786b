import type { PlatformChoice, ReferrerChoice } from '../copy-request.js';
import type { Digest } from '../../spec/index.js';
import type { TagRules } from './tag-rules.js';

/** Where something stands in the file, both from 1. */
export interface Position {
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
}

/** A place by its name in the file. Paths are absolute. */
export type PlaceName =
  | { readonly kind: 'registry'; readonly host: string }
  | { readonly kind: 'layout' | 'archive'; readonly path: string }
  | { readonly kind: 'store' };

/** A password that is never in the file itself, but for skopeo's form, which knows no other way. */
export type PasswordFrom =
  { readonly env: string } | { readonly file: string } | { readonly literal: string };

/** How one registry is spoken to, where it is not as the command's own options say. Paths are absolute. */
export interface Connection {
  readonly authFile?: string | undefined;
  readonly credentials?: { readonly username: string; readonly password: PasswordFrom } | undefined;
  readonly ca?: string | undefined;
  /** A directory of `*.crt`, `*.cert` and `*.key`, as docker has it. */
  readonly certDirectory?: string | undefined;
  readonly clientCert?: { readonly cert: string; readonly key: string } | undefined;
  readonly insecure?: boolean | undefined;
  readonly plainHttp?: boolean | undefined;
  /** It may turn out to speak no TLS. */
  readonly mayBePlain?: boolean | undefined;
  /** Bytes per second, of all that is read there. */
  readonly rate?: number | undefined;
  readonly requestsPerSecond?: number | undefined;
  readonly connections?: number | undefined;
}

/** One or many repositories of a source, and what of them is wanted. */
export interface Selection {
  readonly at: Position;
  /** As it was written: `team/app`, `team/*`. */
  readonly text: string;
  /** Without the place: `team/app`; of a layout or store the canonical name. Undefined for a pattern. */
  readonly name?: string | undefined;
  /** For a pattern: whether a repository is meant, by its name without the place. */
  readonly matches?: ((name: string) => boolean) | undefined;
  /** Whether patterns do not mean the repository, since it is named by itself. */
  readonly isOwn?: boolean | undefined;
  readonly tags: TagRules;
  readonly digests: readonly Digest[];
  readonly platforms: PlatformChoice;
  readonly rewriteIndex?: boolean | undefined;
  readonly referrers?: ReferrerChoice | undefined;
  /** The repository at the destination, or a template of it. */
  readonly to?: string | undefined;
}

export interface MirrorSource {
  readonly at: Position;
  readonly place: PlaceName;
  readonly connection: Connection;
  readonly selections: readonly Selection[];
}

export interface MirrorDestination {
  /** Absent where the command line named it. */
  readonly at?: Position | undefined;
  readonly place: PlaceName;
  readonly connection: Connection;
  /** What stands before every repository's name: `mirrors/hub`. */
  readonly prefix: string;
  /** `{registry}/{repository}`; undefined for what the kind of place has by default. */
  readonly path?: string | undefined;
}

/** A declared set of images, whatever form it was written in. */
export interface MirrorFile {
  /** As it was named. */
  readonly name: string;
  readonly form: 'landfall' | 'skopeo';
  readonly sources: readonly MirrorSource[];
  readonly destinations: readonly MirrorDestination[];
  /** Images at once. */
  readonly concurrency?: number | undefined;
  /** What was made of a file of another form: what was taken, what it lacks. */
  readonly notes: readonly string[];
  readonly warnings: readonly string[];
}
