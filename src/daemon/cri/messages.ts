/**
 * The messages of protos/runtime-v1.proto as they arrive and are sent: absent messages are null, absent texts
 * empty, 64-bit numbers decimal text.
 */

export interface ImageSpec {
  readonly image: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly userSpecifiedImage: string;
  readonly runtimeHandler: string;
  readonly imageRef: string;
}

/** What is not set is left out. */
export interface Image {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly size: string;
  readonly uid?: { readonly value: string } | undefined;
  readonly username?: string | undefined;
  readonly spec: Partial<ImageSpec>;
  readonly pinned: boolean;
}

export interface AuthConfig {
  readonly username: string;
  readonly password: string;
  /** `username:password` in base64. */
  readonly auth: string;
  readonly serverAddress: string;
  readonly identityToken: string;
  readonly registryToken: string;
}

export interface PullImageRequest {
  readonly image: ImageSpec | null;
  readonly auth: AuthConfig | null;
  readonly sandboxConfig: { readonly metadata: { readonly namespace: string } | null } | null;
}

export interface FilesystemUsage {
  /** Nanoseconds since 1970. */
  readonly timestamp: string;
  readonly fsId: { readonly mountpoint: string };
  readonly usedBytes: { readonly value: string };
  readonly inodesUsed: { readonly value: string };
}
