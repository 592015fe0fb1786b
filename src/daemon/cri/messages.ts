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

export interface ImageFilter {
  readonly image: ImageSpec | null;
}

export interface ListImagesRequest {
  readonly filter: ImageFilter | null;
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

export interface ListImagesResponse {
  readonly images: readonly Image[];
}

export interface ImageStatusRequest {
  readonly image: ImageSpec | null;
  readonly verbose: boolean;
}

export interface ImageStatusResponse {
  readonly image?: Image;
  readonly info?: Readonly<Record<string, string>>;
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

export interface PodSandboxMetadata {
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  readonly attempt: number;
}

export interface PodSandboxConfig {
  readonly metadata: PodSandboxMetadata | null;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface PullImageRequest {
  readonly image: ImageSpec | null;
  readonly auth: AuthConfig | null;
  readonly sandboxConfig: PodSandboxConfig | null;
}

export interface PullImageResponse {
  readonly imageRef: string;
}

export interface RemoveImageRequest {
  readonly image: ImageSpec | null;
}

export interface FilesystemUsage {
  /** Nanoseconds since 1970. */
  readonly timestamp: string;
  readonly fsId: { readonly mountpoint: string };
  readonly usedBytes: { readonly value: string };
  readonly inodesUsed: { readonly value: string };
}

export interface ImageFsInfoResponse {
  readonly imageFilesystems: readonly FilesystemUsage[];
  readonly containerFilesystems: readonly FilesystemUsage[];
}

export interface VersionRequest {
  readonly version: string;
}

export interface VersionResponse {
  readonly version: string;
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly runtimeApiVersion: string;
}

export interface StatusRequest {
  readonly verbose: boolean;
}

export interface RuntimeCondition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

export interface StatusResponse {
  readonly status: { readonly conditions: readonly RuntimeCondition[] };
  readonly info?: Readonly<Record<string, string>>;
  readonly runtimeHandlers: readonly { readonly name: string }[];
}
